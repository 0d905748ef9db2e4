"""`gitml.yaml`: what a project says once for all its pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.remotes import RemoteSpec
from gitml.core.resources import Resources

HOST = "host"
PATH = "gitml.yaml"


class Defaults(NamedTuple):
    """What `gitml.yaml` says for every pipeline that does not say otherwise."""

    environment: str = HOST
    strict: bool = False


class Config(NamedTuple):
    """Defaults for pipelines; what this machine is said to have (``targets.local``); sizes kept inline in records, in bytes.

    `remotes` are the remote stores in the order in which they are asked.
    """

    pipeline: str | None = None
    experiment: str | None = None
    defaults: Defaults = Defaults()
    local: Mapping[str, Any] = {}
    inline_file: int = 256 << 10
    inline_run: int = 8 << 20
    remotes: tuple[RemoteSpec, ...] = ()

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
