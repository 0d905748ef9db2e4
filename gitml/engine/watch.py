"""Which files of the work tree a pipeline's steps use, and waiting until one of them changes."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gitml.core.config.project import PATH as CONFIG
from gitml.core.kinds.environment_kinds import environment_files, script_of
from gitml.core.model.action import ActionInput
from gitml.core.model.paths import from_top
from gitml.core.planner.plan import PartProblem, Policy
from gitml.engine.planning.load import Loaded, files_named_by
from gitml.engine.planning.planner import Planner
from gitml.engine.planning.projects import FOLDER
from gitml.modules.lockfile import PATH as LOCK
from gitml.workspace import Workspace

SETTLED = 0.2  # seconds without a change after which what changed is taken as whole
_LOOK = 0.2  # seconds between two looks, more where a look takes long
_SHARE = 10  # how much longer the pause is than a look

Stamps = Mapping[str, tuple[int, ...] | None]
"""What `os.lstat` says of each path that matters, None where nothing is. A folder that is looked through ends in ``/``."""


class WatchedFiles(NamedTuple):
    """Paths of the work tree at `root`: what lies at or below `paths`, and the names in `folders`."""

    root: str
    paths: tuple[str, ...]
    folders: tuple[str, ...]

    def stamps(self) -> Stamps:
        """How all of it is now."""
        found: dict[str, tuple[int, ...] | None] = {f"{folder}/": _stamp(self._full(folder)) for folder in self.folders}
        waiting = list(self.paths)
        while waiting:
            path = waiting.pop()
            stamp = found[path] = _stamp(self._full(path))
            if stamp is not None and stat.S_ISDIR(stamp[0]):
                del found[path]
                found[f"{path}/"] = stamp
                try:
                    names = os.listdir(self._full(path))
                except OSError:
                    continue
                waiting += [f"{path}/{name}" for name in names if name != ".git"]
        return found

    def _full(self, path: str) -> str:
        return os.path.join(self.root, path)


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns


def settings_of(ws: Workspace, project: str, pipeline: str = "") -> WatchedFiles:
    """The files that say what a pipeline of a project is: all that is known where they can't be read."""
    above = f"{project}/" if project else ""
    paths = dict.fromkeys((CONFIG, LOCK, above + CONFIG, f"{above}{FOLDER}", *filter(None, (pipeline,))))
    return WatchedFiles(ws.location.worktree or "", tuple(paths), ())


def files_of(ws: Workspace, loaded: Loaded, wanted: Iterable[str] = ()) -> WatchedFiles:
    """The files that the wanted steps (all when none is named) use, with their folders, where a new file may matter."""
    graph = loaded.graph
    names = graph.select(wanted) if wanted else list(graph.steps)
    builder = Planner(ws, loaded, Policy()).builder
    used: dict[str, None] = {}
    anywhere: set[str] = set()
    for name in names:
        placed = builder.placed(graph.steps[name])
        parts = builder.parts(placed, {})
        project = "" if placed.project else loaded.project  # from which its paths count
        found = [binding.path for binding in placed.inputs if binding.path is not None]
        if placed.module is None:
            found += [item.mount for item in parts.inputs if isinstance(item, ActionInput)]
            found += [path for path, _ in environment_files(script_of(placed.settings.environment, placed.argv))]
            if isinstance(parts.code, PartProblem):  # what is missing may come anywhere
                anywhere |= {loaded.project, project}
            else:
                found += [path for path, _, _ in parts.code]
        used |= {from_top(path, project): None for path in found if path}
    settings = settings_of(ws, loaded.project, graph.path)
    entry = loaded.source.lookup(graph.path)
    named = [] if entry is None else files_named_by(ws, loaded.source, loaded.config, graph.path, entry)
    paths = dict.fromkeys((*settings.paths, *named, *used))
    folders = dict.fromkeys(os.path.dirname(path) for path in paths)
    folders |= dict.fromkeys(sorted(anywhere))
    return WatchedFiles(settings.root, tuple(paths), tuple(folders))


def changed(before: Stamps, now: Stamps, since: int) -> list[str]:
    """The paths that are otherwise now, or were written to after the time `since` (ns), when they may have been read already."""
    names = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    late = [path for path, stamp in now.items() if stamp is not None and stamp[3] >= since and not path.endswith("/")]
    return sorted({*names, *late})


def wait_for_change(files: WatchedFiles, before: Stamps) -> list[str]:
    """Waits until something is otherwise than `before` and stays as it is for a moment; the paths that changed."""
    while True:
        begun = time.monotonic()
        now = files.stamps()
        if changed(before, now, _NEVER):
            break
        time.sleep(max(_LOOK, _SHARE * (time.monotonic() - begun)))
    while True:
        time.sleep(SETTLED)
        later = files.stamps()
        if later == now:
            return changed(before, now, _NEVER)
        now = later


_NEVER = 1 << 62
