"""Seals: what stands for the value of a secret parameter in a Graph, an Action and a record.

A seal is a digest of the value, keyed with a salt that only this clone has. Equal values have equal seals here, so that results
are reused, and nobody else can check a guess against a seal. Where a step is performed, the value takes the place of
its seal.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

_SEALED = "secret:hmac-sha256:"
_NOT_GIVEN = "secret:not-given:"
SHORTEST = 6
"""Characters of a value: what is shorter could not be masked without masking half of what a step writes."""


@functools.cache
def _pattern() -> re.Pattern[str]:
    return re.compile(rf"{_SEALED}([0-9a-f]{{64}})|{_NOT_GIVEN}[A-Za-z_][A-Za-z0-9_-]*")


def seal(salt: bytes, name: str, value: str) -> str:
    """The seal of the value of the parameter `name`."""
    import hmac  # with OpenSSL, which few pipelines need

    reuse_note = f"{name}\0{value}".encode("utf-8", "surrogateescape")
    return _SEALED + hmac.new(salt, reuse_note, "sha256").hexdigest()


def not_given(name: str) -> str:
    """What stands for the value of the parameter `name` where none is given: a step with it can't run."""
    return _NOT_GIVEN + name


def is_seal(value: object) -> bool:
    """Whether a parameter's value is a seal."""
    return isinstance(value, str) and value.startswith("secret:") and _pattern().fullmatch(value) is not None


def opened(text: str, values: Mapping[str, str]) -> str:
    """`text` with values in the place of their seals."""
    if "secret:" not in text:
        return text
    return _pattern().sub(lambda match: values.get(match[0], match[0]), text)


def seals_shown(text: str) -> str:
    """`text` for people: of each seal enough to distinguish two."""
    if "secret:" not in text:
        return text
    return _pattern().sub(lambda match: f"(secret, {match[1][:8]})" if match[1] else "(secret, not given)", text)


def reuse_note(names: Iterable[str]) -> str:
    """What the use of secret parameters means for the reuse of a result; empty when there are none."""
    listed = list(dict.fromkeys(names))
    if not listed:
        return ""
    return f"secret parameter{'s' * (len(listed) > 1)} {', '.join(listed)}: reused in this clone only"


def problem_with_secret(name: str, value: str) -> str | None:
    """Why `value` can't be the secret parameter's, as words that don't show it; None when it can."""
    if len(value) < SHORTEST:
        return f"secret parameter {name!r} must have {SHORTEST} characters or more: less can't be masked in logs"
    if "\0" in value:
        return f"secret parameter {name!r} holds a NUL character"
    return None
