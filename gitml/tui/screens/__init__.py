"""The screens, a package each, as `gitml.tui.routes` lists them.

`screen` is the page: its keys, messages and state. `queries` read the repository, `view` holds rows, texts and the widgets of
this screen alone, `actions` change something.
"""
