"""Environments that gitml finds and does not build: what the machine has installed, and a project's own virtual environment."""
