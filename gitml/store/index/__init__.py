"""The index: an SQLite file that makes records and results fast to find, and can be rebuilt from them."""
