"""`gitml ui`: the only command that starts the screens of `gitml.tui`."""

from __future__ import annotations

import os
import re
import sys

import click

from gitml.cli.errors import DONE
from gitml.cli.session import Session, verb
from gitml.errors import InputError

_SIZE = re.compile(r"(\d{2,4})x(\d{1,4})\Z")


@verb("ui")
@click.argument("words", metavar="[SCREEN] [WHAT]...", nargs=-1)
@click.option("--theme", type=click.Choice(["dark", "light"]), help="Colours; they are remembered.")
@click.option("--web", is_flag=True, help="Show it in a browser on this machine, behind a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="With --web; default: a free one.")
@click.option("--screenshot", metavar="FILE", help="Write a picture of SCREEN as SVG and end.")
@click.option("--size", default="120x36", metavar="WxH", help="Columns and rows of the picture; default 120x36.")
@click.option("--press", metavar="KEY", multiple=True, help="Press a key before the picture is taken; may be repeated.")
def command(
    session: Session,
    words: tuple[str, ...],
    theme: str | None,
    web: bool,
    port: int,
    screenshot: str | None,
    size: str,
    press: tuple[str, ...],
) -> int:
    """Browse runs in the terminal: their progress, lineage, artifacts and differences; start, cancel and repeat runs.

    SCREEN is where to begin: runs [FILTER], run [RUN [STEP]], compare [A..B], time [REV [PIPELINE]], lineage [up|down]
    [THING], artifacts [FILTER], modules [NAME[@VERSION]]. Without it, the screen that was open last. `?` there lists the keys.
    """
    if screenshot is not None:
        measured = _SIZE.match(size)
        if measured is None:
            raise InputError(f"not a size: {size[:20]!r}", where="--size", hint="write columns x rows, as 120x36")
        from gitml.tui.routes import first_of
        from gitml.tui.start import picture

        shown = first_of(lambda: session.ws, words or ("runs",))
        session.close()
        extent = (int(measured[1]), int(measured[2]))
        svg = picture(os.getcwd(), os.environ, shown, extent, f"gitml-{theme or 'dark'}", press)
        with open(screenshot, "w", encoding="utf-8") as out:
            out.write(svg)
        session.note(f"wrote {screenshot}")
        return DONE
    if press:
        raise InputError("keys are pressed for a picture only", where="--press", hint="--screenshot FILE")
    if web:
        _web(session, words, theme, port)
        return DONE
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if not all(stream.isatty() for stream in streams) and "TEXTUAL_DRIVER" not in os.environ:
        raise InputError(
            "this is no terminal", where="ui", hint="--web shows it in a browser, --screenshot as a picture"
        )
    from gitml.tui.routes import first_of
    from gitml.tui.start import show

    first = first_of(lambda: session.ws, words) if words else None
    session.close()
    return show(os.getcwd(), os.environ, first, theme and f"gitml-{theme}")


def _web(session: Session, words: tuple[str, ...], theme: str | None, port: int) -> None:
    from gitml.tui.routes import first_of
    from gitml.tui.web import WebServer

    if words:
        first_of(lambda: session.ws, words)  # an error is printed here, not in the browser
    session.close()
    server = WebServer([*(["--theme", theme] if theme else []), "--", *words], port)
    session.show(server.address)
    sys.stdout.flush()
    session.note("open this address in a browser; Ctrl-C ends it")
    server.serve()
