"""From the words of a command line to a pipeline, its steps and its parameters."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.engine.planning.load import Loaded, SecretPrompt, UnknownPipelineError
    from gitml.workspace import Workspace


_MEANT = " (did you mean "


class SelectedSteps(NamedTuple):
    """A loaded pipeline and the steps of it that were named."""

    loaded: Loaded
    wanted: tuple[str, ...]


def parse_assignments(values: Sequence[str]) -> list[tuple[str, str]]:
    """``name=value`` of each ``-S``; InputError for one without a name."""
    given = []
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"not name=value: {text[:80]!r}", where="-S")
        refuse_credential(f"-S {name}=…", value)
        given.append((name, value))
    return given


def refuse_credential(option: str, text: str) -> None:
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


def load_selection(
    ws: Workspace,
    words: Sequence[str],
    rev: str | None,
    given: Sequence[tuple[str, str]],
    *,
    allow_disabled: bool = False,
    secrets: Sequence[str] = (),
) -> SelectedSteps:
    """The pipeline and steps that ``[PIPELINE] [STEP…]`` means.

    A first word that is no pipeline may be a step of the default one.
    """
    recover_killed(ws)  # what it had finished is reused
    from gitml.engine.planning.load import SecretPrompt, UnknownPipelineError, load

    prompt = SecretPrompt(secrets, prompt_secret)
    if not words:
        return SelectedSteps(load(ws, None, rev, given, allow_disabled=allow_disabled, prompt=prompt), ())
    try:
        loaded = load(ws, words[0], rev, given, allow_disabled=allow_disabled, prompt=prompt)
        return SelectedSteps(loaded, tuple(words[1:]))
    except UnknownPipelineError as error:
        selection = _steps_of_default(ws, words, rev, given, error, allow_disabled, prompt)
        if selection is None:
            raise
        return selection


def _steps_of_default(
    ws: Workspace,
    words: Sequence[str],
    rev: str | None,
    given: Sequence[tuple[str, str]],
    error: UnknownPipelineError,
    allow_disabled: bool,
    prompt: SecretPrompt,
) -> SelectedSteps | None:
    """All words as steps of the default pipeline; None when there is no default.

    InputError where the first word is nearer to a step's name than to that of any pipeline (`error` names the nearest one).
    """
    from gitml.core.language.diagnostics import nearest
    from gitml.engine.planning.load import UnknownPipelineError, load

    fault: InputError | None = None
    try:
        loaded = load(ws, None, rev, given, allow_disabled=allow_disabled, prompt=prompt)
    except UnknownPipelineError:
        return None
    except InputError as wrong:
        fault = wrong  # which is beside the point where no step of it is meant
        try:
            loaded = load(ws, None, rev, allow_disabled=allow_disabled)
        except InputError:
            raise wrong from None
    names = dict.fromkeys(name for step in loaded.graph.steps.values() for name in (step.base, step.name))
    if words[0] in names:
        if fault is not None:
            raise fault
        return SelectedSteps(loaded, tuple(words))
    near = nearest(words[0], names)
    if near.startswith(_MEANT) and _MEANT not in error.message:
        of = f"step of {loaded.graph.pipeline!r}"
        raise InputError(f"no pipeline and no {of} is called {words[0][:80]!r}{near}")
    return None


def commit_of(loaded: Loaded) -> tuple[str | None, bool]:
    """(commit, dirty) of what was planned, without writing a snapshot: of uncommitted work the commit it lies on."""
    source: Any = loaded.source
    commit = getattr(source, "commit", None)
    if commit is not None:
        return commit, False
    return source.head, bool(source.dirty)


def has_live_runs(ws: Workspace) -> bool:
    """Whether a run is going on or was left by a killed gitml."""
    try:
        return bool(os.listdir(ws.live))
    except FileNotFoundError:
        return False


def recover_killed(ws: Workspace) -> None:
    """Records the runs whose gitml was killed, so that what is shown is true; costs a look at a folder when there are none."""
    if not ws.frozen and has_live_runs(ws):
        from gitml.engine.journal.recovery import recover

        recover(ws)
