"""The screen Run: one run and its steps."""
