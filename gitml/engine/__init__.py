"""The engine: loads a pipeline at a commit, plans it, executes the plan and records the run. Emits events; prints nothing."""
