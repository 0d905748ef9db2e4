"""The screen Runs: the list of runs."""
