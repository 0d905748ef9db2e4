"""Credentials that are known by how they look: tokens of well-known services, passwords in URLs, headers, private keys.

Each shape is narrow enough that ordinary output does not have it: what is masked wrongly is lost to the readers of the log.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

_WORD_LONGEST, _LINE_LONGEST, _KEY_LONGEST = 4096, 4096, 16384
_FREQUENT = b"eatoinsrlhdcumfpgbywkvjqxz_-/:"  # of heads, the last choice first; what is not here is rare in logs
Spans = Callable[[bytes, int, int], Iterable[tuple[int, int]]]


class Shape(NamedTuple):
    """How a kind of credential looks: it begins with `head`, written in lower case where that is found in `either_case`.

    `goes_on` matches, from there, all that may belong to it. `found` gives what is secret of it, in the bytes from its begin
    to a limit; no more than `longest` are looked at.
    """

    head: bytes
    goes_on: re.Pattern[bytes]
    found: Spans
    longest: int
    either_case: bool = False

    @property
    def at(self) -> int:
        """Where in the head the byte is that logs have least often."""
        return max(range(len(self.head)), key=lambda index: _FREQUENT.find(self.head[index : index + 1]) % 256)

    @property
    def first(self) -> bytes:
        """That byte, in each case that it may have."""
        byte = self.head[self.at : self.at + 1]
        return byte + byte.upper() if self.either_case and byte.isalpha() else byte

    def begins(self, data: bytes, start: int) -> bool:
        """Whether the head stands at `start`."""
        found = data[start : start + len(self.head)]
        return (found.lower() if self.either_case else found) == self.head

    def may_go_on(self, data: bytes, start: int) -> bool:
        """Whether what begins at `start` reaches the end of `data`, so that more of it may come."""
        match = self.goes_on.match(data, start)
        return match is None or match.end() == len(data)

    def anchors(self) -> Iterable[bytes]:
        """Patterns of one byte in the head. They begin with a literal: only so does a search pass quickly over other bytes."""
        for byte in self.first:
            here = re.escape(bytes([byte]))
            before, after = self._pattern(self.head[: self.at]), self._pattern(self.head[self.at + 1 :])
            yield here + (b"(?<=" + before + here + b")" if before else b"") + (b"(?=" + after + b")" if after else b"")

    def _pattern(self, text: bytes) -> bytes:
        if not self.either_case:
            return re.escape(text)
        return b"".join(
            [b"[%c%c]" % (byte, byte - 32) if 97 <= byte <= 122 else re.escape(bytes([byte])) for byte in text]
        )


_WORD = re.compile(rb"[A-Za-z0-9_.-]*")
_REST_OF_LINE = re.compile(rb"[^\r\n]*")


def _first_group(pattern: bytes) -> Spans:
    """What the first group of `pattern` matches, or all of it where it has none."""
    compile_once = functools.cache(lambda: re.compile(pattern))  # most are never needed

    def found(data: bytes, start: int, most: int) -> Iterable[tuple[int, int]]:
        compiled = compile_once()
        match = compiled.match(data, start, most)
        return [] if match is None else [match.span(compiled.groups)]

    return found


def _token(head: bytes, body: bytes) -> Shape:
    """A word that begins with `head` and goes on as `body` says."""
    return Shape(
        head,
        _WORD,
        _first_group(rb"(?<![A-Za-z0-9_])" + re.escape(head) + body + rb"(?![A-Za-z0-9])"),
        _WORD_LONGEST,
    )


def _assigned(head: bytes, value: bytes, *, either_case: bool = False) -> Shape:
    """What follows a name, a colon or a sign of equality, and maybe quotes."""
    name = (rb"(?i:" if either_case else rb"(?:") + re.escape(head) + rb")"
    found = _first_group(name + rb"\\?[\"']?[ \t]*[:=][ \t]*\\?[\"']?" + value)
    return Shape(head, _REST_OF_LINE, found, _LINE_LONGEST, either_case)


_USERINFO = re.compile(rb"://[^\s/\"'<>\\`]*")


def _in_url(data: bytes, start: int, most: int) -> Iterable[tuple[int, int]]:
    """The password of a URL; what stands alone before the @ where it looks like a token."""
    match = _USERINFO.match(data, start, most)
    begin = start + 3
    at = data.rfind(b"@", begin, match.end() if match else begin)
    if at < 0:
        return []
    colon = data.find(b":", begin, at)
    if colon >= 0:
        return [(colon + 1, at)] if at > colon + 1 else []
    alone = data[begin:at]
    return [(begin, at)] if len(alone) >= 20 and alone.isalnum() and not alone.isalpha() else []


_GAP = rb"(?:\s|\\[rn])"
_PEM_HEAD = rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PEM = (
    _PEM_HEAD
    + _GAP
    + rb"*(?:[A-Za-z-]+: [^\s\\]+"
    + _GAP
    + rb"+)*((?:[A-Za-z0-9+/=]{24,}"
    + _GAP
    + rb"+)*[A-Za-z0-9+/=]{24,}(?:"
    + _GAP
    + rb"+[A-Za-z0-9+/=]{1,80}(?="
    + _GAP
    + rb"+-----END))?)"
)
# up to the line that ends it, or to what no key has
_PEM_GOES_ON = re.compile(rb"-----BEGIN(?:(?!-----END)[A-Za-z0-9+/=\\:,. \t\r\n-])*")

_B64URL = rb"[A-Za-z0-9_-]"
_AWS_SECRET = rb"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
_AWS_SESSION = rb"([A-Za-z0-9/+=]{100,})"
_AWS_PAIR = rb"(?<![A-Za-z0-9])A[KS]IA[A-Z0-9]{16}[ \t\"':,=;|]{1,8}" + _AWS_SECRET

SHAPES: tuple[Shape, ...] = (
    *(_token(b"gh" + kind + b"_", rb"[A-Za-z0-9]{36,255}") for kind in (b"p", b"o", b"u", b"s", b"r")),
    _token(b"github_pat_", rb"[A-Za-z0-9_]{50,255}"),
    _token(b"hf_", rb"[A-Za-z0-9]{30,100}"),
    _token(b"npm_", rb"[A-Za-z0-9]{36}"),
    _token(b"dckr_pat_", _B64URL + rb"{24,64}"),
    _token(b"glpat-", rb"[A-Za-z0-9_.-]{20,64}"),
    *(_token(b"xox" + kind + b"-", rb"[0-9][A-Za-z0-9-]{18,250}") for kind in (b"a", b"b", b"p", b"r", b"s")),
    _token(b"sk-", rb"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{32,100}"),
    *(
        _token(b"sk-" + kind + b"-", rb"(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,250}")
        for kind in (b"proj", b"ant", b"svcacct", b"admin", b"or")
    ),
    _token(b"pypi-AgE", _B64URL + rb"{50,400}"),
    _token(b"AIza", _B64URL + rb"{35}"),
    _token(b"eyJ", _B64URL + rb"{10,800}\.eyJ" + _B64URL + rb"{10,1500}\." + _B64URL + rb"{10,800}"),
    Shape(b"://", _USERINFO, _in_url, _WORD_LONGEST),
    _assigned(b"authorization", rb"(?i:bearer|basic|token)[ \t]+([A-Za-z0-9._~+/=-]{8,})", either_case=True),
    _assigned(b"secret_access_key", _AWS_SECRET, either_case=True),
    _assigned(b"session_token", _AWS_SESSION, either_case=True),
    _assigned(b"ecretAccessKey", _AWS_SECRET),
    _assigned(b"essionToken", _AWS_SESSION),
    _assigned(b"AccountKey", rb"([A-Za-z0-9/+]{64,}={0,2})"),
    _assigned(b"X-Amz-Signature", rb"([A-Za-z0-9]{32,})"),
    _assigned(b"X-Amz-Security-Token", rb"([A-Za-z0-9/+=%]{32,})"),
    *(
        Shape(head, re.compile(rb"[A-Z0-9]*[ \t\"':,=;|]*[A-Za-z0-9/+]*"), _first_group(_AWS_PAIR), _WORD_LONGEST)
        for head in (b"AKIA", b"ASIA")
    ),
    Shape(b"-----BEGIN", _PEM_GOES_ON, _first_group(_PEM), _KEY_LONGEST),
)
LONGEST_HEAD = max(len(shape.head) for shape in SHAPES)
PATTERN = re.compile(b"|".join(dict.fromkeys([anchor for shape in SHAPES for anchor in shape.anchors()])))
"""Matches one byte of each head, and little else."""
