"""Widgets that show one step of a run."""
