"""The list of runs as a table: its columns, and a run as a row of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitml.core.text.format import duration, number
from gitml.history.time_format import ago
from gitml.store.index.runs import RunRow
from gitml.tui.state_styles import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.tables.columns import TableCell, TableColumn, TableRow

SORTABLE = frozenset(("started", "seconds", "pipeline", "experiment", "status", "branch", "commit"))
RISING = frozenset(("pipeline", "experiment", "branch", "status", "commit"))  # the first by the alphabet first
_NOTHING = "-"
_COUNTED = (("executed", "✓"), ("reused", "="), ("failed", "✗"), ("skipped", "-"), ("cancelled", "■"))


def columns(metrics: Sequence[str]) -> list[TableColumn]:
    """The columns of the list, with those of `metrics`."""
    titles = short_names(metrics)
    measured = [
        TableColumn(f"metric:{name}", plain(title), min(max(9, len(plain(title)) + 2), 20), right=True, rank=at * 2 + 2)
        for at, (name, title) in enumerate(zip(metrics, titles, strict=True))
    ]
    return [
        TableColumn("status", "", 2),
        TableColumn("id", "RUN", 8),
        TableColumn("pipeline", "PIPELINE", 10, share=2),
        TableColumn("started", "WHEN", 10, right=True),
        *measured,
        TableColumn("steps", "STEPS", 11, rank=3),
        TableColumn("seconds", "TIME", 7, right=True, rank=4),
        TableColumn("commit", "COMMIT", 9, rank=5),
        TableColumn("branch", "BRANCH", 12, share=1, rank=7),
        TableColumn("experiment", "EXPERIMENT", 12, rank=20),
        TableColumn("note", "NOTE", 16, share=3, rank=21),
    ]


def short_names(names: Sequence[str]) -> list[str]:
    """Each name's shortest end of whole words between dots that no other of them ends with."""
    shortest = []
    for name in names:
        words = name.split(".")
        ends = [".".join(words[at:]) for at in reversed(range(len(words)))]
        others = [f".{other}" for other in names if other != name]
        shortest.append(next((end for end in ends if not any(one.endswith(f".{end}") for one in others)), name))
    return shortest


def table_row(row: RunRow, metrics: Sequence[str], now: float) -> TableRow:
    """A run as a row of `columns`."""
    sign = sign_of(row.status)
    took = (now if row.status == "running" else row.ended) - row.started
    values = [
        TableCell(number(row.metrics[name])) if name in row.metrics else TableCell(_NOTHING, "dim") for name in metrics
    ]
    note = "  ".join([*(f"[{plain(tag)}]" for tag in row.tags), plain(row.message.partition("\n")[0])]).strip()
    return TableRow(
        row.id,
        (
            TableCell(sign.mark, sign.style),
            TableCell(row.id[:8], "link"),
            TableCell(plain(row.pipeline)),
            TableCell(ago(row.started, now).removesuffix(" ago"), "dim"),
            *values,
            TableCell(step_counts(row.counts), "held" if row.counts.get("failed") else "plain"),
            TableCell(duration(took)),
            TableCell((row.base or row.commit)[:8] + ("*" if row.dirty else ""), "dim"),
            TableCell(plain(row.branch or _NOTHING), "plain" if row.branch else "dim"),
            TableCell(plain(row.experiment) if row.experiment != row.pipeline else _NOTHING, "dim"),
            TableCell(note),
        ),
    )


def step_counts(counts: Mapping[str, int]) -> str:
    """``7=``, ``3✓ 4=``: how many steps by sign."""
    return " ".join(f"{counts[outcome]}{mark}" for outcome, mark in _COUNTED if counts.get(outcome)) or _NOTHING
