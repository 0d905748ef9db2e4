"""`gitml explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitml.cli.options import secret_option, set_option
from gitml.cli.pipeline_arguments import parse_assignments, prompt_secret
from gitml.cli.session import Session, verb
from gitml.cli.text.terminal import paint, safe, safe_line
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.analysis.explain import Explanation
    from gitml.core.planner.explain import Change
    from gitml.workspace import Workspace

_WORDS = {"reuse": "is reused", "run": "runs", "unknown": "may run", "blocked": "can't run"}


@verb("explain", json=True)
@click.argument("words", metavar="[PIPELINE] STEP [A..B]", nargs=-1, required=True)
@click.option("-p", "--pipeline", metavar="NAME", help="The pipeline; default: the project's.")
@click.option("--diff", is_flag=True, help="Show how each file of code changed, line by line.")
@set_option
@secret_option
def command(
    session: Session,
    words: tuple[str, ...],
    pipeline: str | None,
    diff: bool,
    given: tuple[str, ...],
    secrets: tuple[str, ...],
) -> None:
    """Show why STEP runs again: the files, parameters, inputs, packages and words of the command that differ, by name and value.

    Compares the files as they are (or the commit REV) with the nearest recorded result, or commit B with commit A.
    """
    from gitml.analysis.explain import diff_of, explain
    from gitml.engine.planning.load import SecretPrompt

    prompt = SecretPrompt(secrets, prompt_secret)
    found = explain(session.ws, *_meant(session.ws, words, pipeline), parse_assignments(given), prompt)
    if session.json:
        session.show_json({"steps": [_as_data(item) for item in found]})
        return
    for item in found:
        session.show(*_lines(item))
        for change in item.code if diff else ():
            session.show(*[_diff_line(line) for line in diff_of(session.ws, change)])


def _diff_line(line: str) -> str:
    shown = safe_line(line)
    if line.startswith(("--- ", "+++ ")):
        return paint(shown, "bold")
    return paint(shown, {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))


def _meant(ws: Workspace, words: tuple[str, ...], pipeline: str | None) -> tuple[str, str | None, str | None]:
    """(step, pipeline, revisions). Of two words the second is a revision where it can be one.

    Otherwise the first may name a pipeline, as for `gitml run`.
    """
    from gitml.engine.planning.load import list_pipelines
    from gitml.git.revisions import is_revision

    step, *rest = words
    if (
        pipeline is None
        and rest
        and ".." not in rest[0]
        and (len(rest) > 1 or not is_revision(ws.objects, ws.location, rest[0]))
        and step in list_pipelines(ws)
    ):
        pipeline, step, *rest = words
    if len(rest) > 1:
        raise InputError(
            f"one word too many: {rest[-1][:80]!r}", where="explain", hint="gitml explain [PIPELINE] STEP [A..B]"
        )
    return step, pipeline, rest[0] if rest else None


def _lines(item: Explanation) -> list[str]:
    decision = item.decision
    colour = {"reuse": "cyan", "blocked": "red"}.get(decision.kind, "green")
    word = paint(_WORDS[decision.kind], colour)
    lines = [f"{paint(safe(item.step), 'bold')} {word}: {safe(decision.reason)}"]
    if decision.hint:
        lines.append(f"  {safe(decision.hint)}")
    if item.against is None:
        lines.append("  no result of it is recorded")
    elif item.changes:
        lines.append(f"  compared with {safe(item.against)}:")
        lines += [f"    {change_line(change)}" for change in item.changes]
    elif not item.waits_for:
        lines.append(f"  nothing differs from {safe(item.against)}")
    if item.remark:
        lines.append(f"  {safe(item.remark)}")
    if item.waits_for:
        lines.append(f"  more is known once {safe(', '.join(item.waits_for))} ran")
    return lines


def change_line(change: Change) -> str:
    """One change, with both values where they help."""
    line = safe(str(change))
    if change.kind in ("code", "input") and change.before is not None and change.after is not None:
        line += paint(f"  ({safe(_short(change.before))} -> {safe(_short(change.after))})", "dim")
    return line


def _short(content: str) -> str:
    """A content id at a length that people compare."""
    if content.startswith("git:"):
        return content.rsplit(":", 1)[1][:12]
    return content[7:19] if content.startswith("sha256:") else content


def _as_data(item: Explanation) -> dict[str, object]:
    return {
        "name": item.step,
        "decision": item.decision.kind,
        "reason": item.decision.reason,
        "hint": item.decision.hint,
        "against": item.against,
        "changes": [change._asdict() for change in item.changes],
        "waits_for": list(item.waits_for),
        "remark": item.remark,
    }
