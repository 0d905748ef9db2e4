"""The kinds that can be added to: one table each, and all that differs between kinds is in its entry.

- A *step kind* is what a step does: run a command, use a module.
- A *port kind* is what a step's output is: a file, a directory, metrics, a plot.
- An *environment kind* is how the programs of a step are named, identified and built.
- A *remote kind* is where a remote store is: a bucket, a folder, a host.

The kinds of executors are in `engine.execution`, since they touch the world.
"""
