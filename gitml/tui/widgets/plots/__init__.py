"""Widgets that show curves and pictures."""
