"""Two tables of a step: its files with digests and sizes, and the metrics of the run beside those of the run before it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from gitml.core.records.record import Run
from gitml.core.text.format import number, size
from gitml.history.compare import differences
from gitml.history.runs import StepProgress, read_run
from gitml.history.step_details import StepDetails
from gitml.tui.page import page_of
from gitml.tui.screens.run.view import MissingOutput
from gitml.tui.text import plain
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.table import LazyTable, TableCell, TableColumn, TableRow
from gitml.workspace import Workspace

_FILE_COLUMNS = (
    TableColumn("role", "", 6),
    TableColumn("name", "NAME", 12, share=2),
    TableColumn("size", "SIZE", 8, right=True),
    TableColumn("content", "CONTENT", 12),
    TableColumn("from", "FROM", 10, share=1, rank=1),
    TableColumn("kind", "KIND", 9, rank=2),
)


class StepFiles(Vertical):
    """Outputs first, then inputs, then code."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("Y", "copy_digest", "Copy digest")]

    def compose(self) -> ComposeResult:
        """The table."""
        yield Notice("LazyTable")
        yield LazyTable(_FILE_COLUMNS)

    def show(self, known: StepDetails | None, standing: StepProgress) -> None:
        """The files of a step."""
        notice = self.query_one(Notice)
        if known is None:
            notice.show_text(
                "Not known yet" if standing.step is None else "…", "Files are recorded when the step has ended."
            )
            return
        notice.hide()
        self.query_one(LazyTable).fill([*_outputs(known), *_inputs(known), *_code(known)])

    @on(LazyTable.RowSelected)
    def _open(self, event: LazyTable.RowSelected) -> None:
        event.stop()
        page_of(self).ui.go("lineage", thing=event.row.key)

    def action_copy_digest(self) -> None:
        """Copies the Digest or Git id under the cursor."""
        row = self.query_one(LazyTable).current
        if row is not None:
            page_of(self).ui.copy(row.key, "content id")


def _named(name: str, mount: str | None) -> str:
    """A port with the path that the step sees it at, where that is one of its own choice."""
    return plain(name) + (f" ({plain(mount)})" if mount and ".gitml" not in mount.split("/") else "")


def _outputs(known: StepDetails) -> list[TableRow]:
    return [
        TableRow(
            item.ref.digest,
            (
                TableCell("output", "good"),
                TableCell(_named(item.ref.name, item.mount)),
                TableCell(size(item.ref.size)),
                TableCell(item.ref.digest[7:19], "link"),
                TableCell("" if item.here else "not here", "held"),
                TableCell(item.ref.kind, "dim"),
            ),
        )
        for item in known.outputs
    ]


def _inputs(known: StepDetails) -> list[TableRow]:
    return [
        TableRow(
            item.item.content.rpartition(":")[2] if item.item.content.startswith("git:") else item.item.content,
            (
                TableCell("input", "link"),
                TableCell(_named(item.item.name, item.item.mount)),
                TableCell(size(item.size) if item.size is not None else "", "plain"),
                TableCell(item.content_id[:12], "link"),
                TableCell(" or ".join(map(plain, item.made_by)) or "commit", "plain" if item.made_by else "dim"),
                TableCell(item.item.kind, "dim"),
            ),
        )
        for item in known.inputs
    ]


def _code(known: StepDetails) -> list[TableRow]:
    if known.action is None:
        return []
    return [
        TableRow(
            item.oid,
            (
                TableCell("code", "dim"),
                TableCell(plain(item.path)),
                TableCell(""),
                TableCell(item.oid[:12], "link"),
                TableCell("commit", "dim"),
                TableCell("directory" if item.mode == "40000" else "file", "dim"),
            ),
        )
        for item in known.action.code
    ]


_METRIC_COLUMNS = (
    TableColumn("name", "METRIC", 16, share=1),
    TableColumn("value", "VALUE", 11, right=True),
    TableColumn("before", "RUN BEFORE", 11, right=True, rank=1),
    TableColumn("change", "CHANGE", 11, right=True, rank=1),
)


class StepMetrics(Vertical):
    """A table."""

    def compose(self) -> ComposeResult:
        """The table, or why there is none."""
        yield Notice()
        yield LazyTable(_METRIC_COLUMNS)

    def show(self, run: Run, step: str, before: str | None, missing: MissingOutput) -> None:
        """The metrics of a run; `before` is the id of the run to compare with, `missing` is shown where the step has none."""
        if before is None:
            self._fill(run, step, {}, missing)
            return

        def known(ws: Workspace) -> dict[str, float | str]:
            return _named_values(read_run(ws, before))

        page = page_of(self)
        page.run_query("before", known, lambda metrics: self._fill(run, step, metrics, missing))

    def _fill(self, run: Run, step: str, before: dict[str, float | str], missing: MissingOutput) -> None:
        metrics = _named_values(run)
        table, notice = self.query_one(LazyTable), self.query_one(Notice)
        table.display = bool(metrics)
        if not any(name.startswith(f"{step}.") for name in metrics):
            notice.show_text(missing.title, missing.text)
        else:
            notice.hide()
        if not metrics:
            return
        found = [item for item in differences(before, metrics) if item.after is not None]
        found.sort(key=lambda item: not item.name.startswith(f"{step}."))
        rows = []
        for item in found:
            own = item.name.startswith(f"{step}.")
            delta = item.delta
            change = f"{delta:+.4g}" if delta else ("same" if item.before is not None and not item.changed else "")
            rows.append(
                TableRow(
                    item.name,
                    (
                        TableCell(plain(item.name), "plain" if own else "dim"),
                        TableCell(number(item.after), "bold" if own else "dim"),
                        TableCell(number(item.before) if item.before is not None else "", "dim"),
                        TableCell(change, "accent" if delta else "dim"),
                    ),
                )
            )
        table.fill(rows)


def _named_values(run: Run) -> dict[str, float | str]:
    """The metrics of a run, then its labels."""
    metrics = run.metrics()
    return {**metrics, **{name: text for name, text in run.labels().items() if name not in metrics}}
