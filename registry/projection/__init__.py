"""The projection of a registry: its log in an SQLite file that can be rebuilt."""
