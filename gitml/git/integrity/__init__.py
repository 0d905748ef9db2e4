"""Git's files checked and repaired.

- *durability*: objects first, then the ref, then the folders that name it, each synced; a *quarantine* holds what was replaced.
- *damaged* objects and packs are found by hashing; *missing* ones by walking what commits name; *stale* locks by their age.
- *recovery*: a ref of gitml is restored from the index or from the newest record among Git's objects.
"""
