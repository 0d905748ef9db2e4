"""The part of `gitml.lock` that is about images: for each that a pipeline names by a tag, the digest that the tag meant.

Another part of the file is about modules (`modules.lockfile`); who reads one part passes the other over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from gitml.errors import InputError

LOCK_PATH = "gitml.lock"
LARGEST = 4 << 20  # bytes of the file
FORMAT = 1
IMAGES = "images"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def image_pins(data: bytes) -> dict[str, str]:
    """The digests by the names of images, as `image_names.ImageName` writes them. InputError for what is no lock file."""
    if len(data) > LARGEST:
        raise InputError(f"larger than {LARGEST >> 20} MiB", where=LOCK_PATH, hint="write it again: gitml lock")
    try:
        raw = json.loads(data)
        check_format(raw)
        return _pins_of(raw)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"not a lock file: {error}", where=LOCK_PATH, hint="write it again: gitml lock") from error


def check_format(raw: Mapping[str, Any]) -> None:
    """InputError for a file that a newer gitml wrote, ValueError, KeyError or TypeError for what is none."""
    if type(raw["format"]) is int and raw["format"] > FORMAT:
        what = f"a lock file of format {raw['format']}, written by a newer gitml; this one reads format {FORMAT}"
        raise InputError(what, where=LOCK_PATH, hint="use the newer gitml")
    if raw["format"] != FORMAT:
        raise ValueError(f"of format {raw['format']!r}, this gitml writes {FORMAT}")


def _pins_of(raw: Mapping[str, Any]) -> dict[str, str]:
    found = raw.get(IMAGES, {})
    for name, digest in found.items():
        if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
            raise ValueError(f"the image {name[:80]!r} has a digest that is none")
    return dict(found)
