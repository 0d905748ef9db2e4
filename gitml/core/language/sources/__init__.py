"""Where what a step is given comes from: inputs, caches and base files, how they are read, and what expressions stand for."""
