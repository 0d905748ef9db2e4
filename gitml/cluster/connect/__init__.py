"""Connecting to a Ray cluster: address, token, head, machines."""
