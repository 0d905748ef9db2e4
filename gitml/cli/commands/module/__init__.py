"""`gitml module` and its commands."""
