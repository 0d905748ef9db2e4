"""A preview as it is seen: text, a table, a folder, a picture, or its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import ScrollableContainer
from textual.widget import Widget
from textual.widgets import Static

from gitml.core.text.format import safe_line
from gitml.core.text.plot_data import Plot, plot_of
from gitml.history.files.preview import BYTES, FOLDER, JSON, PICTURE, TABLE, ContentPreview
from gitml.tui.text import fitted, plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from gitml.tui.app import GitmlApp

COLUMN = 28  # a column of a table is at most so wide
CURVES = 6


class PreviewPane(ScrollableContainer, can_focus=True):
    """Shows one preview at a time."""

    def compose(self) -> ComposeResult:
        """What text is written into; pictures and curves come and go beside it."""
        yield Static(id="preview-text")

    def show(self, preview: ContentPreview, image: Image | None = None, note: str = "") -> None:
        """This preview; `image` is its picture where it could be decoded, `note` says why not where it couldn't."""
        self.border_title = plain(preview.about)
        self.border_subtitle = "there is more" if preview.cut else ""
        styles = cast("GitmlApp", self.app).text_styles
        if preview.kind == PICTURE and image is not None:
            from gitml.tui.widgets.plots.pictures import fitting_widget

            self._put(fitting_widget(image, cast("GitmlApp", self.app).queries.environ))
        elif preview.kind == PICTURE:
            self._write(Text(note or "it can't be shown here", style=styles["dim"]))
        else:
            self._write(text_of(preview, styles), wide=preview.kind in (TABLE, FOLDER, BYTES))

    def show_text(self, title: str, text: str, style: str = "dim") -> None:
        """Something in place of a preview."""
        self.border_title, self.border_subtitle = title, ""
        self._write(Text(text, style=cast("GitmlApp", self.app).text_styles[style]))

    def plot(self, preview: ContentPreview) -> bool:
        """Draws the numbers of a table; False when it has none."""
        found = curves_of(preview)
        if found is None:
            return False
        from gitml.tui.widgets.plots.chart import Chart, LabelledPlot

        chart = Chart()
        self._put(chart)
        chart.draw("", [LabelledPlot("", found)])
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
        self.scroll_home(animate=False)
        for widget in list(self.children):
            if widget.id != "preview-text":
                widget.remove()


def text_of(preview: ContentPreview, styles: Mapping[str, Style]) -> Text:
    """What is text of a preview, neutralised."""
    if preview.kind in (TABLE, FOLDER):
        return _table(preview, styles)
    text = Text(no_wrap=False)
    for line in preview.lines:
        shown = safe_line(line)
        if preview.kind == JSON:
            text.append_text(_json_line(shown, styles))
        else:
            text.append(shown, style=styles["plain"])
        text.append("\n")
    if not preview.lines:
        text.append(preview.about, style=styles["dim"])
    return text


def _json_line(line: str, styles: Mapping[str, Style]) -> Text:
    text = Text()
    name, colon, value = line.partition('": ')
    if colon and name.lstrip().startswith('"'):
        text.append(f'{name}"', style=styles["link"])
        text.append(": ", style=styles["dim"])
        line = value
    style = "plain"
    if line.strip().startswith('"'):
        style = "good"
    elif line.strip()[:1].isdigit() or line.strip()[:1] == "-":
        style = "held"
    text.append(line, style=styles[style])
    return text


def _table(preview: ContentPreview, styles: Mapping[str, Style]) -> Text:
    head = [plain(name) for name in preview.head]
    rows = [[plain(cell) for cell in row] for row in preview.rows]
    widths = [
        min(COLUMN, max([cell_len(name), *(cell_len(row[at]) for row in rows if at < len(row))]))
        for at, name in enumerate(head)
    ]
    right = [_is_number(row[at] for row in rows if at < len(row)) for at in range(len(head))]
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, width, turned in zip(head, widths, right, strict=True):
        text.append(fitted(name, width, right=turned) + "  ", style=styles["head"])
    text.append("\n")
    for row in rows:
        for at, (cell, width, turned) in enumerate(zip(row, widths, right, strict=False)):
            style = "link" if preview.kind == FOLDER and at == 0 else "plain"
            text.append(fitted(cell, width, right=turned) + "  ", style=styles[style])
        text.append("\n")
    return text


def curves_of(preview: ContentPreview) -> Plot | None:
    """The columns of a table that hold numbers, some of them; None where there are none."""
    if preview.kind != TABLE or len(preview.rows) < 2:
        return None
    columns = {
        name: [row[at] if at < len(row) else None for row in preview.rows] for at, name in enumerate(preview.head)
    }
    found = plot_of(columns)
    return found._replace(series=found.series[:CURVES]) if found is not None else None


def _is_number(cells: Iterable[str]) -> bool:
    """Whether a column holds numbers, and nothing else where it holds something."""
    values = [cell for cell in cells if cell]
    return bool(values) and all(_number(cell) is not None for cell in values)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None
