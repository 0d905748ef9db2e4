"""Pictures in a terminal: as pixels where it draws them, else as coloured half cells.

textual-image finds out by itself what a terminal can draw, by a request to it at import time; by then the application reads from
the terminal, and would take the answer for keys. So textual-image is imported without a terminal, and what the terminal can draw
is judged by the environment.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from gitml.core.text.image_header import Picture
from gitml.history.files.preview import ContentPreview
from gitml.tui.services import services
from gitml.tui.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image
    from textual.widget import Widget


PIXELS = 40_000_000  # a picture with more is not decoded
SHOWN = (1600, 1200)  # pixels that are kept of one
_PATIENCE = 5.0  # seconds for a drawing
_SIXEL = ("wezterm", "foot", "mlterm", "contour", "iterm", "konsole", "mintty")


def decoded(found: ContentPreview) -> tuple[Image | None, str]:
    """The picture of a Preview that is one, or None and why. It takes its time: not for a screen's thread."""
    if found.picture is None or not found.content:
        return None, "it is too large to be shown here"
    image = drawable(found.content, found.picture)
    if image is not None:
        return image, ""
    if found.picture.is_drawing and shutil.which("rsvg-convert") is None:
        return None, "to see drawings here, install rsvg-convert (librsvg2-bin)"
    return None, "it can't be decoded"


def drawable(content: bytes, picture: Picture) -> Image | None:
    """The picture, decoded and made small enough; None when that can't be done. It takes its time: not for a screen's thread."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    data = _drawn(content) if picture.is_drawing else content
    if data is None:
        return None
    try:
        image = Pillow.open(io.BytesIO(data), formats=("PNG", "JPEG", "GIF", "WEBP", "BMP"))
        if image.width * image.height > PIXELS:
            return None
        image.draft("RGB", SHOWN)
        image.thumbnail(SHOWN)
        if image.mode in ("RGBA", "LA", "P", "PA"):
            ground = Pillow.new("RGBA", image.size, "white")
            ground.alpha_composite(image.convert("RGBA"))
            image = ground  # type: ignore[assignment]
        return image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Pillow.DecompressionBombError, struct.error):
        return None


def picture_widget(image: Image, environ: Mapping[str, str]) -> Widget:
    """A widget that shows the picture by the best means that the terminal has, as large as its container has room for."""
    stdout = sys.__stdout__
    if "textual_image.widget" not in sys.modules:
        _export_cell_size()
        sys.__stdout__ = io.StringIO()  # type: ignore[misc,assignment] # see the module's docstring
    try:
        from textual_image.widget import HalfcellImage, SixelImage, TGPImage
    finally:
        sys.__stdout__ = stdout  # type: ignore[misc]
    means = means_of(environ)
    widget: Widget = (TGPImage if means == "kitty" else SixelImage if means == "sixel" else HalfcellImage)(image)
    widget.styles.width = widget.styles.height = "auto"
    widget.styles.max_width = widget.styles.max_height = "100%"
    return widget


def means_of(environ: Mapping[str, str]) -> str:
    """``kitty``, ``sixel`` or ``cells``: what a terminal with this environment draws pictures with."""
    if environ.get("TMUX") or environ.get("STY") or environ.get("TEXTUAL_DRIVER"):
        return "cells"
    if environ.get("TERM") == "xterm-kitty" or environ.get("KITTY_WINDOW_ID"):
        return "kitty"
    names = f"{environ.get('TERM', '')} {environ.get('TERM_PROGRAM', '')}".lower()
    if any(name in names for name in _SIXEL) or environ.get("KONSOLE_VERSION"):
        return "sixel"
    return "cells"


def _drawn(content: bytes) -> bytes | None:
    """A drawing as PNG."""
    command = "rsvg-convert --format png --width 1200 --keep-aspect-ratio --background-color white".split()
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _export_cell_size() -> None:
    """Sets for textual-image how large a cell is, where the system knows; it looks for that in these variables."""
    try:
        answer = fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCGWINSZ, b"\0" * 8)  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return
    rows, columns, width, height = struct.unpack("HHHH", answer)
    if rows and columns and width >= columns and height >= rows:
        os.environ.setdefault("TEXTUAL_CELL_WIDTH", str(width // columns))
        os.environ.setdefault("TEXTUAL_CELL_HEIGHT", str(height // rows))


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
        self.query_one("#pictures-title", Static).update(Text.assemble((title, "bold")))
        row = self.query_one("#pictures", Horizontal)
        await row.remove_children()
        for one in found:
            label = "  ".join(plain(part) for part in (one.label, one.note) if part)
            drawn = [picture_widget(one.image, services(self).queries.environ)] if one.image is not None else []
            note = Static(Text.assemble((label, "dim")), classes="picture-note")
            row.mount(Vertical(note, *drawn, classes="picture"))
