"""A run and its steps as text."""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style
from rich.text import Text

from gitml.core.text.format import count, duration
from gitml.history.progress import StepProgress
from gitml.history.time_format import ago
from gitml.tui.screens.run.queries import RunView
from gitml.tui.state_styles import sign_of
from gitml.tui.text import plain


def headline(view: RunView, styles: Mapping[str, Style], now: float) -> Text:
    """The run in two lines."""
    run = view.run
    sign = sign_of(run.status)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {sign.mark} {sign.word}  ", style=styles[sign.style])
    text.append(plain(run.pipeline), style=styles["bold"])
    text.append(f"  {run.id}", style=styles["link"])
    commit = (run.base or run.commit)[:10] + ("*" if run.dirty else "")
    text.append(f"  at {commit}", style=styles["dim"])
    text.append(f" on {plain(run.branch)}" if run.branch else "", style=styles["dim"])
    if view.target:
        text.append(f"  on cluster {plain(view.target)}", style=styles["accent"])
        text.append("" if view.live else f": gitml collect {run.id[:8]} brings it home", style=styles["dim"])
    took = duration((now if view.live else run.ended) - run.started)
    text.append(f"\n   {ago(run.started, now)}, {'for' if view.live else 'took'} {took}", style=styles["dim"])
    text.append(f"  {', '.join(_counted(view))}", style=styles["plain"])
    if run.experiment != run.pipeline:
        text.append(f"  experiment {plain(run.experiment)}", style=styles["dim"])
    for tag in run.tags:
        text.append(f"  [{plain(tag)}]", style=styles["accent"])
    if run.message:
        text.append(f"  {plain(run.message.partition(chr(10))[0])}", style=styles["accent"])
    if run.error:
        text.append(f"  {plain(run.error)}", style=styles["bad"])
    text.append(f"  by {plain(run.by)}", style=styles["dim"])
    return text


def took_text(item: StepProgress, now: float) -> str:
    """How long a step took or has been taking, else what became of it."""
    if item.since is not None:
        return duration(now - item.since)
    if item.step is not None and item.step.attempts:
        return duration(item.step.seconds)
    return "" if item.step is None or item.state == "reused" else item.state


def first_step_to_show(view: RunView) -> str | None:
    """The step that one looks for first: what failed, what runs, else the first."""
    for state in ("failed", "running"):
        for item in view.steps:
            if item.state == state:
                return item.name
    return view.steps[0].name if view.steps else None


def _counted(view: RunView) -> list[str]:
    states: dict[str, int] = {}
    for item in view.steps:
        states[item.state] = states.get(item.state, 0) + 1
    return [f"{states[state]:,} {sign_of(state).word}" for state in states] or [count(0, "step")]
