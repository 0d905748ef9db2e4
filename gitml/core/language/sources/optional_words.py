"""The words of a command, and which of them go where an optional input turns out to be missing.

What steps make is known only once they have ended, so a command is rendered as if everything were there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gitml.core.language.expression import Ref, Template, refs_in
from gitml.core.language.module_expansion import is_option
from gitml.core.language.shell import script_with_variables

Conditional = tuple[tuple[int, tuple[int, ...]], ...]
"""Words by number, each with numbers of inputs: a word goes where none of its inputs is there."""


def command_words(
    words: Sequence[Template],
    rendered: Callable[[Template], Sequence[str]],
    optional: Callable[[Ref], tuple[int, ...]],
) -> tuple[tuple[str, ...], Conditional]:
    """The words as `rendered`, and those that stand or fall with the inputs that `optional` gives for an expression.

    With a word that is nothing but such an input goes the option before it. ValueError for several in one word.
    """
    argv: list[str] = []
    rows: list[tuple[int, tuple[int, ...]]] = []
    for number, word in enumerate(words):
        start = len(argv)
        argv += rendered(word)
        for ref in refs_in((word,)):
            found = optional(ref)
            if len(word) == 1:
                rows += [(start + index, (one,)) for index, one in enumerate(found)]
                if found and number and is_option(words[number - 1]):
                    rows.append((start - 1, found))
            elif len(found) > 1:
                raise ValueError(f"{ref} is optional and may be several: let it be a word of its own")
            elif found:
                rows.append((start, found))
    return tuple(argv), tuple(rows)


def script_words(
    script: Template, values: Callable[[Ref], list[str]], optional: Callable[[Ref], tuple[int, ...]]
) -> tuple[tuple[str, ...], Conditional]:
    """As `script_with_variables` has it, and the variables that are empty where an optional input is missing."""
    rows: list[tuple[int, tuple[int, ...]]] = []
    count = 1  # the script itself

    def counted(ref: Ref) -> list[str]:
        nonlocal count
        found = values(ref)
        rows.extend((count + index, (one,)) for index, one in enumerate(optional(ref)))
        count += len(found)
        return found

    return script_with_variables(script, counted), tuple(rows)
