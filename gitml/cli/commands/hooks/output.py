"""Input and output of a hook: what Git writes to its stdin, and lines for the user of Git."""

from __future__ import annotations

import sys

from gitml.cli.text.terminal import paint
from gitml.errors import InputError


def print_line(line: str) -> None:
    """Prints a line for the user of Git; it is safe for a terminal already."""
    sys.stderr.write(f"{paint('gitml:', 'bold', sys.stderr)} {line}\n")
    sys.stderr.flush()


def read_stdin(hook: str) -> bytes:
    """What Git writes to the hook's stdin; InputError at a terminal, where nothing would come."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(f"{hook} reads what Git writes to its standard input", hint=f"see `git help hooks`, {hook}")
    return sys.stdin.buffer.read()
