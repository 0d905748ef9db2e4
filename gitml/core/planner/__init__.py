"""Planning: what becomes of each step, and why.

`plan.decide` makes the Decision of a step, given its ActionParts (the content of inputs, code and environment) and what is known;
`explain` names the differences between two Actions; `code` finds the files that a command uses.
"""
