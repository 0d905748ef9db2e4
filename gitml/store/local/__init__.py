"""The Store of this machine: a folder of read-only files.

*Ingest*: what a step wrote becomes objects. *Materialize*: objects are placed in a sandbox by reflink, hard link or copy.
*Publish*: a complete temporary becomes an object, durably. An object is *intact* while its stat says that nobody wrote to it; to
*verify* it is to hash it. A bad one goes to the *quarantine*. *gc* deletes what no record names.
"""
