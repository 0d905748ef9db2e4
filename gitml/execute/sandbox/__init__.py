"""The sandbox of one attempt: its files, its isolation, and what is taken from it."""
