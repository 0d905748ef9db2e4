"""`gitml targets`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from gitml.cli.errors import DONE, error_as_json, translate
from gitml.cli.options import at_option
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import columns, size
from gitml.cli.text.terminal import fitted, paint, safe

if TYPE_CHECKING:
    from gitml.core.model.resources import Machine, Resources
    from gitml.engine.execution.executor_kind import TargetState

_HEADS = ["", "CPUS", "GPUS", "MEMORY", "OTHERS", "LABELS", "RUNS"]


@verb("targets", json=True, reaches=ALWAYS)
@click.argument("names", metavar="[TARGET]...", nargs=-1)
@at_option
def command(session: Session, names: tuple[str, ...], rev: str | None) -> int:
    """Show where steps can run: each target's machines, what they have, what of it is free, and what runs there.

    Of a cluster that can't be used it shows why, and exits with the code of that error.
    """
    from gitml.engine.execution.executor_kinds import target_states
    from gitml.engine.planning.load import open_source, read_config

    ws = session.ws
    if rev is None and ws.location.worktree is None:
        rev = "HEAD"
    config = read_config(ws, open_source(ws, rev))
    code = DONE
    shown = []
    for state in target_states(ws, config, names):
        code = code or (state.error.exit_code if state.error else DONE)
        shown.append(_as_data(state))
        session.show(*_lines(state))
    session.result(shown)
    return code


def _lines(state: TargetState) -> list[str]:
    name = paint(safe(state.name), "bold")
    if state.error is not None:
        at = (state.error.where or "").removeprefix(f"target {state.name}: ")
        where = f" ({safe(at)})" if at and not at.startswith(f"target {state.name}") else ""
        hint = f": {safe(state.error.hint)}" if state.error.hint else ""
        return [
            f"{name}  {safe(state.address)}",
            f"  {paint('!', 'red')} {safe(state.error.message)}{where}{hint}",
        ]
    phrase = [f"{name}  {_about(state)}"]
    rows = [_HEADS, *(_row(machine) for machine in state.machines)]
    filled = [n for n in range(len(_HEADS)) if n == 0 or any(row[n] not in ("", "-") for row in rows[1:])]
    kept = [[row[n] for n in filled] for row in rows]
    lines = fitted([f"  {line}" for line in columns(kept)])
    return [*phrase, paint(lines[0], "dim"), *lines[1:]]


def _about(state: TargetState) -> str:
    if not state.address:
        return state.about
    about = [safe(state.address)]
    if state.version:
        about.append(f"{state.software} {safe(state.version)}")
    about.append(paint("anybody may enter", "yellow") if state.open else "asks for a token")
    if not state.free_is_known:
        about.append("free resources and running steps are not known through ray://")
    return ", ".join(about)


def _row(machine: Machine) -> list[str]:
    total, free = machine.total, machine.free
    others = [f"{name} {_of(free.custom.get(name, 0.0), count)}" for name, count in sorted(total.custom.items())]
    return [
        safe(machine.name) + (" (head)" if machine.head and machine.address else ""),
        _of(free.cpus, total.cpus),
        _of(free.gpus, total.gpus),
        size(total.memory) if free.memory == total.memory else f"{size(free.memory)} of {size(total.memory)}",
        safe(", ".join(others)),
        safe(", ".join(f"{name}={value}" for name, value in sorted(total.labels.items()))),
        _running(machine.running),
    ]


def _running(names: tuple[str, ...]) -> str:
    return safe(", ".join(name if count == 1 else f"{name} x{count}" for name, count in Counter(names).items()))


def _of(free: float, total: float) -> str:
    """``4``, or ``1.5 of 4`` when some of it is in use."""
    if not total:
        return "-"
    return f"{total:g}" if abs(free - total) < 1e-6 else f"{max(free, 0.0):g} of {total:g}"


def _as_data(state: TargetState) -> dict[str, Any]:
    return {
        "target": state.name,
        "address": state.address or None,
        "ray": state.version or None,
        "open": state.open,
        "machines": [
            {
                "name": machine.name,
                "address": machine.address or None,
                "head": machine.head,
                "labels": dict(machine.total.labels),
                "resources": _resources(machine.total),
                "free": _resources(machine.free) if state.free_is_known else None,
                "running": list(machine.running),
            }
            for machine in state.machines
        ],
        "error": error_as_json(translate(state.error)) if state.error else None,
    }


def _resources(resources: Resources) -> dict[str, Any]:
    numbers = {"cpus": resources.cpus, "gpus": resources.gpus, "memory": resources.memory}
    return {**numbers, "custom": dict(resources.custom)}
