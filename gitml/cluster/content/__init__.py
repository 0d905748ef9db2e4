"""Contents between machines: ids, messages, transfers."""
