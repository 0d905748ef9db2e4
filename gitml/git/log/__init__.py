"""Record logs in Git refs, and their exchange with remotes.

- *record*: a commit of the log; its first parent is the record before it. The *tip* is the newest one.
- *tracking ref*: the tip of a remote's log as last fetched or pushed; the *merged ref*: as last merged.
- A *local remote* is a remote in a folder of this machine.
"""
