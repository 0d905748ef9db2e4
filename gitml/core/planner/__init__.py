"""Deciding: what becomes of each step, and why."""
