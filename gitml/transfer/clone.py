"""A clone that begins with all records: the repository by the user's Git, then the logs, taken in and indexed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitml.errors import InputError
from gitml.git.log import transport
from gitml.git.log.remote_refs import check_remote, default_remote, set_refspecs
from gitml.git.revisions import branches_of
from gitml.transfer.records import SyncResult, Watch, fetch
from gitml.workspace import Workspace, open_workspace


class CloneRequest(NamedTuple):
    """What to clone: the branch to check out, how many commits of it, and which objects to leave out, as git words it."""

    url: str
    folder: str | None = None
    branch: str | None = None
    depth: int | None = None
    filter: str | None = None


class CloneResult(NamedTuple):
    """The folder, its workspace, which the caller closes, and what records came.

    `others` are the branches of the remote when its own has no commit, so that nothing was checked out.
    """

    folder: str
    ws: Workspace
    moved: SyncResult
    others: tuple[str, ...] = ()


def clone(
    wish: CloneRequest,
    environ: Mapping[str, str],
    *,
    terminal: bool = False,
    watch: Watch | None = None,
    prepared: Callable[[Workspace], None] = lambda ws: None,
) -> CloneResult:
    """Clones, has plain ``git fetch`` fetch records from now on, and merges those there are.

    `prepared` is given the workspace before any record is read. InputError for a folder that is taken.
    """
    check_remote(wish.url)
    folder = wish.folder or folder_for(wish.url)
    transport.clone(wish.url, folder, _options(wish), transport.RemoteIO(terminal, watch))
    ws = open_workspace(
        folder, {name: value for name, value in environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
    )
    try:
        prepared(ws)
        remote = default_remote(ws.location)
        set_refspecs(ws.location, remote)
        moved = fetch(ws, remote, terminal=terminal, watch=watch)
    except BaseException:
        ws.leave()
        raise
    return CloneResult(folder, ws, moved, _others(ws, remote))


def _others(ws: Workspace, remote: str) -> tuple[str, ...]:
    """The remote's branches, the newest first, where its HEAD names one that is not there."""
    if ws.objects.resolve("HEAD") is not None:
        return ()
    place = f"{remote}/"
    return tuple([name.removeprefix(place) for name in branches_of(ws.location) if name.startswith(place)])


def folder_for(url: str) -> str:
    """The folder that git would choose for a clone of `url`; InputError where the URL has no name."""
    path = url.rstrip("/").removesuffix("/.git").rstrip("/")
    name = re.split(r"[/:]", path)[-1].removesuffix(".git").removesuffix(".bundle")
    if not name or name in (".", "..") or "@" in name:
        if os.path.isdir(url):
            return os.path.basename(os.path.realpath(url))
        raise InputError("the URL has no name for a folder", hint="gitml clone URL DIR")
    return name


def _options(wish: CloneRequest) -> list[str]:
    wanted = {"branch": wish.branch, "depth": wish.depth, "filter": wish.filter}
    return [f"--{name}={value}" for name, value in wanted.items() if value is not None]
