"""Commands that clean and check what is stored."""
