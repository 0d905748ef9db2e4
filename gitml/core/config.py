"""`gitml.yaml`: what a project says once for all its pipelines."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.resources import Resources

HOST = "host"
PATH = "gitml.yaml"
SENT = ("records", "artifacts")


class Defaults(NamedTuple):
    """What `gitml.yaml` says for every pipeline that does not say otherwise."""

    environment: str = HOST
    strict: bool = False


class Hooks(NamedTuple):
    """`gate`: None, ``tips`` or ``every``: which pushed commits must have run, on branches that match `gate_branches`.

    `large_file` is the size in bytes from which on a file is refused in a commit, but for paths that match `large_files`.
    `send`: what goes along with a push. `on_push`: pipelines that a server may run, all when None. `skip`: hooks left out.
    """

    gate: str | None = None
    gate_branches: tuple[str, ...] = ("*",)
    large_file: int = 10 << 20
    large_files: tuple[str, ...] = ()
    send: tuple[str, ...] = SENT
    on_push: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()

    def gates(self, branch: str) -> bool:
        """Whether commits pushed to `branch` must have run."""
        return self.gate is not None and matches(branch, self.gate_branches)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns (``*``, ``?``, ``[]``, over slashes too) is the name's."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Config(NamedTuple):
    """Defaults for pipelines; what this machine is said to have (``targets.local``); sizes kept inline in records, in bytes."""

    pipeline: str | None = None
    experiment: str | None = None
    defaults: Defaults = Defaults()
    local: Mapping[str, Any] = {}
    inline_file: int = 256 << 10
    inline_run: int = 8 << 20
    hooks: Hooks = Hooks()

    def capacity(self, machine: Resources) -> Resources:
        """What the local target has: what was said, else what the machine has."""
        said = self.local
        return Resources(
            said.get("cpus", machine.cpus),
            said.get("gpus", machine.gpus),
            said.get("memory", machine.memory),
            said.get("labels", machine.labels),
            said.get("custom", machine.custom),
        )
