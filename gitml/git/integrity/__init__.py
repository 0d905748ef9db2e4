"""Durability of what Git wrote, and the repair of what is damaged."""
