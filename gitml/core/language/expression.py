"""Expressions: ``${{ params.x }}`` and its kin. A Template is text with Refs in it; ``$${{`` is a literal ``${{``.

params.NAME   inputs.NAME   outputs.NAME   matrix.NAME   steps.NAME.outputs.PORT
params.NAME.KEY   params.NAME[0]   params["odd key"]   a part of a parameter that is a mapping or a list; matrix.NAME.KEY likewise
params.NAME[*]                    every item of a list, in order: several values
steps.NAME[*].outputs.PORT        every combination of a matrix step, in order: several values
steps.NAME[LABEL].outputs.PORT    one combination by its label (``svm`` or ``svm,0.1``)
steps.NAME[matrix].outputs.PORT   the combination that agrees with this step's own matrix values
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gitml.core.parameters.value_path import Path, parse_parts, path_text

OPEN, CLOSE = "${{", "}}"

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_SIMPLE = re.compile(rf"(inputs|outputs)\.({_NAME})\Z")
_VALUE = re.compile(r"(params|matrix)(?=[.\[])")
_STEP = re.compile(rf"steps\.({_NAME})(?:\[([^\]]*)\])?\.outputs\.({_NAME})\Z")
NAME = re.compile(rf"{_NAME}\Z")


class Ref(NamedTuple):
    """One expression. `space` is params, inputs, outputs, matrix or steps; `port` only for steps.

    `path` leads from a parameter, or a value of the matrix, to a part of it; with the selector ``*`` all items of it are meant.
    """

    space: str
    name: str
    port: str = ""
    selector: str | None = None
    path: Path = ()

    @property
    def full_path(self) -> Path:
        """The path with the name in front."""
        return (self.name, *self.path)

    def __str__(self) -> str:
        if self.space in ("params", "matrix"):
            text = path_text(self.full_path)
            return f"{self.space}{'' if text.startswith('[') else '.'}{text}{'[*]' if self.selector else ''}"
        if self.space != "steps":
            return f"{self.space}.{self.name}"
        selector = "" if self.selector is None else f"[{self.selector}]"
        return f"steps.{self.name}{selector}.outputs.{self.port}"


Template = tuple[str | Ref, ...]


class ExpressionError(ValueError):
    """A mistake in the `number`-th expression of a text, counted from 0; ``$${{`` is none. `inner`: what is in its braces."""

    def __init__(self, message: str, number: int, inner: str = "") -> None:
        super().__init__(message)
        self.number = number
        self.inner = inner


def parse_ref(text: str) -> Ref | None:
    """The Ref written within the braces; None when it is not one."""
    text = text.strip()
    if match := _VALUE.match(text):
        every = text.endswith("[*]")
        path = parse_parts(text[match.end() : -3 if every else None])
        return (
            Ref(match[1], path[0], "", "*" if every else None, path[1:]) if path and isinstance(path[0], str) else None
        )
    if match := _SIMPLE.match(text):
        return Ref(match[1], match[2])
    if match := _STEP.match(text):
        return Ref("steps", match[1], match[3], match[2])
    return None


def parse_template(text: str) -> Template:
    """`text` cut into literals and Refs; ExpressionError for what is not an expression."""
    if OPEN not in text:
        return (text,) if text else ()
    parts: list[str | Ref] = []
    literal = ""
    number = 0
    while True:
        before, opened, rest = text.partition(OPEN)
        if not opened:
            break
        if before.endswith("$"):
            literal += before[:-1] + OPEN
            text = rest
            continue
        inner, closed, text = rest.partition(CLOSE)
        if not closed:
            raise ExpressionError("an expression is not closed: '}}' is missing", number)
        ref = parse_ref(inner)
        if ref is None:
            raise ExpressionError(f"not an expression: {inner.strip()[:60]!r}", number, inner.strip())
        if literal + before:
            parts.append(literal + before)
        parts.append(ref)
        literal = ""
        number += 1
    if literal + text:
        parts.append(literal + text)
    return tuple(parts)


def refs_in(templates: tuple[Template, ...]) -> list[Ref]:
    """Every Ref, in order."""
    return [part for template in templates for part in template if isinstance(part, Ref)]
