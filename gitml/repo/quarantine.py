"""Damaged files of Git are moved into gitml's quarantine: Git then writes them again, and nothing is deleted."""

from __future__ import annotations

import os

from gitml.errors import machine_error
from gitml.repo.durability import sync_path
from gitml.repo.git import Location

_ASIDE = os.path.join("gitml", "quarantine")


def move_aside(location: Location, path: str, name: str) -> str | None:
    """Moves a file into the quarantine as ``git-NAME.<number>``, durably; where it is now, None when there was none."""
    folder = os.path.join(location.common_dir, _ASIDE)
    number = 1
    while os.path.lexists(target := os.path.join(folder, f"git-{name}.{number}")):
        number += 1
    try:
        os.makedirs(folder, exist_ok=True)
        os.rename(path, target)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise machine_error(error, path, "can't move it aside") from error
    sync_path(os.path.dirname(path))
    return target
