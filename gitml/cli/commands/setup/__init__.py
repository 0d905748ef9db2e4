"""Commands that set a repository or a machine up."""
