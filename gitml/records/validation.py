"""Records as they are read: none may contradict itself, and nothing in them is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import groupby, tee
from typing import Any, NamedTuple

from gitml.core.model.action import decode_action
from gitml.core.model.digest import Digest, digest_of, from_hex
from gitml.core.model.environment import FORMAT, decode_description
from gitml.core.records.record import NewerFormatError, Run, StepRun, decode_run
from gitml.core.records.step_rows import ReadRows, rows_of
from gitml.git.log.diff import AddedFile
from gitml.git.objects.reader import Header, Objects
from gitml.records.layout import LARGEST, LARGEST_DESCRIPTION, RecordFile, folder_of, parse_path, record_folder
from gitml.store.index.results import Preimage

_FOLDER = re.compile(r"runs/\d{4}/\d\d/\d\d/([0-9a-f]{2})/\1[0-9a-f]{14}\Z")
_BESIDE = re.compile(r"attestations/[0-9a-f]{16}\.json\Z")
"""What a later gitml keeps beside the records; this one passes it on."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*\Z")
_CONTENTS = ("outputs", "logs")


class RejectedRecord(NamedTuple):
    """A record, or a file that is part of none, that was not taken in, and why."""

    path: str
    why: str


class ValidRecord(NamedTuple):
    """The contents of a record: its files, the Run when it is a new one, and beside it what `docs/formats.md` names.

    `inline` are (content, blob) of small outputs and logs.
    """

    files: list[AddedFile]
    run: Run | None
    actions: dict[Digest, Preimage]
    environments: dict[Digest, bytes]
    inline: list[tuple[Digest, str]]


class _File(NamedTuple):
    offered: AddedFile
    file: RecordFile | None
    header: Header | None
    content: bytes


def validate_records(
    objects: Objects, offered: Iterable[AddedFile], is_known: Callable[[str], bool]
) -> Iterator[ValidRecord | RejectedRecord]:
    """A verdict for each record among files that come in order of path. `is_known` returns whether the log has the record."""
    bad: dict[str, str] = {}
    for folder, of_record in _grouped(objects, _possible(offered, bad), lambda file: True):
        record = _Record(folder)
        why: str | None = None
        for item in of_record:
            if why is None:
                why = _checked(record, item)
        why = bad.pop(folder, None) or why
        if why is None:
            try:
                yield record.whole(is_known(folder))
                continue
            except ValueError as error:
                why = str(error)
        yield RejectedRecord(folder, why)
    for folder, why in bad.items():
        yield RejectedRecord(folder, why)


def run_in(files: Mapping[str, bytes]) -> Run | None:
    """The run of one record, which is in no log yet, by the paths of its files; None when these have no ``run.json``.

    ValueError saying what is wrong with it, as of a record of a remote.
    """
    folder = next((folder_of(path) for path in files if path.endswith("/run.json")), None)
    if folder is None:
        return None
    bad: dict[str, str] = {}
    record = _Record(folder)
    for item in _possible([AddedFile(path, "100644", "") for path in sorted(files)], bad):
        content = files[item.path]
        if folder_of(item.path) != folder:
            raise ValueError(f"{item.path[:100]!r} is no part of it")
        why = _checked(record, _File(item, parse_path(item.path), Header("", "blob", len(content)), content))
        if why is not None:
            raise ValueError(why)
    for path, why in bad.items():
        raise ValueError(f"{path[:100]!r}: {why}")
    return record.whole(False).run


def is_extension(path: str) -> bool:
    """Whether a path of the log is no file of a record, but one that a later gitml keeps beside them."""
    return _BESIDE.match(path) is not None


def first_too_large(objects: Objects, offered: Iterable[AddedFile]) -> RejectedRecord | None:
    """The first of files that no clone would take in for its size. Their contents are not read."""
    asked, given = tee(offered)
    for item, header in zip(given, objects.headers(item.oid for item in asked), strict=True):
        if header.size > LARGEST:
            folder = folder_of(item.path)
            return RejectedRecord(folder, f"{item.path[len(folder) + 1 :]} is larger than {LARGEST >> 20} MiB")
    return None


def read_records(objects: Objects, offered: Iterable[AddedFile], newer: list[str]) -> Iterator[ValidRecord]:
    """What can be read of each record of the own log. Outputs and logs are not, and what is bad is left out: `fsck` names it.

    The folders of records that a newer gitml wrote are added to `newer`.
    """
    needed = lambda file: file is not None and file.folder not in _CONTENTS  # noqa: E731
    for folder, of_record in _grouped(objects, _possible(offered, {}), needed):
        record = _Record(folder)
        for item in of_record:
            with suppress(ValueError):
                record.take(item)
        try:
            yield record.what_is_good()
        except NewerFormatError:
            newer.append(folder)


def _possible(offered: Iterable[AddedFile], bad: dict[str, str]) -> Iterator[AddedFile]:
    """The files that are ones of a record by mode and path; why others are not goes to `bad`, by the record's folder."""
    for item in offered:
        folder = folder_of(item.path)
        if _BESIDE.match(item.path) and item.mode == "100644":
            yield item
        elif _FOLDER.match(folder) is None:
            bad[item.path] = "a path that no record has"
        elif not _PLAIN.match(item.path, len(folder) + 1):
            bad[folder] = "a path that no record has"
        elif item.mode != "100644":
            bad[folder] = f"{item.path[len(folder) + 1 :]} is no ordinary file"
        else:
            yield item


def _grouped(
    objects: Objects, offered: Iterable[AddedFile], is_read: Callable[[RecordFile | None], bool]
) -> Iterator[tuple[str, Iterator[_File]]]:
    """The files of each record, read as far as `is_read` says, one at a time."""
    asked, given = tee((item, parse_path(item.path)) for item in offered)
    contents = objects.read_within((item.oid for item, file in asked if is_read(file)), LARGEST)
    files = (
        _File(item, file, *next(contents)) if is_read(file) else _File(item, file, None, b"") for item, file in given
    )
    yield from groupby(files, lambda file: folder_of(file.offered.path))


def _checked(record: _Record, item: _File) -> str | None:
    """What contradicts what when the record has one more file; None: nothing does."""
    name = item.offered.path[len(record.folder) + 1 :]
    if item.header is None or item.header.kind != "blob":
        return f"{name} did not come with it"
    if item.header.size > LARGEST:
        return f"{name} is larger than {LARGEST >> 20} MiB"
    try:
        is_content = item.file is not None and item.file.folder in _CONTENTS
        if item.file is not None and is_content and digest_of(item.content) != from_hex(item.file.name):
            return f"{name} holds other bytes than its name says"
        record.take(item)
    except ValueError as error:
        return str(error)
    return None


class _Record:
    """A record as its files come. Contents of outputs and logs are not kept."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.found = ValidRecord([], None, {}, {}, [])
        self.head: tuple[bytes, int] | None = None
        self.steps: dict[str, bytes] = {}
        self.size = 0

    def take(self, item: _File) -> None:
        """Adds a file; ValueError saying what is wrong with it. Files of a later gitml are only kept in the log."""
        self.found.files.append(item.offered)
        if item.file is None:
            return
        kind, name = item.file.folder, item.file.name
        if kind in _CONTENTS:
            self.found.inline.append((from_hex(name), item.offered.oid))
            return
        self.size += len(item.content)
        if self.size > LARGEST_DESCRIPTION:
            raise ValueError(f"what it says of the run is more than {LARGEST_DESCRIPTION >> 20} MiB")
        if not kind:
            self.head = (item.content, len(item.offered.oid))  # no id: it is in no log yet
        elif kind == "reproductions":
            _json_of(item.content)
        elif kind == "steps":
            self.steps[name.removesuffix(".jsonl")] = item.content
        else:
            self._take_by_digest(kind, name, item.content)

    def _take_by_digest(self, kind: str, name: str, content: bytes) -> None:
        digest = digest_of(content)
        if name != f"{digest[7:]}.json":
            raise ValueError(f"{kind}/{name} holds other bytes than its name says")
        if kind == "actions":
            from gitml.core.records.rules import check_action  # only where there is something to take in

            action = decode_action(content)
            check_action(action)
            self.found.actions[digest] = Preimage(content, action)
        else:
            _check_environment(content)
            self.found.environments[digest] = content

    def whole(self, is_known: bool) -> ValidRecord:
        """The contents of the record; ValueError saying what contradicts what. One that `is_known` need not have all."""
        if _BESIDE.match(self.folder):
            return self.found
        if self.head is None:
            if not is_known:
                raise ValueError("it has no run.json")
            for name, content in self.steps.items():
                rows_of(name, content)
            return self.found
        run = _run(self.folder, *self.head, self._rows)
        for step in run.steps:
            if step.outcome == "executed" and step.key in self.found.actions:
                _check_outputs(step, self.found.actions[step.key])
        return self.found._replace(run=run)

    def what_is_good(self) -> ValidRecord:
        """What of the record can be read; NewerFormatError when a newer gitml wrote it."""
        try:
            if self.head is not None:
                return self.found._replace(run=_run(self.folder, *self.head, self._rows))
        except NewerFormatError:
            raise
        except ValueError:
            pass
        return self.found

    def _rows(self, name: str) -> bytes:
        if name not in self.steps:
            raise ValueError(f"steps/{name}.jsonl did not come with it")
        return self.steps[name]


def _run(folder: str, content: bytes, oid_length: int, read: ReadRows) -> Run:
    run = decode_run(content, read)
    if run.id != folder[-16:]:
        raise ValueError(f"it is about run {run.id[:32]!r}")
    try:
        place = record_folder(run.id, run.started)
    except (OverflowError, OSError) as error:
        raise ValueError("it started at a time that is none") from error
    if place != folder:
        raise ValueError("it started on another day than its path says")
    if run.status == "running":
        raise ValueError("it is of a run that goes on")
    if oid_length and (len(run.commit) != oid_length or (run.base is not None and len(run.base) != oid_length)):
        raise ValueError("it names a commit that can be none")
    if len({step.name for step in run.steps}) != len(run.steps):
        raise ValueError("it has two steps of one name")
    from gitml.core.records.rules import check_run  # only where there is something to take in

    check_run(run)
    return run


def _json_of(content: bytes) -> Any:
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _check_environment(content: bytes) -> None:
    """ValueError for a description that this gitml can't read, unless a newer one wrote it."""
    try:
        decode_description(content)
    except ValueError:
        raw = _json_of(content)
        if not isinstance(raw, dict) or type(raw.get("format")) is not int or raw["format"] <= FORMAT:
            raise


def _check_outputs(step: StepRun, preimage: Preimage) -> None:
    declared = {output.name: output.kind for output in preimage.action.outputs}
    for output in step.outputs:
        if declared.get(output.name) != output.kind:
            raise ValueError(f"step {step.name} has an output {output.name} that its action does not make")
