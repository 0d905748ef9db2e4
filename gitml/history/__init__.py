"""Reading what was recorded: runs, their logs, metrics, outputs and lineage.

A run is *recorded* once it has ended; before that it is *live* (its folder has a journal of what ended so far), or *submitted* to
a cluster and not collected yet. The log of one attempt of a step is an *attempt log*.
"""
