"""Performs Actions: sandboxes, process trees, environments. Knows no Graph."""
