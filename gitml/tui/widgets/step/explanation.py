"""An explanation as a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.style import Style
from rich.text import Text

from gitml.analysis.explain import Explanation
from gitml.core.text.format import safe
from gitml.tui.state_styles import sign_of


def explained(found: Sequence[Explanation], styles: Mapping[str, Style]) -> Text:
    """What becomes of each step, compared with what, and every change by name and value."""
    text = Text()
    for item in found:
        sign = sign_of(item.decision.kind)
        text.append(f"{sign.mark} {safe(item.step)} ", style=styles["bold"])
        text.append(sign.word, style=styles[sign.style])
        text.append(f"\n  {safe(item.decision.reason)}\n")
        if item.decision.hint:
            text.append(f"  {safe(item.decision.hint)}\n", style=styles["accent"])
        if item.against is None:
            text.append("  no result of it is recorded\n", style=styles["dim"])
        elif item.changes:
            text.append(f"\n  compared with {safe(item.against)}:\n", style=styles["dim"])
            for change in item.changes:
                text.append(f"    {change.kind:<12}", style=styles["accent"])
                text.append(f"{safe(change.name)}\n" if change.name else "\n", style=styles["bold"])
                for mark, value, style in (("-", change.before, "bad"), ("+", change.after, "good")):
                    if value is not None:
                        text.append(f"      {mark} {safe(value)}\n", style=styles[style])
        elif not item.waits_for:
            text.append(f"  nothing differs from {safe(item.against)}\n", style=styles["dim"])
        if item.waits_for:
            text.append(f"  more is known once {safe(', '.join(item.waits_for))} ran\n", style=styles["dim"])
        text.append("\n")
    return text
