"""Environments of conda packages: a lock names each package by content, and py-rattler installs exactly these.

- A *channel* is a place that conda packages come from; its *subdirs* are called by platform, as in ``linux-64`` and ``noarch``.
- A *prefix* is a folder that packages are installed into.
- A *lock* is ``pixi.lock``, a file of conda-lock, or an *explicit list*: URLs below a line ``@EXPLICIT``.
"""
