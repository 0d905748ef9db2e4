"""The screen Modules: the registry."""
