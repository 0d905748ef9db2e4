"""Projects: the folders of a repository that hold ``pipelines/``. One at the top has the name ``""``.

A pipeline of a project in a subfolder is called ``folder:name``. Its paths count from the folder, and its steps run in a
sandbox that is laid out like the folder.
"""

from __future__ import annotations

import os
import posixpath

from gitml.core.config.project import PATH, Config
from gitml.core.model.paths import PIPELINES
from gitml.core.model.protocols import Source
from gitml.core.model.step_settings import StepSettings
from gitml.git.objects.source import CommitSource, ListableSource
from gitml.git.worktree.snapshot import WorkTree
from gitml.workspace import Workspace

FOLDER = PIPELINES
_DEEP = 3  # folders below the top in which projects are looked for


def project_here(ws: Workspace, source: Source) -> str:
    """The project that the folder lies in from which gitml was called: the nearest above it; the top where there is none."""
    place = ws.start
    while place:
        if isinstance(source, WorkTree):
            # on the disk, since what is looked up in a work tree counts as used
            if os.path.isdir(os.path.join(ws.location.worktree or "", place, FOLDER)):
                return place
        elif (entry := source.lookup(f"{place}/{FOLDER}")) is not None and entry.is_tree:
            return place
        place = posixpath.dirname(place)
    return ""


def projects_below(source: CommitSource | WorkTree) -> list[str]:
    """Projects in folders of the top, for a hint; those that lie deeper are not looked for."""
    return sorted(name for name in source.top() if FOLDER in source.names_in(name))


def marked_projects(source: ListableSource) -> list[str]:
    """The top, and each folder at most three deep that holds ``pipelines/`` and a ``gitml.yaml`` of its own.

    These are what hooks, the gate and `gitml.lock` are about. A folder ``pipelines/`` alone may be another tool's: gitml runs
    what one names there, and no commit is refused for what else it holds.
    """
    found = [""]
    folders = [(name, source.names_in(name)) for name in source.top()]
    while folders:
        place, names = folders.pop()
        if FOLDER in names and PATH in names:
            found.append(place)
        if place.count("/") + 1 < _DEEP:
            folders += [(below, source.names_in(below)) for below in (f"{place}/{name}" for name in names)]
    return sorted(found)


def project_of_name(pipeline: str) -> str:
    """The project of a pipeline by its name, as records have it."""
    return pipeline.rpartition(":")[0]


def full_name(project: str, stem: str) -> str:
    """What a pipeline is called in lists and records."""
    return f"{project}:{stem}" if project else stem


def config_of(config: Config, own: Config | None) -> Config:
    """What holds for a project in a subfolder: defaults of its `own`; machines, stores and hooks are those of the top."""
    if own is None:
        confined = StepSettings(strict=config.defaults.strict, network=config.defaults.network)
        return config._replace(pipeline=None, experiment=None, defaults=confined)
    return config._replace(pipeline=own.pipeline, experiment=own.experiment, defaults=own.defaults)
