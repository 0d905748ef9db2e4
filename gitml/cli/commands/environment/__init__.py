"""`gitml env`: the environments of steps, shown, explained, compared, built and locked."""
