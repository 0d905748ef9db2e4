"""`gitml.yaml` and the user settings: values and parsing."""
