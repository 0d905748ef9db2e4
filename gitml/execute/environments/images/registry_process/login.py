"""How a registry says what it wants to know before it lets us in: the header ``WWW-Authenticate``, and answers with tokens.

RFC 7235, and the token authentication of the distribution specification.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_LONGEST = 8192  # characters of the header
_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9-]*)(?=\s|,|$)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")


class LoginChallenge(NamedTuple):
    """What a registry asks for: `scheme` is ``basic`` or ``bearer``; tokens for the latter come from `realm`."""

    scheme: str
    realm: str = ""
    service: str = ""


def challenges_in(header: str) -> list[LoginChallenge]:
    """The challenges that a header holds, of the schemes that are known here."""
    if len(header) > _LONGEST:
        return []
    found: list[LoginChallenge] = []
    at = 0
    while (scheme := _SCHEME.match(header, at)) is not None:
        at = scheme.end()
        values: dict[str, str] = {}
        while (parameter := _PARAMETER.match(header, at)) is not None:
            quoted, plain = parameter[2], parameter[3]
            values[parameter[1].lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            at = parameter.end()
        name = scheme[1].lower()
        if name == "basic" or (name == "bearer" and values.get("realm")):
            found.append(LoginChallenge(name, values.get("realm", ""), values.get("service", "")))
    return found


def token_in(answer: Any) -> str | None:
    """The token in the JSON that a realm answers; None where there is none that a header can hold."""
    for key in ("token", "access_token"):
        found = answer.get(key) if isinstance(answer, dict) else None
        if isinstance(found, str) and _TOKEN.fullmatch(found):
            return found
    return None
