"""What `gitml run` is asked for, and `submit`, `plan` and `dag`: the same words and options, read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from gitml.cli.options import at_option, bundle, secret_option, set_option
from gitml.cli.pipeline_arguments import SelectedSteps, load_selection, parse_assignments, refuse_credential
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.engine.planning.request import RunRequest
    from gitml.workspace import Workspace


class PipelineArguments(NamedTuple):
    """``[PIPELINE] [STEP]...``, ``--at REV``, ``-S name=value`` and ``--secret NAME``."""

    words: tuple[str, ...]
    rev: str | None
    given: tuple[str, ...]
    secrets: tuple[str, ...] = ()

    def load(self, ws: Workspace, *, allow_disabled: bool = False) -> SelectedSteps:
        """The pipeline and the steps that are meant."""
        given = parse_assignments(self.given)
        return load_selection(ws, self.words, self.rev, given, allow_disabled=allow_disabled, secrets=self.secrets)


class RunOptions(NamedTuple):
    """The options of a run: the fields of RunRequest except the steps."""

    jobs: int | None
    force: bool
    no_reuse: bool
    keep_going: bool
    experiment: str | None
    tags: tuple[str, ...]
    message: str
    allow_disabled: bool

    def request(self, wanted: tuple[str, ...], on: str | None) -> RunRequest:
        """The request for these steps on this target."""
        from gitml.engine.planning.request import RunRequest

        return RunRequest(
            wanted=wanted,
            force=self.force,
            reuse=not self.no_reuse,
            keep_going=self.keep_going,
            jobs=self.jobs,
            experiment=self.experiment,
            tags=self.tags,
            message=self.message,
            allow_disabled=self.allow_disabled,
            on=on,
        )


def check_run_options(wanted: PipelineArguments, options: RunOptions, on: str | None) -> None:
    """InputError for a value of ``-S`` without a name, for names that are empty, and for credentials, which would be recorded."""
    parse_assignments(wanted.given)
    for option, names in (("--experiment", (options.experiment,)), ("--tag", options.tags), ("--on", (on,))):
        if "" in names:
            raise InputError("an empty name", where=option, hint="give one, or leave the option out")
        for name in names:
            refuse_credential(option, name or "")
    refuse_credential("--message", options.message)


def load_for_run(ws: Workspace, wanted: PipelineArguments, options: RunOptions, on: str | None) -> SelectedSteps:
    """The pipeline and the steps to run, once `check_run_options` has nothing against it."""
    check_run_options(wanted, options, on)
    return wanted.load(ws, allow_disabled=options.allow_disabled)


pipeline_arguments = bundle(
    "wanted",
    PipelineArguments,
    click.argument("words", metavar="[PIPELINE] [STEP]...", nargs=-1),
    at_option,
    set_option,
    secret_option,
)

run_options = bundle(
    "options",
    RunOptions,
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1, 4096),
        metavar="N",
        help="Steps at once; default: the CPUs here, on a cluster as many as fit.",
    ),
    click.option("-f", "--force", is_flag=True, help="Run the named steps (or all) again whatever is known."),
    click.option("--no-reuse", is_flag=True, help="Run every step, those before the named ones too."),
    click.option("-k", "--keep-going", is_flag=True, help="After a failure run what does not depend on it."),
    click.option("--experiment", metavar="NAME", help="File the run under this experiment."),
    click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag the run; may be repeated."),
    click.option("-m", "--message", default="", metavar="TEXT", help="What the run is for."),
    click.option(
        "--allow-disabled", is_flag=True, help="Use disabled modules too, to run an old commit; it is recorded."
    ),
)
