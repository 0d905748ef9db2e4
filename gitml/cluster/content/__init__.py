"""Contents between machines.

- A *content id* (name) is the kind of a content and its hash; a *root* stands for all below it.
- A *blob server* is an actor on a machine that takes in and gives out contents; the *transfer manager* of a driver uses them.
- A *piece* is a part of a content at a position; `piece_transfer` is the one engine that sends and receives pieces.
"""
