"""Git's hook scripts and where they are installed."""
