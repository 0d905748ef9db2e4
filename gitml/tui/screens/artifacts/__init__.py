"""The screen Artifacts: the results of steps, where their bytes are, and a preview of each."""
