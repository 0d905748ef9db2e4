"""Takes what a step was to leave, and only that, once no process of it is alive."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from typing import Any

from gitml.core.action import ActionOutput
from gitml.core.result import OutputRef
from gitml.errors import InputError
from gitml.execute.contents import PlacingStore

METRICS_LARGEST = 2**20
_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def take_outputs(
    outputs: Sequence[ActionOutput], work: str, store: PlacingStore
) -> tuple[tuple[OutputRef, ...], dict[str, float]]:
    """Moves the outputs below `work` into the Store, in the order declared, and reads the metrics.

    InputError when one is missing, not of its kind, or a metrics file is not one; all are looked at before any is taken.
    """
    executable = {output.name: _inspect(output, work) for output in outputs}
    metrics: dict[str, float] = {}
    for output in outputs:
        if output.kind == "metrics":
            metrics.update(read_metrics(f"{work}/{output.mount}", output.mount))
    taken = []
    for output in outputs:
        path = f"{work}/{output.mount}"
        try:
            take = store.take_tree if output.kind == "directory" else store.take_file
            digest, size = take(path)
        except FileNotFoundError as error:
            raise InputError(f"output {output.name} ({output.mount}) went away while it was taken") from error
        except InputError as error:
            error.message = f"output {output.name} ({output.mount}): {error.message}"
            raise
        taken.append(OutputRef(output.name, output.kind, digest, size, executable[output.name]))
    return tuple(taken), metrics


def read_metrics(path: str, shown: str) -> dict[str, float]:
    """The numbers of a metrics file by dotted name, true as 1 and false as 0; text and null are passed over.

    InputError for what is not metrics.
    """
    with open(path, "rb") as file:
        data = file.read(METRICS_LARGEST + 1)
    if len(data) > METRICS_LARGEST:
        raise InputError("a metrics file larger than 1 MiB", where=shown, hint="keep large data in a `file` output")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a JSON metrics file: {error}", where=shown) from error
    if not isinstance(raw, dict):
        raise InputError("not a JSON object of metrics", where=shown, hint='write {"name": number, …}')
    found: dict[str, float] = {}
    _flatten(raw, "", found, shown)
    return found


def _flatten(raw: dict[str, Any], prefix: str, found: dict[str, float], shown: str) -> None:
    for key, value in raw.items():
        name = prefix + key
        if isinstance(value, dict):
            _flatten(value, name + ".", found, shown)
            continue
        if value is None or isinstance(value, str):
            continue
        if isinstance(value, list):
            hint = "keep tables and curves in a `plot` or `file` output"
            raise InputError(f"metric {name} is a list, not a number", where=shown, hint=hint)
        if not _is_finite(value):
            raise InputError(f"metric {name} is not finite", where=shown, hint="leave it out, or write null")
        if name in found:
            raise InputError(f"metric {name} is there twice", where=shown)
        found[name] = int(value) if isinstance(value, bool) else value


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer no float can hold
        return False


def _inspect(output: ActionOutput, work: str) -> bool:
    """Whether the output is an executable file; InputError unless it is there, in the sandbox, and of its kind."""
    path = f"{work}/{output.mount}"
    parent = os.path.dirname(path)
    if os.path.realpath(parent) != parent:
        raise InputError(f"output {output.name} ({output.mount}) lies behind a symbolic link")
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        hint = "the command must write to the path that ${{ outputs." + output.name + " }} stands for"
        raise InputError(f"did not make output {output.name} ({output.mount})", hint=hint) from None
    expected = "a directory" if output.kind == "directory" else "a file"
    found = next((word for test, word in _KINDS if test(mode)), "a device")
    if found != expected:
        raise InputError(f"output {output.name} ({output.mount}) is {found}, not {expected}")
    return expected == "a file" and bool(mode & stat.S_IXUSR)
