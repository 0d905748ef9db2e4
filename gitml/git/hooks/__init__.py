"""Git hooks: the scripts, their installation, and the settings of Git that concern them."""
