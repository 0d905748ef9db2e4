"""The screen Artifacts."""
