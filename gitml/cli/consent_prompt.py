"""Asking the person at the terminal whether a repository may use places or run its steps."""

from __future__ import annotations

import sys

from gitml.cli.text.terminal import paint, safe
from gitml.consent.kinds import PLACES
from gitml.consent.questions import Question, question_lines

_ASKED = {PLACES: "Allow this repository to use them? [y/N] "}
_ASKED_TO_RUN = "Allow this repository to run its steps, now and later? [y/N] "


def prompt_consent(question: Question) -> bool:
    """Shows a Question and reads the answer; anything but yes is no."""
    first, *others = question_lines(question)
    sys.stderr.write(f"{paint(safe(first), 'bold', sys.stderr)}\n" + "".join([f"{safe(line)}\n" for line in others]))
    sys.stderr.write(_ASKED.get(question.kind, _ASKED_TO_RUN))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
