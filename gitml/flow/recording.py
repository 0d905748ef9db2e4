"""Writing a finished run down: one durable commit in the log of runs, then the index."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from gitml.core.config import Config
from gitml.core.digest import Digest, hex_of
from gitml.core.environment import Environment, encode_description
from gitml.core.record import Run, encode_run
from gitml.core.tree import decode_tree
from gitml.execute.removal import remove_tree
from gitml.ledger.layout import record_folder
from gitml.repo.revisions import commit_info
from gitml.workspace import Workspace


class Evidence(NamedTuple):
    """What goes beside ``run.json``: the pre-images of performed Actions and the environments they name."""

    actions: Mapping[Digest, bytes]
    environments: Mapping[Digest, Environment]


def record_run(ws: Workspace, run: Run, evidence: Evidence, config: Config) -> str:
    """Appends the record of `run` and brings the index level; gives the record's commit."""
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
    files = {f"{folder}/run.json": encode_run(run)}
    for key, preimage in evidence.actions.items():
        files[f"{folder}/actions/{hex_of(key)}.json"] = preimage
    for digest, environment in evidence.environments.items():
        files[f"{folder}/environments/{hex_of(digest)}.json"] = encode_description(environment.description)
    for name, content in inline.files.items():
        files[f"{folder}/{name}"] = content
    message = f"{run.pipeline} {run.status}: {run.id[:8]}\n\n{run.message}".rstrip() + "\n"
    known = ws.index.meta("tip")
    commit = ws.records.append(files, message, run.commit)
    _index(ws, run, commit, known, inline)
    return commit


def _index(ws: Workspace, run: Run, commit: str, known: str | None, inline: _Inline) -> None:
    """Level with our own record, unless another process recorded too: then the next look reads both from the log."""
    with ws.index.batch():
        ws.index.put_run(run, commit)
        for digest, content in inline.by_digest.items():
            ws.index.put_inline(digest, _blob_id(content, ws.location.object_format))
        if known is not None and commit_info(ws.objects, commit).parents[0] == known:
            ws.index.set_meta("tip", commit)


class _Inline:
    """Small outputs and logs that travel with the record itself, within the sizes the project allows."""

    def __init__(self, ws: Workspace, config: Config) -> None:
        self.store = ws.store
        self.index = ws.index
        self.file_limit = config.inline_file
        self.left = config.inline_run
        self.files: dict[str, bytes] = {}
        self.by_digest: dict[Digest, bytes] = {}

    def add(self, digest: Digest, size: int, folder: str, *, tree: bool) -> None:
        if digest in self.by_digest or self.index.inline(digest) is not None:
            return
        if not self.store.has(digest, size, tree=tree):
            return  # set aside since it was made: a later step spoiled it
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


class Journal:
    """A run in progress on disk, so that whoever looks can follow it, and what was done outlives a killed gitml."""

    def __init__(self, ws: Workspace, run: Run, steps: Mapping[str, int]) -> None:
        self.folder = os.path.join(ws.live, run.id)
        self.logs = os.path.join(self.folder, "logs")
        os.makedirs(self.logs)
        _write(os.path.join(self.folder, "steps.json"), json.dumps(steps).encode())
        _write(os.path.join(self.folder, "run.json"), encode_run(run))
        self.events = open(os.path.join(self.folder, "events.jsonl"), "ab", buffering=0)  # noqa: SIM115

    def note(self, line: str) -> None:
        """Adds one finished step; in one write, so that a reader sees whole lines."""
        self.events.write(line.encode() + b"\n")

    def log_path(self, attempt: str) -> str:
        """The file an attempt's output goes to."""
        return os.path.join(self.logs, f"{attempt}.log")

    def close(self) -> None:
        """Removes the folder; the record has everything now."""
        self.events.close()
        remove_folder(self.folder)


def remove_folder(folder: str) -> None:
    """Removes a live folder: first out of sight, so that nobody sees half of one."""
    doomed = f"{folder}.done"
    try:
        os.rename(folder, doomed)
    except FileNotFoundError:
        return
    remove_tree(doomed)


def _write(path: str, content: bytes) -> None:
    with open(path + ".new", "wb") as file:
        file.write(content)
    os.rename(path + ".new", path)
