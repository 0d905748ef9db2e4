"""Records of runs: their values, encoding and rules.

A Run is one pipeline at one commit, a StepRun the outcome of one step of it, an Attempt one try. Step rows are the steps of a
large run in files beside its record.
"""
