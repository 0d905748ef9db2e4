"""Lineage: nodes (artifacts, steps, files, parameters, modules, commits) and the edges between them, derived from records."""
