"""A thing of a lineage as text."""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style
from rich.text import Text

from gitml.core.model.action import Action
from gitml.core.text.format import count, duration, number, size
from gitml.history.lineage.node_details import NodeDetails
from gitml.history.lineage.nodes import LineageNode
from gitml.history.time_format import moment
from gitml.tui.state_styles import sign_of
from gitml.tui.text import plain


def thing_text(thing: LineageNode, facts: NodeDetails, styles: Mapping[str, Style]) -> Text:
    """A thing, in what run and at what commit it was made, and what was performed for it."""
    text = Text()

    def line(label: str, value: str, style: str = "plain") -> None:
        if value:
            text.append(f"{label:<9}", style=styles["dim"])
            text.append(f"{value}\n", style=styles[style])

    text.append(f"{plain(thing.name)}\n\n", style=styles["bold"])
    if thing.kind == "param":
        line("value", plain(thing.content), "held")
    elif thing.kind != "commit":
        line("id", thing.content[:26] if thing.kind != "file" else thing.content[:16], "dim")
    if facts.size is not None:
        line("size", size(facts.size))
    if facts.here is not None:
        line("bytes", "here" if facts.here else "not here any more", "good" if facts.here else "held")
    if facts.wall is not None:
        line("took", duration(facts.wall))
    if facts.run is not None:
        sign = sign_of(facts.run.status)
        line("run", f"{facts.run.id[:8]} {sign.mark} {sign.word}", "link")
        line("of", plain(facts.run.pipeline))
        line("started", moment(facts.run.started))
    if facts.commit is not None and thing.commit is not None:
        line("commit", thing.commit[:12], "accent")
        if thing.kind != "commit":
            line(" ", plain(facts.commit.subject))
        line("by", plain(facts.commit.author.partition(" <")[0]))
        line("on", moment(facts.commit.time))
    if facts.action is not None:
        _append_action(text, facts.action, styles)
    return text


def _append_action(text: Text, action: Action, styles: Mapping[str, Style]) -> None:
    text.append("\ncommand\n", style=styles["head"])
    text.append(f"{plain(' '.join(action.argv))}\n", style=styles["plain"])
    if action.params:
        text.append("\nparameters\n", style=styles["head"])
        for name, value in action.params:
            text.append(f"{plain(name)}", style=styles["plain"])
            text.append(f" = {plain(number(value))}\n", style=styles["held"])
    taken = count(len(action.inputs), "input")
    text.append(f"\n{taken}, {count(len(action.code), 'code file')}\n", style=styles["dim"])
