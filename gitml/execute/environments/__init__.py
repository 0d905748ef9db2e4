"""Environments of steps: how they are identified and built."""
