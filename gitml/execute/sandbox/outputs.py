"""Takes what a step was to leave, and only that, once no process of it is alive."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from typing import Any, NamedTuple

from gitml.core.model.action import ActionOutput
from gitml.core.model.result import NUMBER_WORDS, OutputRef, number_word
from gitml.core.text.plot_data import LOOKED_AT, can_be_plot
from gitml.errors import InputError
from gitml.execute.interfaces import SandboxStore
from gitml.execute.log_text import neutral

METRICS_LARGEST = 2**20
_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class ParsedMetrics(NamedTuple):
    """The metrics of an attempt by dotted name, and what a person should know of them."""

    numbers: dict[str, float]
    remarks: tuple[str, ...] = ()


def take_outputs(
    outputs: Sequence[ActionOutput], work: str, store: SandboxStore, taken: list[OutputRef]
) -> ParsedMetrics:
    """Moves the outputs below `work` into the Store, each added to `taken` once it is there, and reads the metrics.

    InputError when one is missing, not of its kind, or a metrics file is not one; all are looked at before any is taken.
    """
    executable = {output.name: _inspect(output, work) for output in outputs}
    numbers: dict[str, float] = {}
    remarks: list[str] = []
    for output in outputs:
        if output.kind == "metrics":
            measured = read_metrics(f"{work}/{output.mount}", output.mount)
            numbers.update(measured.numbers)
            remarks += measured.remarks
        elif output.kind == "plot":
            _check_plot(output, f"{work}/{output.mount}")
    for output in outputs:
        path = f"{work}/{output.mount}"
        try:
            if output.kind == "directory":  # what is left of it goes with the sandbox, once the step counts as finished
                digest, size = store.ingest_tree(path, leave=True)
            else:
                digest, size = store.ingest_file(path)
        except FileNotFoundError as error:
            raise InputError(f"output {output.name} ({output.mount}) went away while it was taken") from error
        except InputError as error:
            error.message = f"output {output.name} ({output.mount}): {error.message}"
            raise
        taken.append(OutputRef(output.name, output.kind, digest, size, executable[output.name]))
    return ParsedMetrics(numbers, tuple(remarks))


def _check_plot(output: ActionOutput, path: str) -> None:
    """InputError unless the file can be shown as a plot."""
    with open(path, "rb") as file:
        head = file.read(LOOKED_AT)
    if not can_be_plot(head, whole=len(head) < LOOKED_AT):
        what = "is empty" if not head else "is no picture, table or HTML page"
        hint = "write a PNG, SVG, CSV or JSON, or declare it as `file`"
        raise InputError(f"plot {output.name} ({output.mount}) {what}", hint=hint)


def read_metrics(path: str, shown: str) -> ParsedMetrics:
    """The numbers of a metrics file by dotted name, true as 1 and false as 0; NaN and infinities count, and are remarked on.

    Text is remarked on and left out, null is left out. InputError for what is not metrics.
    """
    with open(path, "rb") as file:
        data = file.read(METRICS_LARGEST + 1)
    if len(data) > METRICS_LARGEST:
        raise InputError("a metrics file larger than 1 MiB", where=shown, hint="keep large data in a `file` output")
    try:
        raw = json.loads(data, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a JSON metrics file: {error}", where=shown) from error
    if not isinstance(raw, _Pairs):
        raise InputError("not a JSON object of metrics", where=shown, hint='write {"name": number, …}')
    reader = _Reader(shown)
    reader.read(raw, "")
    return reader.measured()


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written, so that a key that is there twice is seen."""


class _Reader:
    """Reads the objects of one metrics file, called `shown` in errors."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.numbers: dict[str, float] = {}
        self.texts: list[str] = []

    def read(self, raw: _Pairs, prefix: str) -> None:
        """Adds the metrics of an object whose own name is `prefix`."""
        keys = set()
        for key, value in raw:
            name = prefix + key
            if key in keys or name in self.numbers:
                raise InputError(f"metric {name} is there twice", where=self.shown, hint="write each name once")
            keys.add(key)
            if isinstance(value, _Pairs):
                self.read(value, name + ".")
            elif isinstance(value, str) and value not in NUMBER_WORDS:
                self.texts.append(name)
            elif value is not None:
                self.numbers[name] = self._number(name, value)

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, list):
            hint = "keep tables and curves in a `plot` or `file` output"
            raise InputError(f"metric {name} is a list, not a number", where=self.shown, hint=hint)
        if isinstance(value, str):
            return float(value)
        try:
            float(value)
        except OverflowError:
            raise InputError(f"metric {name} is too large a number", where=self.shown) from None
        return int(value) if isinstance(value, bool) else value

    def measured(self) -> ParsedMetrics:
        """All that was read."""
        odd = [f"{name} is {number_word(value)}" for name, value in self.numbers.items() if not math.isfinite(value)]
        remarks = [f"metric {_listed(odd)}: recorded as such, and never better than a number"] if odd else []
        if self.texts:
            remarks.append(f"metric {_listed(self.texts)}: text is not recorded as a metric; write a number")
        return ParsedMetrics(self.numbers, tuple([neutral(remark) for remark in remarks]))


def _listed(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join([name[:100] for name in names[:5]]) + more


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
