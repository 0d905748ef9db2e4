"""The command of a step with what is there of its inputs: without those that are optional, or whose step failed."""

from __future__ import annotations

import re
from collections.abc import Collection

from gitml.core.language.shell import VARIABLE
from gitml.core.model.graph import GatheringWord, GraphStep

_ONE = rf"\$\{{{VARIABLE}[0-9]{{1,9}}\}}"
_VARIABLES = re.compile(rf'"{_ONE}"(?: "{_ONE}")*|{_ONE}(?: {_ONE})*')
_NUMBER = re.compile(r"[0-9]+")


def words_with(step: GraphStep, absent: frozenset[int], failed: frozenset[int] = frozenset()) -> tuple[str, ...]:
    """The command of a step without the words of inputs that are `absent`, by their numbers.

    In a script their variables are empty. Those of steps that `failed` are among them, and of them nothing is left: neither in a
    script, nor beside others in a word.
    """
    gone = {word for word, needed in step.conditional if absent.issuperset(needed)} if absent else set()
    argv = list(step.argv)
    for gathering in step.gathered if failed else ():
        argv[gathering.number] = _without(gathering, failed)
    if not gone:
        return tuple(argv)
    if not step.shell:
        return tuple([word for number, word in enumerate(argv) if number not in gone])
    removed = {word - 1 for word, needed in step.conditional if failed.issuperset(needed)} if failed else set()
    script = without_variables(argv[0], removed) if removed else argv[0]
    return (script, *("" if number in gone else word for number, word in enumerate(argv[1:], 1)))


def without_variables(script: str, removed: Collection[int]) -> str:
    """A script without the variables of values with these numbers."""
    return _VARIABLES.sub(lambda found: _others(found[0], removed), script)


def _without(gathering: GatheringWord, failed: frozenset[int]) -> str:
    return "".join(
        part if isinstance(part, str) else part[0].join([text for text, number in part[1] if number not in failed])
        for part in gathering.parts
    )


def _others(variables: str, removed: Collection[int]) -> str:
    """Variables of a script that stand beside one another, without those with these numbers."""
    return " ".join([one for one in variables.split(" ") if int(_NUMBER.findall(one)[0]) not in removed])
