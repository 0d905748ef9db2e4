"""Inputs that a step declares by itself: how they are read, where their bytes come from, and where the step finds them."""
