"""The command line: opens the workspace, calls one function, renders."""
