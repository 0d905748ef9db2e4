"""The worker: what runs on a machine of the cluster for one attempt.

- `task_runner` is the Ray task; it fetches contents, and has the *step host*, a process without Ray, perform the step.
- The *message hub* is an actor by which attempts send reports to their driver and get messages from it.
- The *folder* is the Store and the objects of Git on the machine; pins keep contents of it from eviction.
"""
