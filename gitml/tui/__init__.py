"""gitml's face in the terminal: it asks what the command line asks, of the same functions, and never waits while it draws.

To add a screen: a `Page` in `gitml.tui.screens`, and a line in `gitml.tui.routes`. See `gitml.tui.page` for how it asks.
"""
