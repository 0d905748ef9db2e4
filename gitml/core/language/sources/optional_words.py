"""The words of a command, and which of them go where an optional input, or a member that failed, turns out to be missing.

What steps make is known only once they have ended, so a command is rendered as if everything were there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gitml.core.language.expression import Ref, Template, refs_in
from gitml.core.language.module_expansion import is_option
from gitml.core.language.shell import script_with_variables
from gitml.core.model.graph import GatheringWord

Conditional = tuple[tuple[int, tuple[int, ...]], ...]
"""Words by number, each with numbers of inputs: a word goes where none of its inputs is there."""


class Values(Protocol):
    """What the expressions of a step stand for."""

    def word(self, template: Template) -> list[str]:
        """The words that one written word becomes."""

    def values(self, ref: Ref) -> list[str]:
        """The texts that an expression stands for."""

    def optional(self, ref: Ref) -> tuple[int, ...]:
        """The numbers of the inputs that an expression stands for and that may be left out by their step."""

    def members(self, ref: Ref) -> tuple[int, ...]:
        """The numbers of those whose step may fail."""


class RenderedWords(NamedTuple):
    """The words of a command, and those of them that what is missing changes."""

    argv: tuple[str, ...]
    conditional: Conditional = ()
    gathered: tuple[GatheringWord, ...] = ()


def command_words(words: Sequence[Template], scope: Values) -> RenderedWords:
    """The words as `scope` has them, and those that stand or fall with inputs that may be missing.

    With a word that is nothing but such an input goes the option before it. ValueError for several optional ones in one word.
    """
    argv: list[str] = []
    rows: list[tuple[int, tuple[int, ...]]] = []
    gathered = []
    for number, word in enumerate(words):
        start = len(argv)
        argv += scope.word(word)
        for ref in refs_in((word,)):
            found = scope.optional(ref)
            if len(word) == 1:
                found = found or scope.members(ref)
                rows += [(start + index, (one,)) for index, one in enumerate(found)]
                if found and number and is_option(words[number - 1]):
                    rows.append((start - 1, found))
            elif len(found) > 1:
                raise ValueError(f"{ref} is optional and may be several: let it be a word of its own")
            elif found:
                rows.append((start, found))
        if len(word) > 1 and any(map(scope.members, refs_in((word,)))):
            gathered.append(GatheringWord(start, gathering_parts(word, scope)))
    return RenderedWords(tuple(argv), tuple(rows), tuple(gathered))


def gathering_parts(word: Template, scope: Values) -> tuple[str | tuple[str, tuple[tuple[str, int], ...]], ...]:
    """A word as the parts of a GatheringWord: what expressions of members stand for lies apart, one blank between them."""
    parts: list[str | tuple[str, tuple[tuple[str, int], ...]]] = []
    for part in word:
        if isinstance(part, str):
            parts.append(part)
        elif numbers := scope.members(part):
            parts.append((" ", tuple(zip(scope.values(part), numbers, strict=True))))
        else:
            parts.append(" ".join(scope.values(part)))
    return tuple(parts)


def json_parts(
    name: str, written: Template, scope: Values
) -> tuple[str | tuple[str, tuple[tuple[str, int], ...]], ...]:
    """The same of a word of JSON, ``{"name": …}``: a list where members are all there is, else text."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    head = f"{{{encode(name)}: "
    if len(written) == 1:
        ((separator, texts),) = [part for part in gathering_parts(written, scope) if not isinstance(part, str)]
        return (f"{head}[", (f",{separator}", tuple([(encode(text), number) for text, number in texts])), "]}")
    inside = [
        encode(part)[1:-1]
        if isinstance(part, str)
        else (part[0], tuple([(encode(text)[1:-1], number) for text, number in part[1]]))
        for part in gathering_parts(written, scope)
    ]
    return (f'{head}"', *inside, '"}')


def script_words(script: Template, scope: Values) -> RenderedWords:
    """As `script_with_variables` has it, and the variables that are empty where an input is missing."""
    rows: list[tuple[int, tuple[int, ...]]] = []
    count = 1  # the script itself

    def counted(ref: Ref) -> list[str]:
        nonlocal count
        found = scope.values(ref)
        missing = scope.optional(ref) or scope.members(ref)
        rows.extend((count + index, (one,)) for index, one in enumerate(missing))
        count += len(found)
        return found

    return RenderedWords(script_with_variables(script, counted), tuple(rows))
