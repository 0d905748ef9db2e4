"""Plots on one page of HTML that needs nothing else: no script, no style, no picture from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from gitml.core.text.format import safe

_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "GIF": "image/gif",
    "WebP": "image/webp",
    "BMP": "image/bmp",
    "SVG": "image/svg+xml",
}
_STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; background: #fff; color: #222; font: 15px/1.5 sans-serif; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
figure { margin: 0; display: inline-block; vertical-align: top; max-width: 100%; }
figure svg, figure img { max-width: 100%; height: auto; }
figcaption, p { color: #555; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; }
"""


class PagePicture(NamedTuple):
    """A picture on the page: its format as `image_header.Picture` names it, its bytes, and the words below it."""

    format: str
    content: bytes
    caption: str


class PagePlot(NamedTuple):
    """A plot on the page: a chart as `figures.svg_of` makes it, pictures, and notes; the name is its heading."""

    name: str
    chart: bytes | None
    pictures: Sequence[PagePicture]
    notes: Sequence[str]


def page_of(title: str, about: Sequence[str], plots: Sequence[PagePlot]) -> bytes:
    """The page. All texts are escaped; drawings of steps are shown as images, in which no script runs."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        *(f"<p>{_text(line)}</p>" for line in about),
    ]
    for plot in plots:
        parts.append(f"<section><h2>{_text(plot.name)}</h2>")
        if plot.chart is not None:
            parts.append(f"<figure>{_inline(plot.chart)}</figure>")
        several = len(plot.pictures) > 1
        parts += ['<div class="grid">'] * several
        for picture in plot.pictures:
            data = base64.b64encode(picture.content).decode()
            shown = _text(picture.caption)
            image = f'<img alt="{shown}" src="data:{_TYPES[picture.format]};base64,{data}">'
            parts.append(f"<figure>{image}<figcaption>{shown}</figcaption></figure>")
        parts += ["</div>"] * several
        parts += [f"<p>{_text(note)}</p>" for note in plot.notes]
        parts.append("</section>")
    parts.append("</body></html>\n")
    return "\n".join(parts).encode("utf-8", "replace")


def _inline(svg: bytes) -> str:
    """A drawing of ours without the head that only a file of its own has."""
    text = svg.decode()
    return text[text.index("<svg") :].rstrip()


def _text(text: str) -> str:
    return escape(safe(text), quote=True)
