"""The content-addressed store, its index, and their upkeep."""
