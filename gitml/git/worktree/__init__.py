"""The work tree: its status, a snapshot commit of what was read of it, and the temporary index that trees are written from."""
