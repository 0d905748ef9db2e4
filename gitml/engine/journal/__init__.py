"""The journal of a run in progress, and the record that is made of it.

*Recovery* records runs whose process was killed. *Partial outputs* are what failed steps left of their outputs.
"""
