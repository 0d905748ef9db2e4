"""Pictures in a terminal: by what means, and without asking the terminal anything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from gitml.core.text.image_header import Picture
from gitml.tui.widgets.pictures import drawable, means_of


@pytest.mark.parametrize(
    ("environ", "means"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "sixel"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color"}, "cells"),
        ({"TERM": "linux"}, "cells"),
        ({"TERM": "screen", "TMUX": "/tmp/x", "KITTY_WINDOW_ID": "1"}, "cells"),
        ({}, "cells"),
    ],
)
def test_the_environment_tells_what_a_terminal_draws_with(environ: Mapping[str, str], means: str) -> None:
    assert means_of(environ) == means


def test_making_a_widget_asks_the_terminal_nothing() -> None:
    code = (
        "import os, pty, sys\n"
        "master, slave = pty.openpty()\n"
        "sys.__stdout__ = os.fdopen(slave, 'w')\n"
        "from PIL import Image\n"
        "from gitml.tui.widgets.pictures import picture_widget\n"
        "made = picture_widget(Image.new('RGB', (4, 4)), {'TERM': 'xterm'})\n"
        "os.set_blocking(master, False)\n"
        "try:\n    said = os.read(master, 100)\nexcept BlockingIOError:\n    said = b''\n"
        "print(type(made).__name__, said, sys.__stdout__.isatty())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, check=True)
    assert done.stdout == "HalfcellImage b'' True\n"


def test_a_picture_of_too_many_pixels_or_of_no_sense_is_not_decoded() -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )
    assert drawable(bomb, Picture("PNG", 100_000, 100_000)) is None
    assert drawable(b"\x89PNG\r\n\x1a\n" + b"?" * 50, Picture("PNG", 1, 1)) is None
    assert drawable(b"<svg", Picture("SVG", 1, 1)) is None
