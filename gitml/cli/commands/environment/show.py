"""`gitml env show` and `gitml env explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitml.cli.pipeline_arguments import PipelineArguments, pipeline_arguments
from gitml.cli.session import Session, verb
from gitml.cli.text.format import count, size
from gitml.cli.text.terminal import paint, safe
from gitml.core.config.project import LOCAL

if TYPE_CHECKING:
    from gitml.analysis.environments import EnvironmentExplanation, PipelineEnvironment

_NAMED = 4  # steps that are named in one line


@verb("show", json=True)
@pipeline_arguments
@click.option("-a", "--all", "everything", is_flag=True, help="List the packages too.")
@click.option(
    "--platform",
    metavar="PLATFORM",
    default="",
    help="As on another machine, such as linux-aarch64, as far as locks say.",
)
def show(session: Session, wanted: PipelineArguments, everything: bool, platform: str) -> None:
    """Show each environment of a pipeline's steps: its kind, identity, Python and packages, and whether it is built here.

    The identity stands in the key of each result. `--all` or `-v` lists the packages.
    """
    from gitml.analysis.environments import pipeline_environments

    loaded, steps = wanted.load(session)
    found = pipeline_environments(session.ws, loaded, steps, measure=True, platform=platform)
    session.result([environment_as_json(one) for one in found])
    for number, one in enumerate(found):
        session.show(*([""] if number else []), *_lines(one), *_packages(one, everything or session.verbose))


@verb("explain", json=True)
@pipeline_arguments
def explain(session: Session, wanted: PipelineArguments) -> None:
    """Show why each environment of a pipeline's steps has its identity: what counts, and what differs from the last run's."""
    from gitml.analysis.environments import explain_environments

    loaded, steps = wanted.load(session)
    found = explain_environments(session.ws, loaded, steps)
    session.result([_explanation_as_json(one) for one in found])
    for number, one in enumerate(found):
        session.show(*([""] if number else []), *_explained(one))


def named_steps(steps: tuple[str, ...]) -> str:
    """The names of steps in one line, safe for a terminal; of many the first."""
    shown = ", ".join(map(safe, steps[:_NAMED]))
    return shown if len(steps) <= _NAMED else f"{shown} and {len(steps) - _NAMED:,} more"


def environment_as_json(one: PipelineEnvironment) -> dict[str, Any]:
    """What ``--json`` shows of an environment."""
    described = one.described
    return {
        "environment": one.spec,
        "kind": one.kind,
        "steps": list(one.steps),
        "target": one.target,
        "identity": one.environment.digest if one.environment is not None else None,
        "problem": one.problem,
        "hint": one.hint,
        "platform": described.get("platform"),
        "python": described.get("python"),
        "image": described.get("image"),
        "packages": list(one.packages),
        "built": one.built,
        "place": one.place,
        "bytes": one.bytes,
    }


def _head(one: PipelineEnvironment) -> list[str]:
    kind = "" if one.spec == one.kind else f"  ({safe(one.kind)})"
    lines = [f"{paint(safe(one.spec), 'bold')}{kind}", f"  steps     {named_steps(one.steps)}"]
    if one.target != LOCAL:
        lines.append(f"  target    {safe(one.target)}")
    if one.problem is not None:
        hint = f" ({safe(one.hint)})" if one.hint else ""
        lines.append(f"  {paint('problem', 'red')}   {safe(one.problem)}{hint}")
    if one.environment is not None:
        lines.append(f"  identity  {one.environment.digest[7:19]}")
    return lines


def _lines(one: PipelineEnvironment) -> list[str]:
    lines = _head(one)
    if one.environment is None:
        return lines
    described = one.described
    for name in ("python", "platform", "image"):
        if isinstance(value := described.get(name), str):
            lines.append(f"  {name:<8}  {safe(value)}")
    programs = described.get("programs") or {}
    if programs:
        lines.append(f"  programs  {', '.join(map(safe, programs))}")
    if "distributions" in described:
        lines.append(f"  packages  {len(one.packages):,}")
    return lines if not one.is_here else [*lines, f"  here      {_state(one)}"]


def _state(one: PipelineEnvironment) -> str:
    if one.place is None:
        return "as it is installed"
    if not one.built:
        return f"{paint('not built', 'yellow')}: gitml env build"
    return f"{paint('built', 'green')} in {safe(one.place)}" + ("" if one.bytes is None else f", {size(one.bytes)}")


def _packages(one: PipelineEnvironment, everything: bool) -> list[str]:
    return [f"    {safe(item)}" for item in one.packages] if everything else []


def _explained(one: EnvironmentExplanation) -> list[str]:
    lines = _head(one.found)
    if one.found.environment is None:
        return lines
    lines.append("  counts:")
    lines += [f"    {safe(item)}" for item in one.counts]
    lines.append(f"  does not count: {safe(one.ignored)}")
    if one.against is None:
        return [*lines, "  no run of these steps is recorded"]
    if not one.changes:
        return [*lines, f"  the same as in {safe(one.against)}"]
    lines.append(f"  compared with {safe(one.against)}, {count(len(one.changes), 'difference')}:")
    return lines + [f"    {safe(str(change))}" for change in one.changes]


def _explanation_as_json(one: EnvironmentExplanation) -> dict[str, Any]:
    found = one.found
    return {
        "environment": found.spec,
        "kind": found.kind,
        "steps": list(found.steps),
        "identity": found.environment.digest if found.environment is not None else None,
        "problem": found.problem,
        "hint": found.hint,
        "counts": list(one.counts),
        "ignored": one.ignored,
        "against": one.against,
        "changes": [change._asdict() for change in one.changes],
    }
