"""Secrets: what stands for them, and how they are kept out of logs and records.

A seal is a keyed digest that stands for the value of a secret parameter. A Mask replaces secret values in text. Credentials are
found by the names of variables and by their shape.
"""
