"""Submission: whole runs submitted to a cluster, followed, cancelled and collected.

- A *job bundle* is a folder with all that a run needs: the commit as a Git bundle, results that are known, the request.
- A *job event* is a line in the output of the job: an event of the run, log text, a file of its record, or its end.
- A *submission* is the note here of a run that is not collected; to *collect* it is to fetch its record and its objects.
"""
