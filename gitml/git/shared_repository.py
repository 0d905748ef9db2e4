"""Whom Git's settings let into a repository, found without starting git where nothing says so."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitml import layout
from gitml.git.command import Location, git
from gitml.permissions import ALONE, SharedMode, parse_shared_mode

_SETTING = "core.sharedRepository"
_LARGEST = 1 << 20


def sharing_at(location: Location, environ: Mapping[str, str]) -> SharedMode:
    """What ``core.sharedRepository`` says here, in whichever of Git's files or variables."""
    word = _SETTING.partition(".")[2].lower().encode()
    own = _read(os.path.join(location.common_dir, "config"))
    said = word in own or b"include" in own or any(word in _read(path) for path in _settings_of_user(environ))
    said = said or any(
        "sharedrepository" in value.lower() for name, value in environ.items() if name.startswith("GIT_CONFIG_")
    )
    if not said:
        return ALONE
    return parse_shared_mode(os.fsdecode(git(location, "config", "--get", _SETTING, check=False)))


def _settings_of_user(environ: Mapping[str, str]) -> list[str]:
    home = environ.get("HOME", "")
    files = [environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig")]
    if "GIT_CONFIG_GLOBAL" in environ:
        return [*files, environ["GIT_CONFIG_GLOBAL"]]
    return [
        *files,
        os.path.join(environ.get(layout.XDG_CONFIG_HOME) or os.path.join(home, ".config"), "git/config"),
        os.path.join(home, ".gitconfig"),
    ]


def _read(path: str) -> bytes:
    """A file of settings in small letters, as Git takes their names; nothing when there is none that can be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST).lower()
    except OSError:
        return b""
