"""Explanations as text: what makes a step run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.style import Style
from rich.text import Text

from gitml.core.explain import Change
from gitml.flow.explaining import Explanation
from gitml.tui.signs import sign_of
from gitml.tui.text import plain


def explained(found: Sequence[Explanation], inks: Mapping[str, Style]) -> Text:
    """All of them, one below the other."""
    text = Text()
    for item in found:
        sign = sign_of(item.decision.kind)
        text.append(plain(item.step), style=inks["bold"])
        text.append(f"  {sign.mark} {sign.word}", style=inks[sign.ink])
        text.append(f": {plain(item.decision.reason)}\n", style=inks["plain"])
        if item.decision.hint:
            text.append(f"  {plain(item.decision.hint)}\n", style=inks["dim"])
        if item.against is None:
            text.append("\n  no result of it is recorded\n", style=inks["dim"])
        elif item.changes:
            text.append("\n  compared with ", style=inks["dim"])
            text.append(f"{plain(_short(item.against))}:\n", style=inks["link"])
            for change in item.changes:
                text.append_text(_change(change, inks))
        elif not item.waits_for:
            text.append(f"\n  nothing differs from {plain(_short(item.against))}\n", style=inks["good"])
        if item.waits_for:
            text.append(f"\n  more is known once {plain(', '.join(item.waits_for))} ran\n", style=inks["dim"])
    text.rstrip()
    return text


def _change(change: Change, inks: Mapping[str, Style]) -> Text:
    text = Text(f"    {change.kind} ", style=inks["dim"])
    text.append(plain(change.name), style=inks["bold"])
    if change.before is None:
        text.append(f"  + {plain(_short(change.after or ''))}\n", style=inks["good"])
    elif change.after is None:
        text.append(f"  - {plain(_short(change.before))}\n", style=inks["bad"])
    else:
        text.append(f"  {plain(_short(change.before))}", style=inks["held"])
        text.append(" → ", style=inks["dim"])
        text.append(f"{plain(_short(change.after))}\n", style=inks["good"])
    return text


def _short(content: str) -> str:
    """A content id at a length that people compare; other text as it is."""
    if content.startswith("git:"):
        return content.rsplit(":", 1)[1][:12]
    if content.startswith("sha256:"):
        return content[7:19]
    return content[:12] if len(content) in (40, 64) and set(content) <= set("0123456789abcdef") else content
