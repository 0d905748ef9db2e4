"""The recorder of a finished run: one durable commit in the log of runs, then the index.

A record that no clone would take in is never made: what is known before the run is refused before it, the rest is cut to fit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from typing import Any

from gitml.core.config.project import Config
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.environment import Environment, encode_description
from gitml.core.model.graph import GraphStep
from gitml.core.model.tree import decode_tree
from gitml.core.records.record import Run, StepRun, encode_record, encode_run
from gitml.engine.journal import partial_outputs
from gitml.errors import InputError, IntegrityError, MachineError
from gitml.git.revisions import commit_info
from gitml.records.layout import LARGEST, LARGEST_DESCRIPTION, TIP, record_folder
from gitml.store.index.results import unrecorded_runs
from gitml.store.index.runs import put_run
from gitml.workspace import Workspace

_NONE: Mapping[Any, Any] = {}


def record_run(
    ws: Workspace,
    run: Run,
    config: Config,
    actions: Mapping[Digest, bytes] = _NONE,
    environments: Mapping[Digest, Environment] = _NONE,
) -> str:
    """Appends the record of `run` and updates the index; returns the record's commit.

    Beside ``run.json`` go the pre-images of performed `actions` and the `environments` they name.
    """
    unrecorded = unrecorded_runs(ws.index)
    if unrecorded:
        _keep_origins(ws, run, unrecorded)
    folder = record_folder(run.id, run.started)
    inline = _Inline(ws, config)
    for step in run.steps:
        if step.outcome == "reused":
            continue
        for output in step.outputs:
            inline.add(output.digest, output.size, "outputs", tree=output.is_tree)
        for attempt in step.attempts:
            if attempt.log is not None:
                inline.add(attempt.log.digest, attempt.log.size, "logs", tree=False)
    files = {f"{folder}/{name}": content for name, content in record_files(run).items()}
    room = LARGEST_DESCRIPTION - sum(map(len, files.values()))
    for key, preimage in actions.items():
        room -= len(preimage)
        if len(preimage) <= LARGEST and room > 0:  # no clone would take the record in; explanations do without
            files[f"{folder}/actions/{hex_of(key)}.json"] = preimage
    for digest, environment in environments.items():
        files[f"{folder}/environments/{hex_of(digest)}.json"] = encode_description(environment.description)
    for name, content in inline.files.items():
        files[f"{folder}/{name}"] = content
    partial_outputs.note(ws, run)
    message = f"{run.pipeline} {run.status}: {run.id[:8]}\n\n{run.message}".rstrip() + "\n"
    known = ws.index.meta(TIP)
    commit = ws.records.append(files, message, run.commit)
    _index(ws, run, commit, known, inline)
    return commit


def _keep_origins(ws: Workspace, run: Run, unrecorded: Set[str]) -> None:
    """Makes sure that the runs which `run` reused from and which go on will be recorded, whatever comes."""
    from gitml.engine.journal.journal import make_durable

    for origin in {step.origin for step in run.steps if step.origin in unrecorded}:
        folder = os.path.join(ws.live, str(origin))
        try:
            make_durable(ws, folder)
        except MachineError:
            if os.path.isdir(folder):
                raise  # else its record was written meanwhile


def _index(ws: Workspace, run: Run, commit: str, known: str | None, inline: _Inline) -> None:
    """Level with our own record, unless another process recorded too: then the next look reads both from the log."""
    with ws.index.batch():
        put_run(ws.index, run, commit)
        kind = ws.location.object_format
        ws.index.put_contents([(digest, _blob_id(content, kind)) for digest, content in inline.by_digest.items()])
        before = commit_info(ws.objects, commit).parents[0]
        if before == known or (known is None and not commit_info(ws.objects, before).parents):  # the root of every log
            ws.index.set_meta(TIP, commit)


class _Inline:
    """Small outputs and logs that travel with the record itself, within the sizes the project allows."""

    def __init__(self, ws: Workspace, config: Config) -> None:
        self.store = ws.store
        self.index = ws.index
        self.file_limit = min(config.inline_file, LARGEST)
        self.left = config.inline_run
        self.files: dict[str, bytes] = {}
        self.by_digest: dict[Digest, bytes] = {}

    def add(self, digest: Digest, size: int, folder: str, *, tree: bool) -> None:
        if digest in self.by_digest or self.index.inline(digest) is not None:
            return
        try:
            self._add(digest, size, folder, tree=tree)
        except IntegrityError:
            return  # lost or spoiled since it was made; what came of the step is recorded all the same, and `fsck` names it

    def _add(self, digest: Digest, size: int, folder: str, *, tree: bool) -> None:
        if tree:
            listing = self.store.read(digest)
            if size <= self.left and self._take(digest, listing, folder):
                for entry in decode_tree(listing):
                    self.add(entry.digest, entry.size, folder, tree=entry.kind == "d")
        elif size <= self.file_limit:
            self._take(digest, self.store.read(digest), folder)

    def _take(self, digest: Digest, content: bytes, folder: str) -> bool:
        if len(content) > self.file_limit or len(content) > self.left:
            return False
        self.left -= len(content)
        self.files[f"{folder}/{hex_of(digest)}"] = content
        self.by_digest[digest] = content
        return True


def _blob_id(content: bytes, object_format: str) -> str:
    import hashlib

    return hashlib.new(object_format, b"blob %d\0" % len(content) + content).hexdigest()


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
    held = [len(content) for content in files.values()]
    if sum(held) <= LARGEST_DESCRIPTION and max(held) <= LARGEST:
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


def _cut(step: StepRun) -> StepRun:
    attempts = step.attempts
    if len(attempts) > _FIRST + _LAST:
        attempts = (*attempts[:_FIRST], *attempts[-_LAST:])
    left_out = f"{len(step.metrics) + len(step.labels)} metrics are more than a record holds" if step.metrics else ""
    return step._replace(
        reason="; ".join(filter(None, (step.reason[:_ERROR], left_out))),
        metrics={},
        labels={},
        attempts=tuple([one._replace(error=one.error and one.error[:_ERROR]) for one in attempts]),
        error=step.error and step.error[:_ERROR],
    )


def _characters(run: Run) -> int:
    said = len(run.message) + sum(map(len, run.tags)) + sum(map(len, run.selected))
    for name, value in run.params.items():
        said += len(name) + (len(value) if type(value) is str else 40)
    return said
