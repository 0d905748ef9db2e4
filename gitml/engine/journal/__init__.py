"""The journal of a run in progress, and the record that is made of it.

*Recovery* records runs whose process was killed. *Provenance* is what a record holds beside the run: the pre-images of performed
Actions and their environments. *Partial outputs* are what failed steps left of their outputs.
"""
