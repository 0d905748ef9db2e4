"""`gitml.yaml`: what a project says once for all its pipelines."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.config.remotes import RemoteSpec
from gitml.core.language.diagnostics import nearest
from gitml.core.model.resources import Resources
from gitml.core.model.step_settings import USUAL, StepSettings
from gitml.errors import InputError

LOCAL = "local"
PATH = "gitml.yaml"
SENT_ON_PUSH = ("records", "artifacts")


class RayTarget(NamedTuple):
    """The options of a target of the kind ``ray``: a Ray cluster.

    `address` is ``host:port``, ``ray://host:port``, ``auto`` (the one this machine is part of), or ``local``: one that
    gitml starts on this machine, with the resources of `has` (as those of ``targets.local``). `token` is the path of the
    file with the cluster's secret, outside the repository; `insecure` allows a cluster without one. `cache` is the most
    bytes a worker keeps. `dashboard` is host:port of what takes submissions, where the cluster reports another.
    """

    name: str
    address: str
    token: str | None = None
    insecure: bool = False
    cache: int | None = None
    dashboard: str | None = None
    has: Mapping[str, Any] = {}


class Target(NamedTuple):
    """A place where steps can run, as `gitml.yaml` describes it.

    `kind` names the kind of its executors: ``local`` for this machine, else the key that selects it (``ray``). `options` is what
    that kind parsed of the target. `requests` has the memory, labels and custom resources for steps that do not say their own.
    """

    name: str
    kind: str
    options: Any = None
    requests: Resources = Resources()

    def request(self, asked: Resources) -> Resources:
        """What a step that asks for `asked` requests of this target."""
        return asked._replace(
            memory=asked.memory or self.requests.memory,
            labels={**self.requests.labels, **asked.labels},
            custom={**self.requests.custom, **asked.custom},
        )


TARGET_PARSERS: dict[str, Callable[[Any, str, Mapping[str, Any]], Any]] = {}
"""How kinds of targets beside the built-in ones read their options; `engine.execution.executor_kinds.register` adds to it."""


class Hooks(NamedTuple):
    """`gate`: None, ``tips`` or ``every``: which pushed commits must have run, on branches that match `gate_branches`.

    `large_file` is the size in bytes from which on a file is refused in a commit, but for paths that match `large_files`.
    `send`: what goes along with a push. `on_push`: pipelines that a server may run, all when None. `skip`: hooks left out.
    """

    gate: str | None = None
    gate_branches: tuple[str, ...] = ("*",)
    large_file: int = 10 << 20
    large_files: tuple[str, ...] = ()
    send: tuple[str, ...] = SENT_ON_PUSH
    on_push: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()

    def gates(self, branch: str) -> bool:
        """Whether commits pushed to `branch` must have run."""
        return self.gate is not None and matches(branch, self.gate_branches)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns (``*``, ``?``, ``[]``, over slashes too) is the name's."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Config(NamedTuple):
    """Defaults for pipelines; what this machine is said to have (``targets.local``); the other targets, by name;
    sizes kept inline in records, in bytes.

    `remotes` are the remote stores in the order in which they are asked.
    """

    pipeline: str | None = None
    experiment: str | None = None
    defaults: StepSettings = USUAL
    local: Mapping[str, Any] = {}
    targets: Mapping[str, Target] = {}
    inline_file: int = 256 << 10
    inline_run: int = 8 << 20
    hooks: Hooks = Hooks()
    remotes: tuple[RemoteSpec, ...] = ()

    def target(self, name: str) -> Target:
        """The target of that name, ``local`` too; InputError naming the nearest when there is none."""
        if name == LOCAL:
            return Target(LOCAL, LOCAL, self.local)
        target = self.targets.get(name)
        if target is None:
            hint = "say in gitml.yaml where it is: targets: {NAME: {ray: HOST:PORT}}"
            raise InputError(f"no target {name[:60]!r}{nearest(name, [LOCAL, *self.targets])}", where=PATH, hint=hint)
        return target


def machine_resources(said: Mapping[str, Any], machine: Resources) -> Resources:
    """The resources of a machine of which `said` is said: what is said, else what the machine has."""
    return machine._replace(**said)
