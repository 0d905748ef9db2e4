"""The engine: loads a pipeline at a commit, plans it, executes the plan and records the run. It emits events and prints nothing.

A *Loaded* pipeline is its graph with the commit and configuration it was read from. The *planner* makes a *decision* for each
step: reuse, run, blocked or unknown. A *run* executes what is not reused; its *journal* on disk outlives a killed process; its
*record* is one commit in the log of runs. `planning`, `execution` and `journal` hold the three parts.
"""
