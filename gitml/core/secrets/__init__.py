"""Secrets: seals, masks, and how credentials are recognised."""
