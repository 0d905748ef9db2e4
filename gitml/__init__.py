"""gitml: machine-learning pipelines that live in a Git repository, run at any commit, and reuse what did not change."""

__version__ = "0.1.0"
