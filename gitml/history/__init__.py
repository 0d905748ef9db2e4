"""What was recorded: runs, metrics, lineage, outputs of the past."""
