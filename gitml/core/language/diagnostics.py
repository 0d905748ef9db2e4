"""Diagnostic: one mistake in a file, at its place. All mistakes of a file are reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitml.errors import InputError


class Diagnostic(NamedTuple):
    """`line` and `column` count from 1."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class SpecError(InputError):
    """A file that can't be used, with every mistake found in it, in order of place."""

    code = "spec"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=lambda d: (d.path, d.line, d.column)))
        first = self.diagnostics[0]
        super().__init__(first.message, where=f"{first.path}:{first.line}:{first.column}")


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or the known names when few, or nothing."""
    import difflib  # 2 ms, and only mistakes need it

    names = [str(candidate) for candidate in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    if 0 < len(names) <= 8:
        return f" (there is {', '.join(repr(candidate) for candidate in names)})"
    return ""
