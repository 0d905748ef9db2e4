"""Environment: what a step's programs are, named by content so that it can stand in a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.digest import Digest, digest_of

FORMAT = 2  # of a description; those without a format are of version 1


class Environment(NamedTuple):
    """`description` is JSON data that says all that counts, `digest` its name, `requirements` the text to build from.

    `packages` are what that text pins, as ``name version``, where it was read.
    """

    digest: Digest
    description: Mapping[str, Any]
    requirements: bytes | None = None
    packages: tuple[str, ...] = ()

    def told(self) -> Mapping[str, Any]:
        """The description with the packages of a requirements file by name, which count by its digest alone."""
        return {**self.description, "distributions": self.packages} if self.packages else self.description


def environment_of(
    description: Mapping[str, Any], requirements: bytes | None = None, packages: tuple[str, ...] = ()
) -> Environment:
    """The Environment with this description."""
    return Environment(digest_of(encode_description(description)), description, requirements, packages)


def encode_description(description: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a description."""
    return json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
