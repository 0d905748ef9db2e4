"""The screens, one a place; which there are is in gitml.tui.routes."""
