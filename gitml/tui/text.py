"""Text on a screen of cells: neutralised, and cut or filled to so many columns."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from gitml.core.text.format import safe

_DRAWN_ANYHOW = {ord(char): None for char in "\N{VARIATION SELECTOR-15}\N{VARIATION SELECTOR-16}"}


def plain(text: str) -> str:
    """A name or value as one line on which no terminal acts and whose width all terminals agree on.

    Variation selectors go: terminals disagree whether they make the character before them wide.
    """
    if text.isascii() and text.isprintable():
        return text
    return safe(text.translate(_DRAWN_ANYHOW))


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """Plain text in exactly `width` columns, with ``…`` where something was cut."""
    long = cell_len(text)
    if long == width:
        return text
    if long > width:
        return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""
    room = " " * (width - long)
    return room + text if right else text + room
