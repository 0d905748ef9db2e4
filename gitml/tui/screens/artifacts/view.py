"""Artifacts as they are read, as rows and as text, and the pane that previews the content of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import ScrollableContainer
from textual.widget import Widget
from textual.widgets import Static

from gitml.core.text.format import count, safe_line, size
from gitml.core.text.plot_data import Plot, plot_of
from gitml.errors import InputError
from gitml.history.artifacts import ArtifactDetails, artifact_details, open_artifacts
from gitml.history.files.preview import BYTES, FOLDER, JSON, PICTURE, TABLE, ContentPreview
from gitml.history.files.preview import preview as preview_of
from gitml.history.time_format import ago, moment
from gitml.maintenance.evict import EvictionPlan
from gitml.store.index.artifacts import GONE, HERE, RECORD, REMOTE, Artifact, ArtifactList
from gitml.tui.errors import ErrorMessage, error_message
from gitml.tui.services import services
from gitml.tui.styles import sign_legend, sign_of
from gitml.tui.text import fitted, plain
from gitml.tui.widgets.table import TableCell, TableColumn, TableRow
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from PIL.Image import Image


LOOKUP_LIMIT = 2000  # artifacts that are not here, of which it is looked up whether a remote store has them


class ArtifactListing(NamedTuple):
    """The list of artifacts as of the records' `tip`; `totals` are (how many, bytes) by where they are."""

    listing: ArtifactList
    tip: str | None
    totals: Mapping[str, tuple[int, int]]
    now: float


class ArtifactContents(NamedTuple):
    """An artifact looked into. `note` says why there is no picture where there should be one; `error` why no preview."""

    details: ArtifactDetails
    preview: ContentPreview | None
    image: Image | None
    note: str
    error: ErrorMessage | None


def open_list(ws: Workspace) -> ArtifactListing:
    """Every artifact there is; of those used last that are not here, whether a remote store is known to have them."""
    from gitml.transfer.download import known_in_remotes

    listing = open_artifacts(ws)
    if GONE in listing.totals():
        listing.found_in_remotes(known_in_remotes(ws, listing.gone(LOOKUP_LIMIT)))
    return ArtifactListing(listing, ws.records.tip(), listing.totals(), ws.now())


def fetch_artifacts(ws: Workspace, artifacts: Sequence[Artifact]) -> tuple[int, int]:
    """Fetches artifacts from remote stores: the bytes fetched, and how many artifacts no store has.

    RemoteError when a store that may have one can't be reached.
    """
    from gitml.core.model.stop_signal import StopSignal
    from gitml.transfer.download import fetch_artifacts, obtainable

    held = obtainable(ws, artifacts)
    fetched = fetch_artifacts(ws, held, lambda _: None, StopSignal())
    return fetched.bytes, len(artifacts) - len(held) + len(fetched.lost)


def inspect_artifact(ws: Workspace, artifact: Artifact) -> ArtifactContents:
    """What is known of an artifact, and what is in it when it is here."""
    known = artifact_details(ws, artifact)
    if artifact.where in (GONE, REMOTE):
        return ArtifactContents(known, None, None, "", None)
    try:
        found = preview_of(ws, artifact.digest, artifact.size, tree=artifact.is_tree, name=known.file_name)
    except Exception as error:  # whatever it is, it is shown in place of the preview
        return ArtifactContents(known, None, None, "", error_message(error))
    if found.kind != PICTURE:
        return ArtifactContents(known, found, None, "", None)
    from gitml.tui.widgets.pictures import decoded

    return ArtifactContents(known, found, *decoded(found), None)


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
        artifact,
    )


def totals_text(totals: Mapping[str, tuple[int, int]]) -> Text:
    """How many there are, and their bytes, by where they are."""
    known = [(where, *totals[where]) for where in (HERE, RECORD, REMOTE, GONE) if where in totals]
    return sign_legend(((where, f"{many:,} {sign_of(where).word}, {size(total)}") for where, many, total in known))


def artifact_text(known: ArtifactDetails) -> Text:
    """Where an artifact is, what it is, who made it and who used it."""
    artifact = known.artifact
    sign = sign_of(artifact.where)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{sign.mark} {sign.word}", sign.style)
    if not known.whole and artifact.where == HERE:
        text.append(" in part", "held")
    text.append(f"  {artifact.kind}", "plain")
    if artifact.size is not None:
        text.append(f"  {size(artifact.size)}", "bold")
    if known.file_name:
        text.append(f"  {plain(known.file_name)}", "dim")
    text.append(f"\n{artifact.digest[:30]}…\n", "dim")
    text.append("made by  ", "dim")
    text.append(f"{plain(artifact.step)} ", "plain")
    text.append(f"of {plain(artifact.pipeline)} in ", "dim")
    for number, maker in enumerate(known.makers[:3]):
        text.append(", " if number else "", "dim")
        text.append(maker.run[:8], "link")
    if len(known.makers) > 3:
        text.append(f" and {len(known.makers) - 3:,} more", "dim")
    text.append(f"  {moment(artifact.made)}", "dim")
    text.append("\nused by  ", "dim")
    users = list(dict.fromkeys((use.step or "", (use.run or "")[:8]) for use in known.users))
    for number, (step, run) in enumerate(users[:3]):
        text.append(", " if number else "", "dim")
        text.append(f"{plain(step)} ", "plain")
        text.append(run, "link")
    if len(users) > 3:
        text.append(f" and {len(users) - 3:,} more", "dim")
    if not users:
        text.append("no step that ran", "dim")
    return text


def missing_text(artifact: Artifact) -> tuple[str, str]:
    """A title and what to do, for an artifact whose bytes are not on this machine."""
    if artifact.where == REMOTE:
        return "not here", f"A remote store has its {size(artifact.size or 0)}.\n\nf fetches them."
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


COLUMN = 28  # a column of a table is at most so wide
CURVES = 6


class PreviewPane(ScrollableContainer, can_focus=True):
    """Shows one preview at a time."""

    drawn = False  # whether it shows the curves of a table

    def compose(self) -> ComposeResult:
        """What text is written into; pictures and curves come and go beside it."""
        yield Static(id="preview-text")

    def show(self, preview: ContentPreview, image: Image | None = None, note: str = "") -> None:
        """This preview; `image` is its picture where it could be decoded, `note` says why not where it couldn't."""
        self.border_title = plain(preview.about)
        self.border_subtitle = "there is more" if preview.cut else ""
        if preview.kind == PICTURE and image is not None:
            from gitml.tui.widgets.pictures import picture_widget

            self._put(picture_widget(image, services(self).queries.environ))
        elif preview.kind == PICTURE:
            self._write(Text.assemble((note or "it can't be shown here", "dim")))
        else:
            self._write(text_of(preview), wide=preview.kind in (TABLE, FOLDER, BYTES))

    def show_text(self, title: str, text: str, style: str = "dim") -> None:
        """Something in place of a preview."""
        self.border_title, self.border_subtitle = title, ""
        self._write(Text.assemble((text, style)))

    def plot(self, preview: ContentPreview) -> bool:
        """Draws the numbers of a table; False when it has none."""
        found = curves_of(preview)
        if found is None:
            return False
        from gitml.tui.widgets.charts import Chart

        chart = Chart()
        self._put(chart)
        chart.draw("", [("", found)])
        self.drawn = True
        return True

    def _write(self, text: Text, *, wide: bool = False) -> None:
        """Text in place of all else."""
        self._drop()
        page = self.query_one("#preview-text", Static)
        page.display = True
        page.set_class(wide, "as-wide-as-it-is")
        page.update(text)

    def _put(self, widget: Widget) -> None:
        """Something drawn in place of all else."""
        self._drop()
        self.query_one("#preview-text").display = False
        self.mount(widget)

    def _drop(self) -> None:
        self.drawn = False
        self.scroll_home(animate=False)
        for widget in list(self.children):
            if widget.id != "preview-text":
                widget.remove()


def text_of(preview: ContentPreview) -> Text:
    """What is text of a preview, neutralised."""
    if preview.kind in (TABLE, FOLDER):
        return _table(preview)
    text = Text(no_wrap=False)
    for line in preview.lines:
        shown = safe_line(line)
        if preview.kind == JSON:
            text.append_text(_json_line(shown))
        else:
            text.append(shown, "plain")
        text.append("\n")
    if not preview.lines:
        text.append(preview.about, "dim")
    return text


def _json_line(line: str) -> Text:
    text = Text()
    name, colon, value = line.partition('": ')
    if colon and name.lstrip().startswith('"'):
        text.append(f'{name}"', "link")
        text.append(": ", "dim")
        line = value
    style = "plain"
    if line.strip().startswith('"'):
        style = "good"
    elif line.strip()[:1].isdigit() or line.strip()[:1] == "-":
        style = "held"
    text.append(line, style)
    return text


def _table(preview: ContentPreview) -> Text:
    head = [plain(name) for name in preview.head]
    rows = [[plain(cell) for cell in row] for row in preview.rows]
    widths = [
        min(COLUMN, max([cell_len(name), *(cell_len(row[at]) for row in rows if at < len(row))]))
        for at, name in enumerate(head)
    ]
    right = [_is_number(row[at] for row in rows if at < len(row)) for at in range(len(head))]
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, width, turned in zip(head, widths, right, strict=True):
        text.append(fitted(name, width, right=turned) + "  ", "head")
    text.append("\n")
    for row in rows:
        for at, (cell, width, turned) in enumerate(zip(row, widths, right, strict=False)):
            style = "link" if preview.kind == FOLDER and at == 0 else "plain"
            text.append(fitted(cell, width, right=turned) + "  ", style)
        text.append("\n")
    return text


def curves_of(preview: ContentPreview) -> Plot | None:
    """The columns of a table that hold numbers, some of them; None where there are none."""
    if preview.kind != TABLE or len(preview.rows) < 2:
        return None
    columns = {
        name: [row[at] if at < len(row) else None for row in preview.rows] for at, name in enumerate(preview.head)
    }
    try:
        found = plot_of(columns)
    except InputError:  # too many labels, say
        return None
    return found._replace(series=found.series[:CURVES]) if found is not None and found.series else None


def _is_number(cells: Iterable[str]) -> bool:
    """Whether a column holds numbers, and nothing else where it holds something."""
    values = [cell for cell in cells if cell]
    try:
        return bool(values) and all(isfinite(float(cell)) for cell in values)
    except ValueError:
        return False
