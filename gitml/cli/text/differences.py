"""Named values of two runs side by side: for `metrics diff` and `params diff`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.options import bundle
from gitml.cli.pipeline_arguments import recover_killed
from gitml.cli.session import Session
from gitml.cli.text.format import columns, number
from gitml.cli.text.terminal import safe

if TYPE_CHECKING:
    from gitml.core.records.record import Run


class DifferenceOptions(NamedTuple):
    """What is compared, and what is printed of it."""

    sides: str | None
    pipeline: str | None
    everything: bool
    exit_code: bool


difference_options = bundle(
    "compared",
    DifferenceOptions,
    click.argument("sides", metavar="[A..B]", required=False),
    click.option("-p", "--pipeline", metavar="NAME", help="The pipeline, where a revision was run with several."),
    click.option("--all", "everything", is_flag=True, help="Show what is the same, too."),
    click.option("--exit-code", is_flag=True, help="Exit with 1 when something differs."),
)


def show_differences(
    session: Session, compared: DifferenceOptions, values: Callable[[Run], Mapping[str, Any]], what: str
) -> int:
    """Shows how `values` of two runs differ; the exit code."""
    from gitml.history.compare import differences, run_pair

    recover_killed(session.ws)
    sides = run_pair(session.ws, compared.sides, compared.pipeline)
    found = differences(values(sides.before), values(sides.after))
    changed = [item for item in found if item.changed]
    if session.json:
        shown = [
            {
                "name": item.name,
                "before": item.before,
                "after": item.after,
                "delta": item.delta,
                "changed": item.changed,
            }
            for item in (found if compared.everything else changed)
        ]
        session.show_json({"before": _side(sides.before), "after": _side(sides.after), what: shown})
        return FAILED if changed and compared.exit_code else DONE
    session.note(f"{_named(sides.before)} -> {_named(sides.after)}")
    rows = []
    for item in found if compared.everything else changed:
        delta = item.delta
        phrase = "" if delta is None or not item.changed else f"{delta:+.6g}"
        rows.append([safe(item.name), _shown(item.before), "->", _shown(item.after), phrase])
    session.show(*columns(rows, right=frozenset((1, 3, 4))))
    if not rows:
        same = f"all {len(found)} {what} are the same" if len(found) > 1 else f"the one {what[:-1]} is the same"
        session.note(same if found else f"no {what} to compare")
    return FAILED if changed and compared.exit_code else DONE


def _side(run: Run) -> dict[str, Any]:
    return {"run": run.id, "pipeline": run.pipeline, "commit": run.commit, "dirty": run.dirty}


def _named(run: Run) -> str:
    return f"run {run.id[:8]} ({safe(run.pipeline)} at {run.commit[:8]})"


def _shown(value: Any) -> str:
    return "-" if value is None else number(value)
