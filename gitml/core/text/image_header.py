"""The format and size of a picture, read from its first bytes. Nothing is decoded."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = re.compile(rb"<svg\b[^>]*>", re.IGNORECASE | re.DOTALL)
_LENGTH = re.compile(rb"\b(width|height)\s*=\s*[\"']\s*([0-9]{1,7})(?:\.[0-9]*)?(?:px)?\s*[\"']", re.IGNORECASE)
_BOX = re.compile(
    rb"\bviewBox\s*=\s*[\"']\s*[-0-9.e]+[\s,]+[-0-9.e]+[\s,]+([0-9]{1,7})[0-9.]*[\s,]+([0-9]{1,7})", re.IGNORECASE
)
# The markers of JPEG that begin a frame, whatever its coding; the others in their range mean something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Picture(NamedTuple):
    """`format` is PNG, JPEG, GIF, WebP, BMP or SVG; the size in pixels, 0 where the first bytes don't have it."""

    format: str
    width: int
    height: int

    @property
    def is_drawing(self) -> bool:
        """Whether it is made of shapes, not of pixels."""
        return self.format == "SVG"


def picture_of(head: bytes) -> Picture | None:
    """The picture that begins with these bytes (some KiB suffice), None when they are no picture's."""
    if head.startswith(_PNG) and head[12:16] == b"IHDR" and len(head) >= 24:
        return Picture("PNG", *struct.unpack(">II", head[16:24]))
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return Picture("GIF", *struct.unpack("<HH", head[6:10]))
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head)
    if head.startswith(b"BM") and len(head) >= 26 and head[14:18] == b"\x28\0\0\0":
        width, height = struct.unpack("<ii", head[18:26])
        return Picture("BMP", abs(width), abs(height))
    return _svg(head)


def _jpeg(head: bytes) -> Picture:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return Picture("JPEG", width, height)
        at += 1 if marker == 0xFF else 2 + max(2, struct.unpack(">H", head[at + 2 : at + 4])[0])
    return Picture("JPEG", 0, 0)


def _webp(head: bytes) -> Picture:
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return Picture("WebP", int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)
    if kind == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return Picture("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and len(head) >= 30:
        width, height = struct.unpack("<HH", head[26:30])
        return Picture("WebP", width & 0x3FFF, height & 0x3FFF)
    return Picture("WebP", 0, 0)


def _svg(head: bytes) -> Picture | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if not start.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")):
        return None
    tag = _SVG.search(head[:65536])
    if tag is None:
        return None
    sizes = {name.lower(): int(value) for name, value in _LENGTH.findall(tag[0])}
    box = _BOX.search(tag[0])
    width, height = (int(box[1]), int(box[2])) if box else (0, 0)
    return Picture("SVG", sizes.get(b"width", width), sizes.get(b"height", height))
