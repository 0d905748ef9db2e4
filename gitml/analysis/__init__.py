"""Analysis: explain, reproduce, compare outputs, timeline, lock, module usage."""
