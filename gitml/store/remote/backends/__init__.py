"""Backends: one module for each way to reach a remote store."""
