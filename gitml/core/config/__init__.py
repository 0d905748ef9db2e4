"""`gitml.yaml` and the user's settings: values and parsing.

A Config is what one `gitml.yaml` sets. A Target is where steps run, a RemoteSpec a remote store, a Place anything that a tracked
file names outside the repository.
"""
