"""Digest: the sha256 of content, written ``sha256:<64 hex digits>``; the name of every Blob and Tree."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NewType

Digest = NewType("Digest", str)

PREFIX = "sha256:"
_HEX = frozenset("0123456789abcdef")


def digest_of(content: bytes | memoryview) -> Digest:
    """The Digest of `content`."""
    return Digest(PREFIX + hashlib.sha256(content).hexdigest())


def from_hex(hex_digits: str) -> Digest:
    """The Digest with these 64 lower-case hex digits; ValueError when they are not."""
    if len(hex_digits) != 64 or not _HEX.issuperset(hex_digits):
        raise ValueError(f"not a sha256 in hex: {hex_digits[:80]!r}")
    return Digest(PREFIX + hex_digits)


@lru_cache(1 << 14)  # a history names the same contents again and again
def parse_digest(text: str) -> Digest:
    """`text` as a Digest; ValueError when it is not one, TypeError for a list or a dict."""
    if not isinstance(text, str) or not text.startswith(PREFIX):
        raise ValueError(f"not a digest (sha256:<hex>): {str(text)[:80]!r}")
    return from_hex(text[len(PREFIX) :])


def hex_of(digest: Digest) -> str:
    """The 64 hex digits of a Digest."""
    return digest[len(PREFIX) :]
