"""TOML of others, read in a time that its size bounds."""

from __future__ import annotations

import re
from typing import Any

LARGEST = 16 << 20  # bytes
_DEEPEST = 64
# the reader of Python takes time by the square of the parts of one key
_DEEP_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]{0,200}"|'[^'\n]{0,200}')[ \t]*+\.[ \t]*+){%d}""" % _DEEPEST  # noqa: UP031
)


def parse_toml(content: bytes) -> dict[str, Any]:
    """The data in `content`; ValueError, in words, for what is no TOML, is too large, or is nested too deep."""
    import tomllib

    if len(content) > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MiB")
    text = content.decode("utf-8-sig")
    if _DEEP_KEY.search(text):
        raise ValueError(f"a key has more than {_DEEPEST} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its tables are nested too deep") from error
