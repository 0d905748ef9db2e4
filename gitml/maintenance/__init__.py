"""Maintenance of what is stored: gc, fsck, usage, eviction; here and in remote stores."""
