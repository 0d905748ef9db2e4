"""StepSettings: what a step's file says of how the step runs, and what passes from the file to the attempt as it stands.

A setting is declared here, and the key that sets it in `core.language.keys`; parsing, the Graph and its codec, the JSON Schema
and the test of the documentation follow. One that can change a result is named in `KEYED` too, for the ActionKey and `explain`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any, NamedTuple

from gitml.core.kinds.cache_kinds import StepCache, cache_from_json
from gitml.core.model import paths
from gitml.core.model.environment import ON_HOST, EnvironmentSpec, spec_from_json
from gitml.core.model.guarantees import FULL, Network
from gitml.core.model.resources import ONE_CPU, Resources
from gitml.core.parameters.error_budget import NO_ERRORS, ErrorBudget, budget_from_json

ALONE = (1, 1)
TOP = "."


class StepSettings(NamedTuple):
    """How one step runs. `target` is empty where nothing names one.

    `timeout` is in seconds. `nodes` and `processes` (on each) are those of a gang. `workdir` is the folder of the sandbox in
    which the command runs, a clean path. With `repository` a Git repository of the commit lies in the sandbox. `caches` are the
    folders that it may use between runs. `errors` is how many members of a step with a matrix may fail.
    """

    environment: EnvironmentSpec = ON_HOST
    strict: bool = False
    network: Network = FULL
    target: str = ""
    reuse: bool = True
    retries: int = 0
    timeout: float | None = None
    resources: Resources = ONE_CPU
    nodes: int = 1
    processes: int = 1
    workdir: str = TOP
    repository: bool = False
    caches: tuple[StepCache, ...] = ()
    errors: ErrorBudget = NO_ERRORS

    def from_top(self, path: str) -> str:
        """A path of the command, which counts from where it runs, counted from the top of the sandbox."""
        if self.workdir == TOP or not path:
            return path
        return posixpath.normpath(posixpath.join(self.workdir, path))

    @property
    def gang(self) -> tuple[int, int]:
        """How many nodes the command runs on, and in how many processes on each."""
        return self.nodes, self.processes

    def keyed(self) -> tuple[tuple[str, Any], ...]:
        """The settings that count in the ActionKey and are not the usual ones, by the names that they have there."""
        return tuple([(part.name, value) for part in KEYED if (value := part.value(self)) != part.usual])

    def as_json(self) -> dict[str, Any] | None:
        """JSON data of what is not usual, None where everything is."""
        if self == USUAL:
            return None
        given = {name: value for name, value in self._asdict().items() if value != getattr(USUAL, name)}
        if "environment" in given:
            given["environment"] = self.environment.as_json()
        return given


USUAL = StepSettings()


def settings_from_json(raw: dict[str, Any] | None) -> StepSettings:
    """The inverse of `StepSettings.as_json`."""
    if raw is None:
        return USUAL
    given = dict(raw)
    if "resources" in given:
        given["resources"] = Resources(*given["resources"])
    if "environment" in given:
        given["environment"] = spec_from_json(given["environment"])
    if "caches" in given:
        given["caches"] = tuple(map(cache_from_json, given["caches"]))
    if "errors" in given:
        given["errors"] = budget_from_json(given["errors"])
    return USUAL._replace(**given)


class KeyedSetting(NamedTuple):
    """A part of the ActionKey: absent from the pre-image where it is `usual`, so that older keys stay what they are.

    `decode` gives the value in the JSON of a pre-image, TypeError or ValueError for what is none; `shown` is for `explain`.
    """

    name: str
    value: Callable[[StepSettings], Any]
    usual: Any
    decode: Callable[[Any], Any]
    shown: Callable[[Any], str]


def _gang(raw: Any) -> tuple[int, int]:
    nodes, processes = raw
    if type(nodes) is not int or type(processes) is not int or nodes < 1 or processes < 1:
        raise TypeError(f"{str(raw)[:60]!r} is no gang")
    return nodes, processes


def _workdir(raw: Any) -> str:
    if not isinstance(raw, str) or paths.problem_with(raw) is not None or paths.clean(raw) != raw:
        raise TypeError(f"{str(raw)[:60]!r} is no folder to work in")
    return raw


GANG = KeyedSetting("gang", lambda step: step.gang, ALONE, _gang, lambda gang: f"{gang[0]} x {gang[1]} processes")
"""A program that computes together with others gets other numbers than one alone."""
WORKDIR = KeyedSetting("workdir", lambda step: step.workdir, TOP, _workdir, lambda path: f"{path}/")
"""Where a command runs: what a relative path in it, or in its program, means."""
KEYED: list[KeyedSetting] = [GANG, WORKDIR]
