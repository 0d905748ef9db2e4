"""The driver: the Executor of a Ray cluster on the machine of the run."""
