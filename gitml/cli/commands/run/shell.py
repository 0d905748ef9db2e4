"""`gitml shell`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from gitml.cli.options import at_option, secret_option, set_option
from gitml.cli.pipeline_arguments import PipelineArguments, prompt_secret
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.terminal import safe
from gitml.errors import InputError
from gitml.layout import COMMAND_VARIABLE

if TYPE_CHECKING:
    from gitml.core.records.record import Run
    from gitml.engine.planning.load import Loaded


@verb("shell", reaches=ALWAYS)
@click.argument("step", metavar="[RUN:]STEP")
@click.argument("program", metavar="[COMMAND]...", nargs=-1, type=click.UNPROCESSED)
@click.option("-p", "--pipeline", metavar="NAME", help="The pipeline; default: the only one, or the default one.")
@at_option
@set_option
@secret_option
def command(
    session: Session,
    step: str,
    program: tuple[str, ...],
    pipeline: str | None,
    rev: str | None,
    given: tuple[str, ...],
    secrets: tuple[str, ...],
) -> int:
    """Open a shell, or COMMAND behind --, in the sandbox of STEP as it would run now, or as it was in RUN.

    It has the step's code, inputs, environment, variables and confinement; of a step that failed in RUN also what it left of
    its outputs. GITML_COMMAND is the step's command. Nothing is recorded, and the sandbox is removed at the end.
    """
    run, colon, name = step.partition(":")
    made_in = bool(colon) and "[" not in run
    if made_in:
        if pipeline is not None or rev is not None or given:
            raise InputError(
                "a run has a pipeline, a commit and values", where=step[:80], hint="leave out -p, --at and -S"
            )
        loaded, recorded = _of_run(session, run, secrets)
    else:
        name, recorded = step, None
        words = () if pipeline is None else (pipeline,)
        loaded, _ = PipelineArguments(words, rev, given, secrets).load(session)
    from gitml.cli.transfers import fetch_outputs
    from gitml.engine.shell import open_shell, prepare_shell
    from gitml.execute.environments.variables import command_line

    def called(other: str) -> str:
        """The command for another step, to be copied into a shell."""
        words = ["gitml", "shell", *(("-p", pipeline) if pipeline else ()), *(("--at", rev) if rev else ())]
        words += [word for value in given for word in ("-S", value)] + [
            word for one in secrets for word in ("--secret", one)
        ]
        words.append(f"{run}:{other}" if made_in else other)
        return shlex.join([*words, *(("--", *program) if program else ())])

    ready = prepare_shell(session.ws, loaded, name, recorded, called)
    session.warn(*map(safe, (*loaded.warnings, *ready.notes)))
    fetch_outputs(session, ready.lacking)
    line = shlex.join(command_line(ready.task.action))
    session.note(
        safe(line) if "\n" not in line else "the step's command is a script", f'to run it: eval "${COMMAND_VARIABLE}"'
    )
    return open_shell(session.ws, ready, program)


def _of_run(session: Session, text: str, secrets: tuple[str, ...]) -> tuple[Loaded, Run]:
    """What a run ran, and what became of it."""
    from gitml.engine.planning.load import SecretPrompt, load_recorded
    from gitml.history.runs import find_run

    run = find_run(session.recovered_ws, text).run
    loaded = load_recorded(session.ws, run, allow_disabled=True, prompt=SecretPrompt(secrets, prompt_secret))
    return loaded, run
