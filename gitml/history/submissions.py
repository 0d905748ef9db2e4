"""Submissions: runs that were submitted to a cluster from here, noted until they are collected."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import NamedTuple

from gitml import layout
from gitml.errors import InputError
from gitml.git.integrity.durability import move_refs
from gitml.store.index.runs import run_row
from gitml.store.local import disk
from gitml.workspace import Workspace

PREFIX = "gitml-"


class Submission(NamedTuple):
    """A run that was submitted to the cluster `target`; the job's id is PREFIX and the run's."""

    run: str
    target: str
    pipeline: str
    commit: str
    submitted: float
    by: str

    @property
    def job(self) -> str:
        """What the cluster calls it."""
        return PREFIX + self.run


def submissions(ws: Workspace) -> list[Submission]:
    """The runs that were submitted here and are not collected, newest first."""
    found = []
    try:
        names = [name for name in os.listdir(_folder(ws)) if name.endswith(".json")]
    except FileNotFoundError:
        return []
    for name in names:
        try:
            with open(os.path.join(_folder(ws), name)) as file:
                raw = json.load(file)
            number = raw.pop("format", 1)
            if number != 1:
                what = f"a submitted run noted in format {str(number)[:20]}, by a newer gitml; this one reads format 1"
                raise InputError(what, where=os.path.join(_folder(ws), name), hint="use the newer gitml")
            found.append(Submission(**raw))
        except (OSError, ValueError, TypeError, AttributeError):
            continue  # taken away just now
    return sorted(found, key=lambda one: -one.submitted)


def note_submission(ws: Workspace, submission: Submission) -> None:
    """Notes a submission, and keeps its commit from Git's gc: nothing else refers to a commit of uncommitted work."""
    if ws.objects.header(submission.commit) is not None:
        move_refs(ws.location, {_ref(submission.run): submission.commit})
    ws.sharing.make_folder(_folder(ws))
    path = os.path.join(_folder(ws), f"{submission.run}.json")
    disk.write_whole(path, json.dumps(submission._asdict()).encode(), durable=True)
    ws.sharing.open_up(path)
    disk.sync_paths([os.path.realpath(place) for place in (ws.root, ws.location.common_dir)])


def forget_submission(ws: Workspace, run: str) -> None:
    """Removes the note of a submission, and all that is kept for it."""
    move_refs(ws.location, {_ref(run): None})
    if os.path.isdir(progress_folder(ws, run)):
        from gitml.execute.sandbox.removal import remove_tree

        remove_tree(progress_folder(ws, run))
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(_folder(ws), f"{run}.json"))  # last: who is cut off here can do it again


def submitted_commit(ws: Workspace, ref: str) -> str | None:
    """The commit that a ref of a submission is to hold, None where there is no such submission."""
    return next((one.commit for one in submissions(ws) if _ref(one.run) == ref), None)


def target_of(ws: Workspace, run: str) -> str:
    """The target that a run of this whole id was submitted to, if it is not collected; else empty."""
    if run_row(ws.index, run) is not None:
        return ""
    return next((one.target for one in submissions(ws) if one.run == run), "")


def progress_folder(ws: Workspace, run: str) -> str:
    """The folder with the last known progress of a submitted run, in the form of a run in progress."""
    return os.path.join(_folder(ws), run)


def _ref(run: str) -> str:
    return f"{layout.SUBMISSIONS_REF}/{run}"


def _folder(ws: Workspace) -> str:
    return os.path.join(ws.root, layout.SUBMITTED)
