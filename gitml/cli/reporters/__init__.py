"""Reporters print a run while it goes on: as plain lines, or as a live picture for terminals."""
