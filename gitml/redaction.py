"""What is secret in this process: credentials in its environment, and registered values. None of it is written for people.

Who reads a credential, from a file, a prompt or another program, calls `register_secret`; who writes for people calls `redacted`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping

from gitml.core.secrets.credential_names import credentials_in
from gitml.core.secrets.mask import SHORTEST, Mask
from gitml.files import opened

_PLAIN = re.compile(r"[A-Za-z]{1,8}|[0-9.]{1,8}")  # a word, a number, a version
_LARGEST_FILE = 16384
_kept: set[str] = set()


def register_secret(*values: str) -> None:
    """Has these values masked from now on, in all that this process says."""
    _kept.update(value for value in values if is_secret(value))


def register_declared_secret(value: str) -> None:
    """The same of a value that is said to be secret, whatever it looks like."""
    if len(value) >= SHORTEST:
        _kept.add(value)


def registered_secrets() -> frozenset[str]:
    """The values that were registered."""
    return frozenset(_kept)


def secret_in_file(path: str) -> str | None:
    """The one secret that a small file of this machine holds; None where there is none."""
    try:
        with opened(path, os.O_RDONLY | os.O_NONBLOCK) as fd:
            content = os.read(fd, _LARGEST_FILE + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        return None
    value = content.decode("utf-8", "surrogateescape").strip()
    return value if len(content) <= _LARGEST_FILE and is_secret(value) else None


def is_secret(value: str) -> bool:
    """Whether a value that is passed on may be one that nobody is to read."""
    if len(value) < SHORTEST or _PLAIN.fullmatch(value):
        return False
    return not all(os.path.isabs(part) and os.path.exists(part) for part in value.split(":"))


def credentials_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Credentials among variables, without names of files: each value and the name of the variable that holds it."""
    return {value: name for value, name in credentials_in(environ).items() if is_secret(value)}


def exposed(text: str) -> str | None:
    """What of `text` would give a secret away, in words that don't; None when nothing would."""
    credentials = credentials_of(os.environ)
    for value, name in credentials.items():
        if value in text:
            return f"the value of the variable {name}"
    return "what looks like a credential" if Mask([*credentials, *_kept]).shows(text) else None


def redacted(text: str) -> str:
    """`text` without what is secret."""
    return Mask([*credentials_of(os.environ), *_kept]).text(text)
