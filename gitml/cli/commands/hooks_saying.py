"""How a hook speaks to whoever called Git."""

from __future__ import annotations

import sys

from gitml.cli.terminal import paint


def say(line: str) -> None:
    """A line for whoever called Git; it is safe for a terminal already."""
    sys.stderr.write(f"{paint('gitml:', 'bold', sys.stderr)} {line}\n")
    sys.stderr.flush()
