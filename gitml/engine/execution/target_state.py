"""What there is where steps can run, now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

from gitml.cluster.connect.machines import Machine
from gitml.core.config.project import LOCAL, Config, Target, machine_resources
from gitml.core.model.resources import Resources
from gitml.engine.execution.clusters import connect_to
from gitml.errors import GitmlError
from gitml.workspace import Workspace


class TargetState(NamedTuple):
    """A target as it is now. `address` and `version` are empty for this machine and for a Ray that is started when needed.

    `open` says that a cluster lets anybody in. Unless `free_is_known`, all of a machine stands for what is free there.
    `error` is why nothing can be told of it.
    """

    name: str
    address: str = ""
    version: str = ""
    open: bool = False
    machines: tuple[Machine, ...] = ()
    free_is_known: bool = True
    error: GitmlError | None = None


def look_at_targets(ws: Workspace, config: Config, names: Sequence[str] = ()) -> Iterator[TargetState]:
    """The state of the named targets, of all when none is named, one after another as they answer; InputError for no target."""
    for name in names or (LOCAL, *config.targets):
        target = config.target(name)
        if target is None:
            yield TargetState(name, machines=(_this_machine(ws, config.capacity),))
        elif target.ray == LOCAL:
            yield TargetState(name, machines=(_this_machine(ws, partial(machine_resources, target.has)),))
        else:
            yield _look(target, ws)


def _look(target: Target, ws: Workspace) -> TargetState:
    try:
        with closing(connect_to(ws, target)) as cluster:
            machines, known = cluster.look()
            anybody = cluster.connection.token is None
            return TargetState(target.name, cluster.address, cluster.version, anybody, tuple(machines), known)
    except GitmlError as error:
        return TargetState(target.name, target.ray, error=error)


def _this_machine(ws: Workspace, whole: Callable[[Resources], Resources]) -> Machine:
    from gitml.execute.capacity import machine_capacity
    from gitml.history.runs import live_runs

    total = whole(machine_capacity(ws.environ))
    runs = tuple(f"{live.run.pipeline} {live.run.id[:8]}" for live in live_runs(ws))
    return Machine("", os.uname().nodename, "", True, total, total, runs)
