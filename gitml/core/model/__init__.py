"""The values that the rest of gitml computes with, and the protocols between its packages."""
