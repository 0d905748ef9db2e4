"""From a commit to records: read, decide, execute. Emits events; prints nothing."""
