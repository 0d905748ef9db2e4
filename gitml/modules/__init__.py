"""Modules for pipelines: what `module: name@requirement` means, and the door to the registry for everybody else."""
