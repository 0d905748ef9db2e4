"""Where what a step is given comes from: inputs and base files, how they are read, and what expressions stand for."""
