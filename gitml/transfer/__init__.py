"""Transfer: records and artifacts between this repository and its remotes."""
