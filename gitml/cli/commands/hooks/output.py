"""What a hook hears from Git, and how it speaks to whoever called Git."""

from __future__ import annotations

import sys

from gitml.cli.text.terminal import paint
from gitml.errors import InputError


def print_line(line: str) -> None:
    """A line for whoever called Git; it is safe for a terminal already."""
    sys.stderr.write(f"{paint('gitml:', 'bold', sys.stderr)} {line}\n")
    sys.stderr.flush()


def read_stdin(hook: str) -> bytes:
    """What Git tells the hook on stdin; InputError at a terminal, where nobody would know what to type."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            f"{hook} reads from its standard input what Git tells it", hint=f"see `git help hooks`, {hook}"
        )
    return sys.stdin.buffer.read()
