"""The work tree as a Source, and the files in it."""
