"""The pipeline language: from the bytes of a file to a Graph."""
