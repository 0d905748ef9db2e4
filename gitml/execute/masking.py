"""Values that a step is passed from the machine don't appear in what is kept of it: logs, live lines, errors.

A variable that `env` names without a value is taken for secret, unless its value is short, a plain word or a path that is there.
What is searched for is the value as it is, its lines, and its base64, URL-quoted and JSON forms.
"""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping

from gitml.core.action import Action

MASK = b"***"
SHORTEST = 6  # characters of a value that is masked
LONGEST = 4096  # of a form that is searched for: of a longer value its lines are
_PLAIN = re.compile(r"[A-Za-z]{1,8}|[0-9.]{1,8}")  # a word, a number, a version


def secrets_of(action: Action, env: Mapping[str, str]) -> list[str]:
    """The values in a step's environment that its Action passes on from the machine and that are taken for secret."""
    return [env[name] for name, value in action.env if value is None and is_secret(env.get(name, ""))]


def is_secret(value: str) -> bool:
    """Whether a value that is passed on may be one that nobody is to read."""
    if len(value) < SHORTEST or _PLAIN.fullmatch(value):
        return False
    return not all(os.path.isabs(part) and os.path.exists(part) for part in value.split(":"))


class Mask:
    """Replaces secrets in a stream of bytes that comes in any pieces."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        self._forms = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile(b"|".join([re.escape(form) for form in self._forms])) if forms else None
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on: what may be the beginning of a secret is held back until more comes."""
        if self._pattern is None:
            return chunk
        data = self._held + chunk
        begun = self._beginning_at(data)
        out = []
        done = 0
        for match in self._pattern.finditer(data):
            if match.start() >= begun:
                break
            out += [data[done : match.start()], MASK]
            done = match.end()
        held_from = max(done, begun)
        self._held = data[held_from:]
        return b"".join([*out, data[done:held_from]])

    def end(self) -> bytes:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, b""
        if self._pattern is None or not held:
            return held
        masked = self._pattern.sub(MASK, held)
        return MASK if masked == held and len(held) >= SHORTEST else masked

    def text(self, text: str) -> str:
        """`text` as a whole, masked."""
        if self._pattern is None:
            return text
        masked = self._pattern.sub(MASK, text.encode("utf-8", "surrogateescape"))
        return masked.decode("utf-8", "surrogateescape")

    def _beginning_at(self, data: bytes) -> int:
        """Where the longest end of `data` begins with which a form begins that is longer; the end of `data` when none does."""
        best = len(data)
        for form in self._forms:
            at = max(0, len(data) - len(form) + 1)
            while 0 <= (at := data.find(form[:1], at)) < best:
                if form.startswith(data[at:]):
                    best = at
                    break
                at += 1
        return best


def _forms(secret: str) -> Iterable[bytes]:
    """The bytes by which a program may print a value."""
    for value in dict.fromkeys([secret, secret.strip(), *secret.split("\n")]):
        if not SHORTEST <= len(value) <= LONGEST or value.startswith("-----"):
            continue
        plain = value.encode("utf-8", "surrogateescape")
        yield plain
        yield json.dumps(value)[1:-1].encode()
        yield urllib.parse.quote(plain, safe="").encode()
        yield urllib.parse.quote_plus(plain).encode()
        for before in range(3):  # where in a longer text it begins: `user:token` encoded as one
            encoded = base64.b64encode(bytes(before) + plain)
            core = encoded[(0, 2, 3)[before] : (before + len(plain)) * 8 // 6]
            if len(core) >= 8:
                yield core
                yield core.replace(b"+", b"-").replace(b"/", b"_")
