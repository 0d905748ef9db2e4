"""Git objects: read through `git cat-file`, listed as sources, checked, and kept loose where there is no repository."""
