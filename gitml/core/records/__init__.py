"""Records of runs: their values, encoding and rules."""
