"""`gitml env build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitml.cli.commands.environment.progress import BuildLine, stop_requests
from gitml.cli.commands.environment.show import environment_as_json
from gitml.cli.errors import DONE, FAILED
from gitml.cli.interrupts import InterruptHandler
from gitml.cli.pipeline_arguments import PipelineArguments, pipeline_arguments
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import duration, size
from gitml.cli.text.terminal import paint, safe

if TYPE_CHECKING:
    from gitml.analysis.environment_build import BuildOutcome
    from gitml.analysis.environments import PipelineEnvironment

_COLOURS = {"built": "green", "there": "cyan", "failed": "red", "elsewhere": "yellow"}


@verb("build", json=True, reaches=ALWAYS)
@pipeline_arguments
def build(session: Session, wanted: PipelineArguments) -> int:
    """Build the environments of a pipeline's steps on this machine, those that are not built yet.

    One that fails keeps no other from being built; then the exit code is 1. Steps of clusters have theirs built there.
    """
    from gitml.analysis.environment_build import build_environments
    from gitml.execute.process import StoppedError

    loaded, steps = wanted.load(session)
    done: list[BuildOutcome] = []
    progress = BuildLine(session)

    def report(one: PipelineEnvironment, words: str) -> None:
        progress.report(one.spec, words)

    with InterruptHandler(quiet=session.quiet, message="stopping") as handler, stop_requests(handler.stop) as stop:
        try:
            for outcome in build_environments(session.ws, loaded, steps, stop, report):
                done.append(outcome)
                progress.clear()
                session.show(_line(outcome))
        except StoppedError:
            return handler.exit_code
        finally:
            progress.clear()
    session.result([_as_json(outcome) for outcome in done])
    return FAILED if any(outcome.outcome == "failed" for outcome in done) else DONE


def _line(outcome: BuildOutcome) -> str:
    one = outcome.found
    if outcome.outcome == "failed":
        what = safe(outcome.error or "") + (f" ({safe(outcome.hint)})" if outcome.hint else "")
    elif outcome.outcome == "elsewhere":
        what = f"{safe(one.target)} builds it when a step needs it"
    elif one.place is None:
        what = "as it is installed"
    else:
        what = safe(one.place) + ("" if one.bytes is None else f", {size(one.bytes)}")
        what += f", in {duration(outcome.seconds)}" if outcome.outcome == "built" else ""
    return f"{paint(f'{outcome.outcome:<9}', _COLOURS[outcome.outcome])}  {safe(one.spec)}  {what}"


def _as_json(outcome: BuildOutcome) -> dict[str, Any]:
    fault = {"problem": outcome.error, "hint": outcome.hint} if outcome.error is not None else {}
    return {
        **environment_as_json(outcome.found),
        **fault,
        "outcome": outcome.outcome,
        "seconds": round(outcome.seconds, 3),
    }
