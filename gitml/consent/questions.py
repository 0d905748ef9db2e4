"""What a person is asked of a repository, and what was allowed it before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from gitml.consent.kinds import PLACES
from gitml.core.config.places import CLUSTER, STORE, Place
from gitml.errors import TrustError

_SHOWN = 10  # commands in a question
_LONGEST = 400  # characters of one
_BLANKS = re.compile(r"\s{9,}")


class Question(NamedTuple):
    """What a person is asked: `kind` is ``places`` or ``run``; `origin` is where the repository came from, as far as Git knows.

    `places` are those that are not allowed yet; `commands` are (step, command line) of what would run.
    """

    kind: str
    origin: str | None
    places: tuple[Place, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()


class ConsentError(TrustError):
    """This user did not allow it yet: `question` is what to ask a person, by a caller that can."""

    def __init__(self, message: str, question: Question, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.question = question


class Granted(NamedTuple):
    """What a repository was allowed: `run` is when its steps were, `places` by identity are (Place, when)."""

    path: str
    run: float | None
    places: Mapping[str, tuple[Place, float]]


def granted_in(path: str, entry: Mapping[str, Any]) -> Granted:
    """What an entry of the user's file says of the repository at `path`; what of it is damaged counts for nothing."""
    run = entry.get("run")
    places = {}
    known = entry.get("places")
    for identity, one in known.items() if isinstance(known, dict) else ():
        with suppress(KeyError, TypeError, ValueError):
            details = tuple([(str(word), str(value)) for word, value in one["details"]])
            place = Place(str(one["kind"]), str(one["name"]), str(one["url"]), details, str(one["source"]))
            if place.identity == identity:  # what an older gitml meant by it counts no more
                places[identity] = (place, float(one["allowed"]))
    return Granted(path, float(run) if isinstance(run, (int, float)) else None, places)


def more(count: int) -> str:
    """How many others there are beside the one that is named."""
    return f" and {count} more" if count else ""


def _shortened(command: str) -> str:
    """A command line in few lines of a terminal: neither many blanks nor a long middle push its end, or its beginning, out."""
    text = _BLANKS.sub(lambda found: f" [{len(found[0]):,} blanks] ", command)
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} [… {len(text) - 2 * half:,} more characters …] {text[-half:]}"


def question_lines(question: Question) -> list[str]:
    """A Question in lines, for a terminal or a dialog; they may hold anything that tracked files say."""
    origin = f", from {question.origin}," if question.origin else ""
    if question.kind == PLACES:
        lines = [f"This repository{origin} names places outside of it:"]
        lines += [f"  {place.words}" for place in question.places]
        if any(place.kind in (STORE, CLUSTER) for place in question.places):
            lines.append("gitml would connect to them as you, with the credentials that you have for them.")
        return lines
    lines = [f"The steps of this repository{origin} never ran here. gitml would run, as you:"]
    shown = question.commands[:_SHOWN]
    wide = max((len(step) for step, _ in shown), default=0)
    lines += [f"  {step.ljust(min(wide, 24))}  {_shortened(command)}" for step, command in shown]
    if len(question.commands) > len(shown):
        lines.append(f"  … and {len(question.commands) - len(shown)} more")
    return lines
