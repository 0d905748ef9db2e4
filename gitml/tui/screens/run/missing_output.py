"""Why a step shows no metrics or no plots: it declares none, has not ended yet, or ended without a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gitml.core.model.action import ActionOutput
from gitml.history.progress import RUNNING, WAITING, StepProgress
from gitml.tui.text import plain

_WORDS = {"metrics": "metrics", "plot": "plots"}
_FORMS = {"metrics": "numbers as JSON", "plot": "a table as CSV, TSV or JSON, or a picture"}


class MissingOutput(NamedTuple):
    """A short title, and one sentence; both are plain text."""

    title: str
    text: str


def missing_output(kind: str, standing: StepProgress, outputs: Sequence[ActionOutput] | None) -> MissingOutput:
    """Why the step has no output of the port type `kind` to show; `outputs` are declared ones, None when they are unknown."""
    words = _WORDS[kind]
    if outputs is None:
        return MissingOutput(
            f"No {words}", "The pipeline of this run can't be read, so its declared outputs are unknown."
        )
    ports = [f"`{plain(output.name)}`" for output in outputs if output.kind == kind]
    if not ports:
        return MissingOutput(
            f"No {words}", f"This step declares no output of the type {kind}. Such an output holds {_FORMS[kind]}."
        )
    named = ", ".join(ports)
    many = len(ports) > 1
    if standing.state in (RUNNING, WAITING):
        return MissingOutput("Not written yet", f"{named} {'are' if many else 'is'} read when the step ends.")
    if standing.state in ("executed", "reused"):
        return MissingOutput(f"No {words}", f"{named} {'hold' if many else 'holds'} nothing to show.")
    return MissingOutput(
        "No result", f"The step was {standing.state}, so {named} {'were' if many else 'was'} not recorded."
    )
