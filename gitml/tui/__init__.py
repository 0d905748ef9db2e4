"""The terminal UI: screens over the same functions that the command line calls; it never waits while it draws.

A *route* names a screen and the key that opens it. A *page* is the class of a screen; its *view* is its rows and texts. A *query*
reads or changes the repository in a thread of the query runner, with a Workspace of that thread; queries of one *lane* run one
after another. The *state* of the repository is polled, and pages query again when it changed. A *notice* stands in place of what
can't be shown. A *sign* is one character for a state; text *styles* come from the theme.

To add a screen: a package in `gitml.tui.screens` with a `Page`, and a line in `gitml.tui.routes`.
"""
