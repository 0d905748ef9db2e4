"""The screens: name, key, title, the class that is imported when a screen is first opened, and how a command line names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from textual.screen import Screen

from gitml.core.language.diagnostics import nearest
from gitml.errors import InputError
from gitml.workspace import Workspace


class Route(NamedTuple):
    """A screen. `key` opens it from anywhere; one without is opened from the thing that it shows."""

    name: str
    key: str
    title: str
    help: str
    cls: str

    def load(self) -> type[Screen[None]]:
        """The class of the screen, imported now."""
        found: type[Screen[None]] = getattr(import_module(f"gitml.tui.screens.{self.name}.screen"), self.cls)
        return found


_ALL = (
    Route("runs", "1", "Runs", "Runs in progress and runs that ended", "RunsPage"),
    Route("run", "", "Run", "One run and its steps", "RunPage"),
    Route("compare", "", "Compare", "Runs side by side", "ComparePage"),
    Route("time", "2", "Time", "The state of each step at each commit", "TimePage"),
    Route("lineage", "3", "Lineage", "What each result was made from, and what was made of it", "LineagePage"),
    Route("artifacts", "4", "Artifacts", "The results in the store, and what they contain", "ArtifactsPage"),
    Route("modules", "5", "Modules", "The registry of modules", "ModulesPage"),
)
ROUTES: dict[str, Route] = {route.name: route for route in _ALL}
TABS: tuple[Route, ...] = tuple(route for route in _ALL if route.key)


First = tuple[str, Mapping[str, Any]]


def first_of(workspace: Callable[[], Workspace], words: Sequence[str]) -> First:
    """The screen that ``gitml ui WORDS`` opens, and its arguments; InputError where there is no such object.

    `workspace` is called only where something must be looked up.
    """
    from gitml.history.compare import run_pair
    from gitml.history.runs import LATEST, find_run, run_id

    name, *rest = words
    if name not in ROUTES:
        raise InputError(f"no screen {name[:60]!r}{nearest(name, ROUTES)}", hint=f"there is {', '.join(ROUTES)}")
    if name == "run":
        _at_most(name, rest, 2)
        if len(rest) < 2:
            return name, {"run": run_id(workspace(), rest[0] if rest else LATEST), "step": None}
        found = find_run(workspace(), rest[0]).run
        if found.step(rest[1]) is None:
            known = [step.name for step in found.steps]
            raise InputError(f"run {found.id[:8]} has no step {rest[1]!r}{nearest(rest[1], known)}")
        return name, {"run": found.id, "step": rest[1]}
    if name == "compare":
        if len(rest) > 1:
            return name, {"runs": tuple(find_run(workspace(), word).run.id for word in rest)}
        before, after = run_pair(workspace(), rest[0] if rest else None, None)
        return name, {"runs": (before.id, after.id)}
    if name in ("runs", "artifacts"):
        return name, {"filter": " ".join(rest)} if rest else {}
    if name == "lineage" and rest:
        return name, _thing(workspace, rest)
    if name == "time" and rest:
        from gitml.git.revisions import resolve_commit

        _at_most(name, rest, 2)
        resolve_commit(workspace().objects, workspace().location, rest[0])
        return name, {"rev": rest[0], **({"pipeline": rest[1]} if len(rest) == 2 else {})}
    if name == "modules" and rest:
        _at_most(name, rest, 1)
        return name, {"module": rest[0]}
    return name, {}


def _thing(workspace: Callable[[], Workspace], rest: Sequence[str]) -> dict[str, str]:
    from gitml.history.lineage.nodes import find_nodes

    direction = rest[0] if rest[0] in ("up", "down") and len(rest) > 1 else None
    words = rest[1:] if direction else rest
    _at_most("lineage", words, 1)
    find_nodes(workspace(), words[0])
    return {"thing": words[0], **({"direction": direction} if direction else {})}


def _at_most(name: str, rest: Sequence[str], most: int) -> None:
    if len(rest) > most:
        raise InputError(f"too many words after {name!r}: {' '.join(rest[most:])[:60]!r}")
