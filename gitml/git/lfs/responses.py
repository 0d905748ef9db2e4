"""What the answers of a Git LFS server may have us do: addresses and headers, held to what those of a server can be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

_LONGEST = 16 << 10  # characters of an address, and of all headers of one
_OURS = frozenset(("Host", "Content-Length", "Transfer-Encoding", "Connection", "Te", "Trailer", "Upgrade", "Expect"))
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]{0,16000}\Z")


def headers_in(raw: object) -> dict[str, str]:
    """The headers that an answer has us send, by their usual names; ValueError for what can be none.

    What says where a request goes or how long it is stays ours.
    """
    if raw is None:
        return {}
    if not isinstance(raw, Mapping) or len(raw) > 100:
        raise ValueError("headers that are none")
    found: dict[str, str] = {}
    for name, value in raw.items():
        if not _TOKEN.match(str(name)) or not isinstance(value, (str, int)) or not _VALUE.match(str(value)):
            raise ValueError("a header that is none")
        usual = "-".join(part.capitalize() for part in str(name).split("-"))
        if usual not in _OURS and not usual.startswith("Proxy-"):
            found[usual] = str(value)
    if sum(map(len, found.values())) > _LONGEST:
        raise ValueError("headers that are too long")
    return found


def address_in(raw: object, base: str) -> str:
    """The address that an answer gives, relative to `base`; ValueError for what can be none."""
    if not isinstance(raw, str) or len(raw) > _LONGEST or any(ord(char) <= 32 or ord(char) == 127 for char in raw):
        raise ValueError("an address that is none")
    found = urljoin(base, raw)
    origin_of(found)
    return found


def origin_of(url: str) -> tuple[str, str]:
    """(scheme, host and port) of a URL; the port that goes without saying is left out. ValueError for what is none."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, host if parts.port in (None, usual) else f"{host}:{parts.port}"
