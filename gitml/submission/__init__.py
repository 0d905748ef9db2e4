"""Submission: whole runs handed to a cluster, followed, cancelled and collected."""
