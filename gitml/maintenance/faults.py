"""Faults: what `fsck` finds wrong."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One thing that is wrong. `place` is git, store, records, index or a remote; `mended`: what was done, None: nothing."""

    place: str
    kind: str
    name: str
    what: str
    mended: str | None = None
