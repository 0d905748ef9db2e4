"""The screen Time: commits and steps."""
