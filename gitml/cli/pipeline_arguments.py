"""What `gitml run`, `submit`, `plan` and `dag` are asked for: a pipeline, steps of it, values of parameters, options of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gitml.cli.options import at_option, bundle, secret_option, set_option
from gitml.cli.session import Session
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.engine.planning.load import Loaded, UnknownPipelineError
    from gitml.engine.planning.request import RunRequest

_MEANT = " (did you mean "


class SelectedSteps(NamedTuple):
    """A loaded pipeline and the steps of it that were named."""

    loaded: Loaded
    wanted: tuple[str, ...]


class PipelineArguments(NamedTuple):
    """``[PIPELINE] [STEP]...``, ``--at REV``, ``-S name=value`` and ``--secret NAME``."""

    words: tuple[str, ...]
    rev: str | None
    given: tuple[str, ...]
    secrets: tuple[str, ...]

    def load(self, session: Session, *, allow_disabled: bool = False) -> SelectedSteps:
        """The pipeline and steps that are meant. A first word that is no pipeline may be a step of the default one."""
        given = parse_assignments(self.given)
        ws = session.recovered_ws  # what killed runs had finished is reused
        from gitml.engine.planning.load import SecretPrompt, UnknownPipelineError, load

        bare = partial(load, ws, rev=self.rev, allow_disabled=allow_disabled)
        full = partial(bare, given=given, prompt=SecretPrompt(self.secrets, prompt_secret))
        if not self.words:
            return SelectedSteps(full(None), ())
        try:
            return SelectedSteps(full(self.words[0]), self.words[1:])
        except UnknownPipelineError as error:
            default = self._steps_of_default(full, bare, error)
            if default is None:
                raise
            return default

    def _steps_of_default(
        self, full: Callable[..., Loaded], bare: Callable[..., Loaded], error: UnknownPipelineError
    ) -> SelectedSteps | None:
        """All words as steps of the default pipeline; None when there is no default. `bare` loads it without values.

        InputError where the first word is nearer to a step's name than to that of any pipeline (`error` names the nearest one).
        """
        from gitml.core.language.diagnostics import nearest
        from gitml.engine.planning.load import UnknownPipelineError

        fault: InputError | None = None
        try:
            loaded = full(None)
        except UnknownPipelineError:
            return None
        except InputError as wrong:
            fault = wrong  # which is beside the point where no step of it is meant
            try:
                loaded = bare(None)
            except InputError:
                raise wrong from None
        word = self.words[0]
        names = dict.fromkeys(name for step in loaded.graph.steps.values() for name in (step.base, step.name))
        if word in names or word.partition("[")[0] in loaded.graph.dynamic:
            if fault is not None:
                raise fault
            return SelectedSteps(loaded, self.words)
        near = nearest(word, names)
        if near.startswith(_MEANT) and _MEANT not in error.message:
            of = f"step of {loaded.graph.pipeline!r}"
            raise InputError(f"no pipeline and no {of} is called {word[:80]!r}{near}")
        return None


pipeline_arguments = bundle(
    "wanted",
    PipelineArguments,
    click.argument("words", metavar="[PIPELINE] [STEP]...", nargs=-1),
    at_option,
    set_option,
    secret_option,
)


def parse_assignments(values: Sequence[str]) -> list[tuple[str, str]]:
    """``name=value`` of each ``-S``; InputError for one without a name."""
    given = []
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"not name=value: {text[:80]!r}", where="-S")
        _refuse_credential(f"-S {name}=…", value)
        given.append((name, value))
    return given


def _refuse_credential(option: str, text: str) -> None:
    """InputError where `text`, which is recorded, gives a credential away."""
    if len(text) < 6:
        return
    from gitml.redaction import exposed

    what = exposed(text)
    if what is not None:
        hint = "declare a parameter secret: true and give it by --secret NAME, or have env pass a variable on"
        raise InputError(f"{what} would be recorded", where=option, hint=hint)


def prompt_secret(name: str) -> str | None:
    """The value of a secret parameter, as a person types it without an echo; None where there is no terminal."""
    if not sys.stdin.isatty():
        return None
    import getpass

    try:
        return getpass.getpass(f"value of the secret parameter {name}: ")
    except EOFError:
        return None


def _request(*, no_reuse: bool, **fields: Any) -> RunRequest:
    from gitml.engine.planning.request import RunRequest

    return RunRequest(reuse=not no_reuse, **fields)


run_options = bundle(
    "request",
    _request,
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


def check_run_options(given: Sequence[str], request: RunRequest) -> None:
    """InputError for a value of ``-S`` without a name, for names that are empty, and for credentials, which would be recorded."""
    parse_assignments(given)
    for option, names in (("--experiment", (request.experiment,)), ("--tag", request.tags), ("--on", (request.on,))):
        if "" in names:
            raise InputError("an empty name", where=option, hint="give one, or leave the option out")
        for name in names:
            _refuse_credential(option, name or "")
    _refuse_credential("--message", request.message)


def load_for_run(session: Session, wanted: PipelineArguments, request: RunRequest) -> SelectedSteps:
    """The pipeline and the steps to run, once `check_run_options` has nothing against it."""
    check_run_options(wanted.given, request)
    return wanted.load(session, allow_disabled=request.allow_disabled)
