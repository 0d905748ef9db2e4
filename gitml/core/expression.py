"""Expressions: ``${{ params.x }}`` and its kin. A Template is text with Refs in it; ``$${{`` is a literal ``${{``.

params.NAME   inputs.NAME   outputs.NAME   matrix.NAME   steps.NAME.outputs.PORT
steps.NAME[*].outputs.PORT        every combination of a matrix step, in order: several values
steps.NAME[LABEL].outputs.PORT    one combination by its label (``svm`` or ``svm,0.1``)
steps.NAME[matrix].outputs.PORT   the combination that agrees with this step's own matrix values
"""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

OPEN, CLOSE = "${{", "}}"

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_SIMPLE = re.compile(rf"(params|inputs|outputs|matrix)\.({_NAME})\Z")
_STEP = re.compile(rf"steps\.({_NAME})(?:\[([^\]]*)\])?\.outputs\.({_NAME})\Z")
_WORD = re.compile(r"""(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s'"\\])+""", re.DOTALL)
_OPERATOR = re.compile(r"(?:\|\|?|&&?|;|(?:[0-9]|&)?(?:>>?|<).*|[^'\"\\]+;)\Z", re.DOTALL)
NAME = re.compile(rf"{_NAME}\Z")


class Ref(NamedTuple):
    """One expression. `space` is params, inputs, outputs, matrix or steps; `port` and `selector` only for steps."""

    space: str
    name: str
    port: str = ""
    selector: str | None = None

    def __str__(self) -> str:
        if self.space != "steps":
            return f"{self.space}.{self.name}"
        selector = "" if self.selector is None else f"[{self.selector}]"
        return f"steps.{self.name}{selector}.outputs.{self.port}"


Template = tuple[str | Ref, ...]


class ExpressionError(ValueError):
    """A mistake in the `number`-th expression of a text, counted from 0; ``$${{`` is none."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


def parse_ref(text: str) -> Ref | None:
    """The Ref written within the braces; None when it is not one."""
    text = text.strip()
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
            raise ExpressionError(
                f"not an expression: {inner.strip()[:60]!r} (params.x, inputs.x, outputs.x, matrix.x or "
                "steps.x.outputs.y)",
                number,
            )
        if literal + before:
            parts.append(literal + before)
        parts.append(ref)
        literal = ""
        number += 1
    if literal + text:
        parts.append(literal + text)
    return tuple(parts)


def split_words(template: Template) -> tuple[Template, ...]:
    """A command template cut into words as a POSIX shell would cut it, a Ref being part of one word whatever its value.

    ValueError for an open quotation.
    """
    refs: list[Ref] = []
    text = ""
    for part in template:
        if isinstance(part, Ref):
            text += f"\x01{len(refs)}\x02"
            refs.append(part)
        else:
            text += part.replace("\x01", "\x01-\x02")  # so that no text can pass for a Ref
    return tuple(_restore(word, refs) for word in shlex.split(text, comments=False))


def shell_operator(template: Template) -> str | None:
    """The first word that only a shell acts on (``|``, ``&&``, ``>out.txt``) of a command that `split_words` can cut, else None.

    Quoted words are none: whoever quotes means the characters.
    """
    text = "".join([part if isinstance(part, str) else "x" for part in template])
    for match in _WORD.finditer(text):
        if _OPERATOR.match(match[0]):
            return match[0][:40]
    return None


def _restore(word: str, refs: list[Ref]) -> Template:
    parts: list[str | Ref] = []
    for index, piece in enumerate(re.split("\x01([0-9]+)\x02", word)):
        if index % 2:
            parts.append(refs[int(piece)])
        elif piece:
            parts.append(piece.replace("\x01-\x02", "\x01"))
    return tuple(parts)


def refs_in(templates: tuple[Template, ...]) -> list[Ref]:
    """Every Ref, in order."""
    return [part for template in templates for part in template if isinstance(part, Ref)]
