"""What the first bytes of a picture tell."""

from __future__ import annotations

import io

import pytest

from gitml.core.text.image_header import Picture, picture_of

PIL = pytest.importorskip("PIL.Image", reason="install Pillow")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WebP", "BMP"])
def test_size_and_format_are_what_a_decoder_finds(format: str) -> None:
    made = io.BytesIO()
    PIL.new("RGB", (321, 123), "red").save(made, format=format)
    assert picture_of(made.getvalue()) == Picture(format, 321, 123)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" width="640" height="420">', (640, 420)),
        ("<?xml version='1.0'?>\n<!-- c --><svg viewBox='0 0 30 40.5'>", (30, 40)),
        ('\n <svg width="12.7px" height="9px">', (12, 9)),
        ("<svg>", (0, 0)),
    ],
)
def test_a_drawing_tells_its_size_where_it_says_one(text: str, size: tuple[int, int]) -> None:
    assert picture_of(text.encode()) == Picture("SVG", *size)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"<html><svg></svg>",
        b"<?xml version='1.0'?><x/>",
        b"\x89PNG\r\n\x1a\n",
        b"GIF8",
        b"BM",
        b"RIFF    WAVE",
    ],
)
def test_what_is_no_picture_is_none(data: bytes) -> None:
    assert picture_of(data) is None


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0" * 9, b"\xff\xd8" + b"\xff" * 100, b"RIFF....WEBPVP8X"]
)
def test_a_picture_that_is_cut_or_damaged_has_no_size(data: bytes) -> None:
    found = picture_of(data)
    assert found is not None
    assert (found.width, found.height) == (0, 0)
