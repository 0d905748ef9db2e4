"""What a step that failed died of, in one line, and what to do about it."""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

from gitml.execute.environments.programs import NOT_IN_IMAGE, missing_program_hint, other_python
from gitml.execute.log_text import (
    denied_name,
    error_line,
    is_denial,
    missing_command,
    missing_names,
    neutral,
    relative_to,
)
from gitml.execute.process import killed_by
from gitml.execute.sandbox.sandbox import Sandbox

COMMAND_NOT_FOUND = 127  # POSIX: what shells and env exit with
_LINES = 20  # of the end of a log
_UNDECLARED = (
    "a file of the repository: add it to `code:` or use it as ${{ inputs.… }}; another: copy it into the repository"
)


class StepFailure(NamedTuple):
    """`error` is the line, `hint` what to do, where that is known."""

    error: str
    hint: str | None = None


def failure_of(code: int, log: bytes, sandbox: Sandbox, path: str, *, strict: bool, in_image: bool) -> StepFailure:
    """Why a step exited with `code`, negative for a signal, as the end of its `log` has it.

    `path` is where it looked for programs.
    """
    hint: str | None = None
    if strict:
        denied = _denial(log, sandbox, in_image)
        if denied is not None and denied.error:
            return denied
        hint = None if denied is None else denied.hint
    if code < 0:
        return StepFailure(killed_by(-code))
    if code > 128 and code - 128 == signal.SIGKILL:
        return StepFailure(f"exit status {code}: a process of it was {killed_by(signal.SIGKILL)}")
    if code == COMMAND_NOT_FOUND and (name := missing_command(log.decode("utf-8", "replace"))) is not None:
        if in_image:
            hint = NOT_IN_IMAGE
        elif other_python(name, path):
            hint = missing_program_hint(name, path)
    said = relative_to(sandbox.work_paths(), error_line(log, limit=300 + 2 * len(sandbox.work)))
    said = neutral(said, 300)
    return StepFailure(f"exit status {code}" + (f": {said}" if said else ""), hint)


def _denial(log: bytes, sandbox: Sandbox, in_image: bool) -> StepFailure | None:
    """What a strict step was denied, if that is what it died of; without a name of it, only the hint."""
    # what was denied long before the end may have been borne, and is not what the step died of
    end = b"\n".join(log.rstrip().split(b"\n")[-_LINES:])
    text = end.decode("utf-8", "replace")
    denied = denied_name(text, f"{sandbox.seen}/work")
    if denied is None and not in_image:
        denied = _hidden(text)
    if denied is not None and not denied.startswith(f"{sandbox.seen}/"):
        return StepFailure(f"the step used {neutral(denied)}, which it does not declare", _UNDECLARED)
    if denied is None and is_denial(text):
        return StepFailure("", f"`sandbox: strict` denies a step what it does not declare. {_UNDECLARED}")
    return None


def _hidden(end: str) -> str | None:
    """The file that the end of a log says is not there, and that is: a strict step sees folders of its own in its place."""
    from gitml.execute.sandbox.isolation import HIDDEN

    for name in missing_names(end, ()):
        if any(name.startswith(f"{folder}/") for folder in HIDDEN) and os.path.lexists(name):
            return name
    return None
