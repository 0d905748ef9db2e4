"""Widgets that show a log."""
