"""Artifacts, where their bytes are, and what freeing some would do, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.style import Style
from rich.text import Text

from gitml.core.text.format import count, size
from gitml.history.artifacts import ArtifactDetails
from gitml.history.time_format import ago, moment
from gitml.maintenance.evict import EvictionPlan
from gitml.store.index.artifacts import GONE, HERE, RECORD, REMOTE, Artifact
from gitml.tui.state_styles import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.tables.columns import TableCell, TableColumn, TableRow

Styles = Mapping[str, Style]

ARTIFACT_COLUMNS = (
    TableColumn("where", "", 1),
    TableColumn("name", "NAME", 16, share=3),
    TableColumn("kind", "KIND", 9, rank=2),
    TableColumn("size", "SIZE", 8, right=True),
    TableColumn("uses", "USED BY", 9, right=True, rank=1),
    TableColumn("used", "LAST USED", 11),
    TableColumn("pipeline", "PIPELINE", 8, share=1, rank=3),
    TableColumn("run", "RUN", 8, rank=4),
)
_KEEPERS = 6  # runs that are named before the others are counted


def row_of(artifact: Artifact, now: float) -> TableRow:
    """An artifact as a row of ARTIFACT_COLUMNS."""
    sign = sign_of(artifact.where)
    return TableRow(
        artifact.digest,
        (
            TableCell(sign.mark, sign.style),
            TableCell(plain(artifact.name), "plain" if artifact.where != GONE else "dim"),
            TableCell(artifact.kind, "dim"),
            TableCell("?" if artifact.size is None else size(artifact.size)),
            TableCell(f"{artifact.uses:,}" if artifact.uses else "-", "plain" if artifact.uses else "dim"),
            TableCell(ago(artifact.used, now), "dim"),
            TableCell(plain(artifact.pipeline)),
            TableCell(artifact.run[:8], "link"),
        ),
    )


def totals_text(totals: Mapping[str, tuple[int, int]], styles: Styles) -> Text:
    """How many there are, and their bytes, by where they are."""
    text = Text(end="")
    for where in (HERE, RECORD, REMOTE, GONE):
        if where in totals:
            sign = sign_of(where)
            many, total = totals[where]
            text.append(f" {sign.mark} ", style=styles[sign.style])
            text.append(f"{many:,} {sign.word}, {size(total)} ", style=styles["dim"])
    return text


def artifact_text(known: ArtifactDetails, styles: Styles) -> Text:
    """Where an artifact is, what it is, who made it and who used it."""
    artifact = known.artifact
    sign = sign_of(artifact.where)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{sign.mark} {sign.word}", style=styles[sign.style])
    if not known.whole and artifact.where == HERE:
        text.append(" in part", style=styles["held"])
    text.append(f"  {artifact.kind}", style=styles["plain"])
    if artifact.size is not None:
        text.append(f"  {size(artifact.size)}", style=styles["bold"])
    if known.file_name:
        text.append(f"  {plain(known.file_name)}", style=styles["dim"])
    text.append(f"\n{artifact.digest[:30]}…\n", style=styles["dim"])
    text.append("made by  ", style=styles["dim"])
    text.append(f"{plain(artifact.step)} ", style=styles["plain"])
    text.append(f"of {plain(artifact.pipeline)} in ", style=styles["dim"])
    for number, maker in enumerate(known.makers[:3]):
        text.append(", " if number else "", style=styles["dim"])
        text.append(maker.run[:8], style=styles["link"])
    if len(known.makers) > 3:
        text.append(f" and {len(known.makers) - 3:,} more", style=styles["dim"])
    text.append(f"  {moment(artifact.made)}", style=styles["dim"])
    text.append("\nused by  ", style=styles["dim"])
    users = list(dict.fromkeys((use.step or "", (use.run or "")[:8]) for use in known.users))
    for number, (step, run) in enumerate(users[:3]):
        text.append(", " if number else "", style=styles["dim"])
        text.append(f"{plain(step)} ", style=styles["plain"])
        text.append(run, style=styles["link"])
    if len(users) > 3:
        text.append(f" and {len(users) - 3:,} more", style=styles["dim"])
    if not users:
        text.append("no step that ran", style=styles["dim"])
    return text


def missing_text(artifact: Artifact) -> tuple[str, str]:
    """A title and what to do, for an artifact whose bytes are not on this machine."""
    if artifact.where == REMOTE:
        return "not here", f"A remote store has its {size(artifact.size or 0)}.\n\nf brings them here."
    return (
        "not here",
        "No remote store is known to have it; f asks them. It can be made again:\n\n"
        f"  gitml run {plain(artifact.pipeline)} {plain(artifact.step)}",
    )


def freeing_lines(freeing: EvictionPlan) -> Sequence[str]:
    """What freeing would take, what keeps it, and what stays."""
    lines = [f"{size(freeing.bytes)} would go from the store, {count(freeing.objects, 'object')}."]
    if freeing.shared:
        lines.append(f"{size(freeing.shared)} stay: other artifacts hold them too.")
    if freeing.retaining_runs:
        lines += ["", "What keeps it:"]
        for keeper in freeing.retaining_runs[:_KEEPERS]:
            lines.append(f"  run {keeper.run[:8]} of {plain(keeper.pipeline)}, {plain(keeper.name)}")
            if keeper.why:
                lines.append(f"    {keeper.why}")
        if len(freeing.retaining_runs) > _KEEPERS:
            lines.append(f"  and {len(freeing.retaining_runs) - _KEEPERS:,} more runs")
        lines += ["", "The records stay. The next run that needs it runs its step again."]
    else:
        lines += ["", "No run keeps it."]
    if freeing.inline:
        lines.append("Small ones stay readable: records hold a copy of their bytes.")
    return lines
