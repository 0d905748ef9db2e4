"""Run records: where they lie in the log of runs, how they are read, validated and merged, and the index kept level with them.

- A *record* is the folder of one run in the log. A remote's record is *validated* before it counts; else it is *rejected*.
- *merge*: the union of two logs, so that no record is lost and none conflicts.
- *sync*: records that the index lacks are read into it.
"""
