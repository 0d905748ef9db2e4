"""Pictures beside one another, each with what it is below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from gitml.tui.text import plain
from gitml.tui.widgets.plots.pictures import fitting_widget

if TYPE_CHECKING:
    from PIL.Image import Image

    from gitml.tui.app import GitmlApp


class LabelledPicture(NamedTuple):
    """A picture under a label; `note` says what it is, or why it can't be shown."""

    label: str
    image: Image | None
    note: str


class PictureRow(Vertical):
    """A title and the pictures."""

    DEFAULT_CSS = """
    PictureRow, PictureRow #pictures, PictureRow .picture {
        width: 1fr;
        height: 1fr;
    }

    PictureRow #pictures-title, PictureRow .picture-note {
        height: 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }

    PictureRow .picture {
        padding: 0 1 0 0;
    }
    """

    def compose(self) -> ComposeResult:
        """The title, and room for the pictures."""
        yield Static(id="pictures-title")
        yield Horizontal(id="pictures")

    def show(self, title: str, found: Sequence[LabelledPicture]) -> None:
        """These, in place of those before; `title` is plain text."""
        self.call_after_refresh(self._show, title, found)

    async def _show(self, title: str, found: Sequence[LabelledPicture]) -> None:
        app = cast("GitmlApp", self.app)
        self.query_one("#pictures-title", Static).update(Text(title, style=app.text_styles["bold"]))
        row = self.query_one("#pictures", Horizontal)
        await row.remove_children()
        for one in found:
            label = "  ".join(plain(part) for part in (one.label, one.note) if part)
            drawn = [fitting_widget(one.image, app.queries.environ)] if one.image is not None else []
            note = Static(Text(label, style=app.text_styles["dim"]), classes="picture-note")
            row.mount(Vertical(note, *drawn, classes="picture"))
