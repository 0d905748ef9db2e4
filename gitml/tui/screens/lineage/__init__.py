"""The screen Lineage."""
