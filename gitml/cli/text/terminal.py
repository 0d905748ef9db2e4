"""Text on its way to a terminal: nothing in a name, a log or a path may act on it; colours only where they are wanted."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from gitml.core.text.format import clipped, safe, safe_line

__all__ = [
    "fitted",
    "forgive_encoding",
    "is_terminal",
    "paint",
    "safe",
    "safe_line",
    "speaks_unicode",
    "wants_colour",
    "width",
]

_CODES = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "dim": "2",
    "bold": "1",
}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at `stream` through something that understands more than lines."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def wants_colour(stream: TextIO) -> bool:
    """Whether colour codes may be written to `stream`: a terminal, and NO_COLOR not set (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and is_terminal(stream)


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour (or bold, dim) where `stream`, by default stdout, wants colours. `text` is already safe."""
    if not colour or not wants_colour(stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def speaks_unicode(stream: TextIO | None = None) -> bool:
    """Whether signs beyond ASCII can be written to `stream`, by default stdout."""
    return ((stream or sys.stdout).encoding or "").lower().replace("-", "") in ("utf8", "utf_8")


def width() -> int:
    """Columns to fill: the terminal's, or COLUMNS, or 100 when it is none."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and 0 < int(said) < 10_000:
        return int(said)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 100
    except (OSError, ValueError, AttributeError):
        return 100


def fitted(lines: list[str]) -> list[str]:
    """`lines` cut at the edge of the terminal where stdout is one."""
    return [clipped(line, width()) for line in lines] if sys.stdout.isatty() else lines


def forgive_encoding() -> None:
    """Makes stdout and stderr write what their encoding lacks as an escape instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
