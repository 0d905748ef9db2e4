"""A Mask: what is secret does not come through it, in whatever pieces a text comes.

Two things are masked: values that are known to be secret, in the forms in which programs write them (as they are, line by line,
base64, URL-quoted, JSON-escaped), and what has the shape of a credential (`shapes`). A form is found by a plain search of bytes,
which is many times faster than one pattern of all. Shapes share a pattern; each alternative of it begins with a byte that
is rare in logs and looks back from there.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gitml.core.secrets.credential_patterns import LONGEST_HEAD, PATTERN, SHAPES, Shape

MASK = b"***"
SHORTEST = 6  # characters of a value that is masked
LONGEST = 1024  # bytes of a form that is searched for: a longer value is masked in pieces
_END = 3  # bytes by which the beginnings of forms are distinguished
_PIECE = 45  # bytes of a value that are encoded as one: shorter than what fits on a line of base64


class _Finder(NamedTuple):
    """What is looked for: `forms`, each by a search for its bytes, and shapes, by one `pattern` of a byte of each.

    `begun` has what forms and the heads of shapes begin with, by its last bytes (`_END` of them, or all).
    """

    forms: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    shapes: Mapping[int, Sequence[Shape]]
    begun: Mapping[bytes, Sequence[bytes]]
    heads: Mapping[bytes, Sequence[bytes]]


class Mask:
    """Replaces what is secret in a stream of bytes that comes in any pieces, with the same outcome for all of them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secrets)
        self._finder = _finder(self._secrets)
        self._held = b""  # what may be the beginning of a secret, after what it must be seen with
        self._done = 0  # bytes of it that are passed on already
        self._covered = 0  # bytes of it that a mask stands for
        self._found: list[tuple[int, int]] = []  # what of it is secret because of what stands before

    def again(self) -> Mask:
        """A Mask of the same secrets for another stream."""
        return Mask(self._secrets)

    @property
    def waiting(self) -> int:
        """How many bytes are held back."""
        return len(self._held) - self._done

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on: what may be the beginning of a secret is held back until more comes."""
        return self._passed(self._held + chunk if self._held else chunk, final=False)

    def end(self) -> bytes:
        """What was held back, when nothing more comes. The beginning of a secret that was cut off is masked too."""
        held, self._held = self._held, b""
        return self._passed(held, final=True)

    def text(self, text: str) -> str:
        """`text` as a whole, masked."""
        data = text.encode("utf-8", "surrogateescape")
        spans = _merged(_spans(self._finder, data, final=True)[0])
        return _replaced(data, spans).decode("utf-8", "surrogateescape") if spans else text

    def shows(self, text: str) -> bool:
        """Whether `text` holds something that is masked."""
        return bool(_spans(self._finder, text.encode("utf-8", "surrogateescape"), final=True)[0])

    def _passed(self, data: bytes, *, final: bool) -> bytes:
        spans, undecided = _spans(self._finder, data, final=final)
        held = len(data) if final else min(undecided, _begun(self._finder, data))
        if final and (cut := _beginning(self._finder.begun, data)) >= SHORTEST:
            spans.append((len(data) - cut, len(data)))
        out = []
        done, covered = self._done, self._covered
        # what begins in what was passed on was looked at before, together with what stood before it
        found = _merged(self._found + [span for span in spans if span[0] >= done or span[0] < covered])
        for start, end in found:
            if start >= held:
                break
            if end <= covered:
                continue
            if start >= covered:  # else it goes on from what is masked already
                out += [data[done:start], MASK]
            done = covered = end
        if held > done:
            out.append(data[done:held])
            done = held
        keep = max(0, min(held, done) - 1)  # with the byte before, which shows whether a word begins
        self._held, self._done, self._covered = data[keep:], done - keep, max(0, covered - keep)
        self._found = [(start - keep, end - keep) for start, end in found if start >= held]
        return b"".join(out)


def _spans(finder: _Finder, data: bytes, *, final: bool) -> tuple[list[tuple[int, int]], int]:
    """What is to be masked in `data`, and where what can't be decided yet begins."""
    found: list[tuple[int, int]] = []
    undecided = size = len(data)
    for form in finder.forms:
        start = data.find(form)
        while start >= 0:
            found.append((start, start + len(form)))
            start = data.find(form, start + 1)
    for match in finder.pattern.finditer(data):
        place = match.start()
        for shape in finder.shapes[data[place]]:
            start = place - shape.at
            if start < 0 or not shape.begins(data, start):
                continue
            most = min(size, start + shape.longest)
            if not final and most == size and shape.may_go_on(data, start):
                undecided = min(undecided, start)
            else:
                found += shape.found(data, start, most)
    return found, undecided


def _begun(finder: _Finder, data: bytes) -> int:
    """Where the longest end of `data` begins with which a form or the head of a shape begins; its end when none does."""
    if data.endswith((b"\n", b"\r")):
        return len(data)  # neither has a line's end in it
    longest = _beginning(finder.begun, data)
    return len(data) - max(longest, _beginning(finder.heads, data[-LONGEST_HEAD:].lower()))


def _beginning(begun: Mapping[bytes, Sequence[bytes]], data: bytes) -> int:
    """The length of the longest text in `begun` with which `data` ends."""
    found = 0
    for length in range(1, _END + 1):
        for text in begun.get(data[-length:], ()):
            if len(text) > found and data.endswith(text) and (length == _END or length == len(text)):
                found = len(text)
    return found


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _replaced(data: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    out = []
    done = 0
    for start, end in spans:
        out += [data[done:start], MASK]
        done = end
    return b"".join([*out, data[done:]])


@functools.lru_cache(maxsize=8)
def _finder(secrets: frozenset[str]) -> _Finder:
    forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
    shapes: dict[int, list[Shape]] = {}
    for shape in SHAPES:
        for byte in shape.first:
            shapes.setdefault(byte, []).append(shape)
    return _Finder(
        tuple(sorted(forms)), PATTERN, shapes, _by_end(forms), _by_end({shape.head.lower() for shape in SHAPES})
    )


def _by_end(texts: Iterable[bytes]) -> Mapping[bytes, Sequence[bytes]]:
    """All that `texts` begin with, by the last bytes of it."""
    found: dict[bytes, list[bytes]] = {}
    for begun in {text[:length] for text in texts for length in range(1, len(text))}:
        found.setdefault(begun[-_END:], []).append(begun)
    return found


def _forms(secret: str) -> Iterable[bytes]:
    """The bytes by which a program may print a value."""
    for value in dict.fromkeys([secret, secret.strip(), *secret.splitlines()]):
        plain = value.encode("utf-8", "surrogateescape")
        if len(value) < SHORTEST or value.startswith("-----"):
            continue
        if "\n" not in value and "\r" not in value:
            yield from _pieces(plain, LONGEST)
        for escaped in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
            yield from _pieces(escaped[1:-1].encode("utf-8", "surrogateescape"), LONGEST)
        yield from _pieces(urllib.parse.quote(plain, safe="").encode(), LONGEST)
        yield from _pieces(urllib.parse.quote(plain).encode(), LONGEST)
        yield from _pieces(urllib.parse.quote_plus(plain).encode(), LONGEST)
        for piece in _pieces(plain, _PIECE):
            for before in range(3):  # where in a longer text it begins: `user:token` encoded as one
                encoded = base64.b64encode(bytes(before) + piece)
                core = encoded[(0, 2, 3)[before] : (before + len(piece)) * 8 // 6]
                if len(core) >= 8:
                    yield core
                    yield core.replace(b"+", b"-").replace(b"/", b"_")


def _pieces(text: bytes, size: int) -> list[bytes]:
    """`text` in pieces of about `size` bytes, so that the last is not a short one."""
    count = max(1, -(-len(text) // size))
    return [text[number * len(text) // count : (number + 1) * len(text) // count] for number in range(count)]
