"""`gitml hooks`, and gitml's part of each hook."""
