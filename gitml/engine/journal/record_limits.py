"""A run whose record no clone would take in is never made: what is known before is refused before, the rest is cut to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitml.core.model.graph import GraphStep
from gitml.core.records.record import Run, StepRun, encode_record, encode_run
from gitml.errors import InputError
from gitml.records.layout import LARGEST, LARGEST_DESCRIPTION

HEAD = 16 << 20
"""Bytes of what a record says of the run as a whole: message, parameters, names of chosen steps and modules."""
ROWS = 128 << 20
"""Bytes of what it says of the steps before they run: their names and outputs. As much again is for how they went."""
ROW = 16 << 20
"""Bytes of what it says of one step; attempts and metrics beyond are left out."""

_ROW = 900  # bytes of a step without its names, with one attempt
_OUTPUT = 150  # bytes of an output without its name
_WORST = 12  # bytes of a character in JSON
_FIRST, _LAST = 10, 100  # attempts that are kept of too many
_ERROR = 4000  # characters of an error that are kept where it is too long


def refuse_too_large(run: Run, steps: Mapping[str, GraphStep], names: Sequence[str]) -> None:
    """InputError when the record of `run`, which is to have the steps called `names`, would be too large for a clone."""
    if _WORST * _characters(run) > HEAD:
        size = len(encode_run(run._replace(steps=())))
        if size > HEAD:
            sizes = {
                "its message": len(run.message),
                "its parameters": sum(len(name) + len(str(value)) for name, value in run.params.items()),
                "its tags": sum(map(len, run.tags)),
                "the names of the chosen steps": sum(map(len, run.selected)),
            }
            raise InputError(
                f"the record of the run would say {size >> 20} MiB of it, and {HEAD >> 20} MiB is the most that a record holds",
                where=max(sizes, key=lambda what: sizes[what]),
                hint="keep large values in files that are inputs",
            )
    size = len(names) * _ROW
    for name in names:
        size += 2 * len(name)
        for output in steps[name].outputs:
            size += _OUTPUT + len(output.name)
    if size > ROWS:
        raise InputError(
            f"the record of {len(names)} steps would take {size >> 20} MiB, and {ROWS >> 20} MiB is the most that a record holds",
            where=run.path,
            hint="make it several pipelines, or fewer and larger steps",
        )


def record_files(run: Run) -> dict[str, bytes]:
    """The files of the record that say what the run was, by name, none larger than a clone takes in.

    Where a step has too much to say, attempts between the first and the last and its metrics are left out; its outputs, the
    files of its metrics too, are all there.
    """
    files = encode_record(run)
    if _fit(files):
        return files
    sizes = sorted(
        ((len(encode_run(run._replace(steps=(step,)))), n) for n, step in enumerate(run.steps)), reverse=True
    )
    steps = list(run.steps)
    excess = sum(size for size, _ in sizes) - 3 * ROWS
    for size, number in sizes:
        if size > ROW or excess > 0:
            steps[number] = _cut(steps[number])
            excess -= size
    return encode_record(run._replace(steps=tuple(steps)))


def _fit(files: Mapping[str, bytes]) -> bool:
    return sum(map(len, files.values())) <= LARGEST_DESCRIPTION and max(map(len, files.values())) <= LARGEST


def _cut(step: StepRun) -> StepRun:
    attempts = step.attempts
    if len(attempts) > _FIRST + _LAST:
        attempts = (*attempts[:_FIRST], *attempts[-_LAST:])
    left_out = f"{len(step.metrics)} metrics are more than a record holds" if step.metrics else ""
    return step._replace(
        reason="; ".join(filter(None, (step.reason[:_ERROR], left_out))),
        metrics={},
        attempts=tuple([one._replace(error=one.error and one.error[:_ERROR]) for one in attempts]),
        error=step.error and step.error[:_ERROR],
    )


def _characters(run: Run) -> int:
    said = len(run.message) + sum(map(len, run.tags)) + sum(map(len, run.selected))
    for name, value in run.params.items():
        said += len(name) + (len(value) if type(value) is str else 40)
    return said
