"""Git LFS: pointers, the endpoint of a remote, and a client of its HTTP API with limits against hostile servers."""
