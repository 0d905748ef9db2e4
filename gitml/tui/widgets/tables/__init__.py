"""Widgets that show many rows."""
