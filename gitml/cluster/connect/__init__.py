"""Connecting to a Ray cluster.

- A *connection* is the address of a head, and the token where the cluster requests one; made before Ray is loaded.
- The *head client* asks a head for machines and their resources; a *shortage* is what no machine has of a request.
- A *local cluster* is one that gitml starts on this machine for a run; its *supervisor* ends it with its owner.
"""
