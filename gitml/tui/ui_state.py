"""The state of the screens, kept per repository in ``.git/gitml/ui.json`` for the next start."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from gitml.errors import GitmlError
from gitml.git.repository import discover
from gitml.layout import UI_STATE, own_folder

FORMAT = 1


def load(path: str) -> dict[str, Any]:
    """What was remembered; nothing when there is none, or it can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        return {}
    return state


def save(path: str, values: Mapping[str, Any]) -> None:
    """Remembers values; OSError when they can't be written."""
    new = f"{path}.{os.getpid()}.new"
    with open(new, "w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, **values}, file)
    os.replace(new, path)


def state_path(start: str, environ: Mapping[str, str]) -> str | None:
    """Where the repository's `ui.json` lies; None outside of one."""
    try:
        return own_folder(discover(start, environ).common_dir, UI_STATE)
    except GitmlError:
        return None
