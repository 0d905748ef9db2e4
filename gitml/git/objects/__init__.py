"""Git objects: reading them, and writing them where there is no repository."""
