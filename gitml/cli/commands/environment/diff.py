"""`gitml env diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitml.cli.commands.environment.show import named_steps
from gitml.cli.errors import DONE, FAILED
from gitml.cli.session import Session, verb
from gitml.cli.text.terminal import paint, safe
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.analysis.environments import EnvironmentDifference


@verb("diff", json=True)
@click.argument("sides", metavar="[A [B]]", nargs=-1)
@click.option("-p", "--pipeline", metavar="NAME", help="The pipeline; default: that of a run, or the project's.")
@click.option("--all", "everything", is_flag=True, help="Show what is the same, too.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something differs.")
def diff(session: Session, sides: tuple[str, ...], pipeline: str | None, everything: bool, exit_code: bool) -> int:
    """Show how the environments of B differ from those of A: packages by name and version, Python, platform, image.

    A and B (also A..B) are runs or Git revisions. Of a run it is what its steps had where they ran, of a revision what they would
    have on this machine. Without B the files are compared as they are now, without A with HEAD.
    """
    from gitml.analysis.environments import diff_environments

    before, after = _sides(sides)
    found = diff_environments(session.recovered_ws, before, after, pipeline)
    changed = [one for one in found if one.differs]
    shown = found if everything else changed
    session.result(
        {"before": before, "after": after, "environments": [_as_json(one) for one in shown]},
        *[line for one in shown for line in _lines(one)],
    )
    if not changed:
        session.remark("no environment differs")
    return FAILED if exit_code and changed else DONE


def _sides(words: tuple[str, ...]) -> tuple[str, str | None]:
    """What A and B are; B is None for the files as they are now."""
    if len(words) > 2:
        raise InputError(f"one word too many: {words[2][:80]!r}", where="env diff", hint="gitml env diff A B")
    if len(words) == 1 and ".." in words[0]:
        before, _, after = words[0].partition("..")
        if ".." in after or after.startswith("."):
            raise InputError(f"not a range: {words[0][:80]!r}", hint="write it as A..B")
        return before or "HEAD", after or "HEAD"
    return (words[0] if words else "HEAD"), (words[1] if len(words) > 1 else None)


def _lines(one: EnvironmentDifference) -> list[str]:
    names = [safe(side) for side in (one.before, one.after) if side is not None]
    what = " -> ".join(dict.fromkeys(names))
    head = f"{paint(named_steps(one.steps), 'bold')}  {what}"
    if one.problem is not None:
        return [head, f"  not known: {safe(one.problem)}"]
    if one.before is None or one.after is None:
        return [f"{head}  (the step is in {'B' if one.before is None else 'A'} alone)"]
    if not one.differs:
        return [f"{head}  the same"]
    return [head, *[f"  {safe(str(change))}" for change in one.changes]]


def _as_json(one: EnvironmentDifference) -> dict[str, Any]:
    return {
        "steps": list(one.steps),
        "before": None if one.before is None else {"environment": one.before, "identity": one.before_identity},
        "after": None if one.after is None else {"environment": one.after, "identity": one.after_identity},
        "problem": one.problem,
        "changes": [change._asdict() for change in one.changes],
    }
