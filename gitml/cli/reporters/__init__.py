"""Telling a run while it goes on: the state of its steps, plain lines, and a live picture for terminals."""
