"""Planning: from the name of a pipeline and a revision to a Plan.

`load` reads the pipeline and its project; the *action builder* finds the inputs, code and environment of each step's Action, and
*preflight* what is sure to keep a step from starting on this machine; the *planner* asks `core.planner` to decide every step.
"""
