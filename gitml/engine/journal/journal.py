"""A run in progress on disk: other processes can follow it, and what was done outlives a killed gitml and a power cut."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from gitml.core.records.record import Run, encode_run
from gitml.errors import Guard, MachineError
from gitml.execute.sandbox.removal import remove_tree
from gitml.git.integrity.durability import sync_objects
from gitml.store.local import disk
from gitml.workspace import Workspace

_AT_RISK = 1.0
"""Seconds of steps' time that a power cut may cost: a sync takes milliseconds, so steps of less are synced together."""
_FILES = ("events.jsonl", "steps.json", "run.json")


class Journal:
    """The folder ``live/<run>/``: what the run is, which steps it has, which are finished, and the logs of those that run."""

    def __init__(self, ws: Workspace, run: Run, steps: Mapping[str, int]) -> None:
        self._ws = ws
        self._at_risk = 0.0
        self._is_synced = False  # whether the folder itself is
        self.folder = os.path.join(ws.live, run.id)
        self.logs = os.path.join(self.folder, "logs")
        os.makedirs(self.logs)
        ws.sharing.open_up(self.folder)
        ws.sharing.open_up(self.logs)
        self.write_steps(steps)
        disk.write_whole(os.path.join(self.folder, "run.json"), encode_run(run))
        self.events = open(os.path.join(self.folder, "events.jsonl"), "ab", buffering=0)  # noqa: SIM115
        for name in _FILES:
            ws.sharing.open_up(os.path.join(self.folder, name))

    def write_steps(self, steps: Mapping[str, int]) -> None:
        """Writes which steps the run has, with their numbers; again when a list shows which there are."""
        path = os.path.join(self.folder, "steps.json")
        disk.write_whole(path, json.dumps(steps).encode())
        self._ws.sharing.open_up(path)

    def note(self, line: str) -> None:
        """Adds one line (a finished step, an attempt that begins) in one write, so that a reader sees whole lines.

        MachineError when the disk is full.
        """
        data = line.encode() + b"\n"
        try:
            written = self.events.write(data)
        except OSError as error:
            raise self._full(os.strerror(error.errno or 0)) from error
        if written != len(data):
            raise self._full("the disk is full")

    def keep(self, seconds: float) -> None:
        """Makes durable that a step ended which took so long, at once or with those that follow it soon."""
        self._at_risk += seconds
        if self._at_risk < _AT_RISK:
            return
        self._at_risk = 0.0
        if not self._is_synced:
            self._is_synced = True
            make_durable(self._ws, self.folder)
            return
        with Guard(self.folder):
            os.fsync(self.events.fileno())

    def note_start(self, name: str, number: int, reason: str, at: float) -> None:
        """Adds that a step's attempt `number` begins, at `at` seconds since 1970."""
        self.note(json.dumps({"started": name, "number": number, "reason": reason, "at": at}))

    def _full(self, why: str) -> MachineError:
        hint = "free some space; what is finished is kept, and the next gitml command records it"
        return MachineError(f"the run can't go on: {why}", where=self.folder, hint=hint)

    def log_path(self, attempt: str) -> str:
        """The file an attempt's output goes to."""
        return os.path.join(self.logs, f"{attempt}.log")

    def close(self) -> None:
        """Removes the folder; the record has everything now."""
        self.events.close()
        remove_folder(self.folder)


def make_durable(ws: Workspace, folder: str) -> None:
    """Syncs what a journal holds, so that after a power cut its run is recorded with the steps that had finished."""
    with Guard(folder):
        disk.sync_paths([os.path.join(folder, name) for name in _FILES])
        disk.sync_paths([os.path.realpath(place) for place in (folder, ws.live, ws.root, ws.location.common_dir)])
        sync_objects(ws.location)  # what is recorded of the run names its commit


def remove_folder(folder: str) -> None:
    """Removes a live folder: first out of sight, so that nobody sees half of one."""
    doomed = f"{folder}.done"
    try:
        os.rename(folder, doomed)
    except FileNotFoundError:
        return
    remove_tree(doomed)
