"""Git LFS: pointers and the client of a server."""
