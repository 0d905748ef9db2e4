"""Execution: the scheduler, the attempts and the executors of one run.

The *scheduler* starts ready steps; an *attempt* is one try at a step on an executor, repeated as the step allows; an *outcome* is
what became of a step. A *target* is a place where steps run. Its *executor kind* says how its options are parsed, what it has
installed and how its executor is made; the targets of one run are used through a *session* of their kind. *Prefetch* downloads
inputs of steps in the background.
"""
