"""`gitml rerun`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitml.cli.commands.run.run import RunMode, carry_out, run_mode
from gitml.cli.options import on_option, secret_option, set_option
from gitml.cli.pipeline_arguments import (
    SelectedSteps,
    check_run_options,
    parse_assignments,
    prompt_secret,
    run_options,
)
from gitml.cli.session import ALWAYS, Session, verb
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.engine.planning.request import RunRequest


@verb("rerun", json=True, reaches=ALWAYS)
@click.argument("run")
@set_option
@secret_option
@on_option
@run_mode
@run_options
def command(
    session: Session,
    run: str,
    given: tuple[str, ...],
    secrets: tuple[str, ...],
    on: str | None,
    mode: RunMode,
    request: RunRequest,
) -> int:
    """Run what RUN ran: its pipeline and steps at its commit, with its parameters and modules, and values given by -S.

    What is known is reused, as in any run. `gitml reproduce` runs every step and compares the outputs.
    """

    def load() -> SelectedSteps:
        return _load(session, run, given, secrets, allow_disabled=request.allow_disabled)

    request = request._replace(on=on)
    check_run_options(given, request)
    return carry_out(session, "rerun", mode, request, secrets, load)


def _load(
    session: Session, text: str, given: tuple[str, ...], secrets: tuple[str, ...], *, allow_disabled: bool
) -> SelectedSteps:
    """What the run ran."""
    from gitml.engine.planning.load import SecretPrompt, load_recorded
    from gitml.history.runs import find_run

    ws = session.recovered_ws
    found = find_run(ws, text)
    run = found.run
    if found.live is not None:
        raise InputError(f"run {run.id[:8]} is still going on", hint=f"gitml wait {run.id[:8]}")
    prompt = SecretPrompt(secrets, prompt_secret)
    loaded = load_recorded(ws, run, parse_assignments(given), allow_disabled=allow_disabled, prompt=prompt)
    return SelectedSteps(loaded, run.selected)
