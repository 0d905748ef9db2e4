"""Maintenance: what is kept, whether it is intact, and what may be deleted.

A *keep policy* says which runs keep their outputs; *gc* deletes the rest here, `remote_gc` in a remote store. To *evict* deletes
named artifacts. *fsck* finds *faults* of Git, store, records and index, and repairs them.
"""
