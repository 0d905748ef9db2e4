"""Run records: where they lie in the log of runs, how they are read, and the index kept level with them."""
