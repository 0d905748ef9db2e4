"""The pure core: values and functions without files, processes, clocks or environment variables.

`language` reads pipelines into Graphs, `planner` decides what becomes of each step, `model` has the values and protocols that all
packages share, `records` what is written down of runs, `config` what `gitml.yaml` sets, `secrets` seals and masks, `text` values
for people.
"""
