"""What Git hooks do: pre-commit checks, the pre-push gate, the report after a checkout, and runs queued by a push.

- *gate*: which commits must have run before they may be pushed. *updates*: the refs that a push moves.
- *queue*: in a bare repository, the runs of pushed commits, which one process at a time performs.
"""
