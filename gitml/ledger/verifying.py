"""Records as they are read: none may contradict itself, and nothing in them is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, tee
from typing import NamedTuple

from gitml.core.action import Action, decode_action
from gitml.core.digest import Digest, digest_of, from_hex
from gitml.core.paths import clean, problem_with, problem_with_output
from gitml.core.record import Run, StepRun, decode_run
from gitml.ledger.layout import RecordFile, parse_path, record_folder
from gitml.repo.logdiff import Offered
from gitml.repo.objects import Header, Objects
from gitml.store.bulk import Preimage

LARGEST = 64 << 20
"""Bytes of one file of a record; more is refused unread."""

_FOLDER = re.compile(r"runs/\d{4}/\d\d/\d\d/([0-9a-f]{2})/\1[0-9a-f]{14}\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*\Z")
_CONTENTS = ("outputs", "logs")


class Refused(NamedTuple):
    """A record, or a file that is part of none, that was not taken in, and why."""

    path: str
    why: str


class Accepted(NamedTuple):
    """What a record brings: its files, the Run when it is a new one, and beside it what `docs/formats.md` names.

    `inline` are (content, blob) of small outputs and logs.
    """

    files: list[Offered]
    run: Run | None
    actions: dict[Digest, Preimage]
    environments: dict[Digest, bytes]
    inline: list[tuple[Digest, str]]


class _File(NamedTuple):
    offered: Offered
    file: RecordFile | None
    header: Header | None
    content: bytes


def verified(
    objects: Objects, offered: Iterable[Offered], is_known: Callable[[str], bool]
) -> Iterator[Accepted | Refused]:
    """A verdict for each record among files that come in order of path. `is_known` tells whether the log has the record."""
    bad: dict[str, str] = {}
    for folder, of_record in _grouped(objects, _possible(offered, bad), lambda file: True):
        why = bad.pop(folder, None)
        if why is None:
            try:
                yield _checked(folder, of_record, is_known)
                continue
            except ValueError as error:
                why = str(error)
        yield Refused(folder, why)
    for folder, why in bad.items():
        yield Refused(folder, why)


def readable(objects: Objects, offered: Iterable[Offered]) -> Iterator[Accepted]:
    """What can be read of each record of the own log. Outputs and logs are not, and what is bad is left out: `fsck` names it."""
    needed = lambda file: file is not None and file.folder not in _CONTENTS  # noqa: E731
    for folder, of_record in _grouped(objects, _possible(offered, {}), needed):
        found = Accepted([], None, {}, {}, [])
        for item in of_record:
            try:
                found = _with(found, folder, item)
            except ValueError:
                continue
        yield found


def _possible(offered: Iterable[Offered], bad: dict[str, str]) -> Iterator[Offered]:
    """The files that are ones of a record by mode and path; why others are not goes to `bad`, by the record's folder."""
    for item in offered:
        folder = _folder_of(item.path)
        if _FOLDER.match(folder) is None:
            bad[item.path] = "a path that no record has"
        elif not _PLAIN.match(item.path, len(folder) + 1):
            bad[folder] = "a path that no record has"
        elif item.mode != "100644":
            bad[folder] = f"{item.path[len(folder) + 1 :]} is no ordinary file"
        else:
            yield item


def _folder_of(path: str) -> str:
    return "/".join(path.split("/", 6)[:6])


def _grouped(
    objects: Objects, offered: Iterable[Offered], is_read: Callable[[RecordFile | None], bool]
) -> Iterator[tuple[str, list[_File]]]:
    """The files of each record, read as far as `is_read` says."""
    asked, given = tee((item, parse_path(item.path)) for item in offered)
    contents = objects.read_within((item.oid for item, file in asked if is_read(file)), LARGEST)
    files = (
        _File(item, file, *next(contents)) if is_read(file) else _File(item, file, None, b"") for item, file in given
    )
    for folder, group in groupby(files, lambda file: _folder_of(file.offered.path)):
        yield folder, list(group)


def _checked(folder: str, files: list[_File], is_known: Callable[[str], bool]) -> Accepted:
    """What the record brings; ValueError saying what contradicts what."""
    found = Accepted([], None, {}, {}, [])
    for item in files:
        name = item.offered.path[len(folder) + 1 :]
        if item.header is None or item.header.kind != "blob":
            raise ValueError(f"{name} did not come with it")
        if item.header.size > LARGEST:
            raise ValueError(f"{name} is larger than {LARGEST >> 20} MiB")
        if (
            item.file is not None
            and item.file.folder in _CONTENTS
            and digest_of(item.content) != from_hex(item.file.name)
        ):
            raise ValueError(f"{name} holds other bytes than its name says")
        found = _with(found, folder, item)
    run = found.run
    if run is None:
        if not is_known(folder):
            raise ValueError("it has no run.json")
        return found
    for step in run.steps:
        if step.outcome == "executed" and step.key in found.actions:
            _check_outputs(step, found.actions[step.key])
    return found


def _with(found: Accepted, folder: str, item: _File) -> Accepted:
    """`found` and what one more file brings; ValueError saying what is wrong with it. Files of a later gitml are only kept."""
    found.files.append(item.offered)
    if item.file is None:
        return found
    kind, name = item.file.folder, item.file.name
    if kind in _CONTENTS:
        found.inline.append((from_hex(name), item.offered.oid))
        return found
    if not kind:
        return found._replace(run=_run(folder, item.content, len(item.offered.oid)))
    if kind == "reproductions":
        json.loads(item.content)
        return found
    digest = digest_of(item.content)
    if name != f"{digest[7:]}.json":
        raise ValueError(f"{kind}/{name} holds other bytes than its name says")
    if kind == "actions":
        action = decode_action(item.content)
        _check_mounts(action)
        found.actions[digest] = Preimage(item.content, action)
    else:
        found.environments[digest] = item.content
    return found


def _run(folder: str, content: bytes, oid_length: int) -> Run:
    run = decode_run(content)
    if run.id != folder[-16:]:
        raise ValueError(f"it tells of run {run.id[:32]!r}")
    try:
        place = record_folder(run.id, run.started)
    except (OverflowError, OSError) as error:
        raise ValueError("it started at a time that is none") from error
    if place != folder:
        raise ValueError("it started on another day than its path says")
    if run.status == "running":
        raise ValueError("it tells of a run that goes on")
    if len(run.commit) != oid_length or (run.base is not None and len(run.base) != oid_length):
        raise ValueError("it names a commit that can be none")
    if len({step.name for step in run.steps}) != len(run.steps):
        raise ValueError("it has two steps of one name")
    return run


def _check_mounts(action: Action) -> None:
    """ValueError for a place in a sandbox that no pipeline file can name: a checkout would write there."""
    inputs = [(item.name, item.mount, problem_with(item.mount)) for item in action.inputs]
    outputs = [(item.name, item.mount, problem_with_output(item.mount)) for item in action.outputs]
    for name, mount, problem in (*inputs, *outputs):
        if problem is None and clean(mount) != mount:
            problem = "a path in no normal form"
        if problem is not None:
            raise ValueError(f"{name[:60]!r} of an action lies at {mount[:200]!r}: {problem}")


def _check_outputs(step: StepRun, preimage: Preimage) -> None:
    declared = {output.name: output.kind for output in preimage.action.outputs}
    for output in step.outputs:
        if declared.get(output.name) != output.kind:
            raise ValueError(f"step {step.name} has an output {output.name} that its action does not make")
