"""Records of other clones, looked at before they become part of the log: none may contradict itself, none is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, tee
from typing import NamedTuple

from gitml.core.action import Action, decode_action
from gitml.core.digest import Digest, digest_of, from_hex
from gitml.core.record import Run, StepRun, decode_run
from gitml.ledger.layout import parse_path, record_folder
from gitml.repo.logdiff import Offered
from gitml.repo.objects import Header, Objects

LARGEST = 64 << 20
"""Bytes of one file of a record; more is refused unread."""

_FOLDER = re.compile(r"runs/\d{4}/\d\d/\d\d/([0-9a-f]{2})/(\1[0-9a-f]{14})\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*\Z")


class Refused(NamedTuple):
    """A record, or a file that is part of none, that was not taken in, and why."""

    path: str
    why: str


class Accepted(NamedTuple):
    """The files that a record brings, and the Run when it is a new one."""

    folder: str
    files: tuple[Offered, ...]
    run: Run | None


class _File(NamedTuple):
    offered: Offered
    header: Header | None
    content: bytes


def verified(
    objects: Objects, offered: Iterable[Offered], is_known: Callable[[str], bool]
) -> Iterator[Accepted | Refused]:
    """A verdict for each record among files that come in order of path. `is_known` tells whether the log has the record."""
    bad: dict[str, str] = {}
    asked, given = tee(_possible(offered, bad))
    contents = objects.read_within((item.oid for item in asked), LARGEST)
    files = (_File(item, *found) for item, found in zip(given, contents, strict=True))
    for folder, group in groupby(files, lambda file: _folder_of(file.offered.path)):
        of_record = list(group)
        why = bad.pop(folder, None)
        run = None
        if why is None:
            try:
                run = _checked(folder, of_record, is_known, objects)
            except ValueError as error:
                why = str(error)
        if why is None:
            yield Accepted(folder, tuple([file.offered for file in of_record]), run)
        else:
            yield Refused(folder, why)
    for folder, why in bad.items():
        yield Refused(folder, why)


def _possible(offered: Iterable[Offered], bad: dict[str, str]) -> Iterator[Offered]:
    """The files that are ones of a record by mode and path; why others are not goes to `bad`, by the record's folder."""
    for item in offered:
        folder = _folder_of(item.path)
        if _FOLDER.match(folder) is None or not _PLAIN.match(item.path[len(folder) + 1 :]):
            bad[item.path if _FOLDER.match(folder) is None else folder] = "a path that no record has"
        elif item.mode != "100644":
            bad[folder] = f"{item.path[len(folder) + 1 :]} is no ordinary file"
        else:
            yield item


def _folder_of(path: str) -> str:
    return "/".join(path.split("/", 6)[:6])


def _checked(folder: str, files: list[_File], is_known: Callable[[str], bool], objects: Objects) -> Run | None:
    """The Run that the record's files tell of, None when they add to a known one; ValueError saying what contradicts what."""
    run: Run | None = None
    actions: dict[Digest, Action] = {}
    for offered, header, content in files:
        name = offered.path[len(folder) + 1 :]
        if header is None or header.kind != "blob":
            raise ValueError(f"{name} did not come with it")
        if header.size > LARGEST:
            raise ValueError(f"{name} is larger than {LARGEST >> 20} MiB")
        file = parse_path(offered.path)
        if file is None:
            continue  # of a later gitml: kept for it, and not looked at
        if not file.folder:
            run = _run(folder, content, objects)
            continue
        digest = None
        if file.folder == "reproductions":
            json.loads(content)
            continue
        digest = digest_of(content)
        if digest != from_hex(file.name.removesuffix(".json")):
            raise ValueError(f"{name} holds other bytes than its name says")
        if file.folder == "actions":
            actions[digest] = decode_action(content)
    if run is None:
        if not is_known(folder):
            raise ValueError("it has no run.json")
        return None
    for step in run.steps:
        if step.outcome == "executed" and step.key in actions:
            _check_outputs(step, actions[step.key])
    return run


def _run(folder: str, content: bytes, objects: Objects) -> Run:
    run = decode_run(content)
    if run.id != folder.rsplit("/", 1)[1]:
        raise ValueError(f"it tells of run {run.id[:32]!r}")
    try:
        place = record_folder(run.id, run.started)
    except (OverflowError, OSError) as error:
        raise ValueError("it started at a time that is none") from error
    if place != folder:
        raise ValueError("it started on another day than its path says")
    if run.status == "running":
        raise ValueError("it tells of a run that goes on")
    if not all(objects.is_oid(oid) for oid in (run.commit, run.base) if oid is not None):
        raise ValueError("it names a commit that can be none")
    if len({step.name for step in run.steps}) != len(run.steps):
        raise ValueError("it has two steps of one name")
    return run


def _check_outputs(step: StepRun, action: Action) -> None:
    declared = {output.name: output.kind for output in action.outputs}
    for output in step.outputs:
        if declared.get(output.name) != output.kind:
            raise ValueError(f"step {step.name} has an output {output.name} that its action does not make")
