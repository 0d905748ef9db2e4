"""Record logs in Git refs, and their transport between repositories."""
