"""Backends: one module for each way to reach a remote store; `kinds` says which kind of `REMOTE_KINDS` is opened by which."""
