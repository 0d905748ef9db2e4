"""Execution: the scheduler, attempts and executors of one run."""
