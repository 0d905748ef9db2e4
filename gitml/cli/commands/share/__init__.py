"""Commands that share records and artifacts."""
