"""Git's settings about hooks: where it looks for them, and which refs a receiving repository runs pipelines for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from gitml.git.command import Location, config_value, config_values, git, git_status

REDIRECTED = "gitml-hooks"
_SETTING = "core.hooksPath"
_FORMER = "gitml.formerHooksPath"
# The scopes of settings that belong to one repository.
_OWN = ("local", "worktree")


class HookFolder(NamedTuple):
    """`folder` is where Git looks, in full; `setting` is core.hooksPath with ``~`` filled in, None when unset, and `scope` whose
    setting that is: local, worktree, global, system or command."""

    folder: str
    setting: str | None = None
    scope: str = ""

    def is_redirected(self, location: Location) -> bool:
        """Whether gitml led Git here."""
        return self.folder == redirected_folder(location)

    def is_own(self, location: Location) -> bool:
        """Whether the folder lies in this repository's Git folder, links followed: nobody else has a say in it."""
        inside = os.path.realpath(location.common_dir)
        return os.path.realpath(self.folder).startswith(inside + os.sep)

    def flag(self) -> str:
        """The option of ``git config`` for the setting's scope."""
        return f"--{self.scope}" if self.scope in (*_OWN, "global", "system") else "--local"


def find_hook_folder(location: Location) -> HookFolder:
    """The folder that Git takes hooks from."""
    answer, _, _ = git_status(location, "config", "--show-scope", "-z", "--type=path", "--get-all", _SETTING)
    fields = os.fsdecode(answer).split("\0")[:-1]
    found = list(zip(fields[::2], fields[1::2], strict=False))[:-1]  # the last is what our own git is told
    if not found:
        return HookFolder(os.path.join(location.common_dir, "hooks"))
    scope, setting = found[-1]
    return HookFolder(os.path.normpath(os.path.join(location.folder, setting)), setting, scope)


def redirected_folder(location: Location) -> str:
    """Where the scripts lie when another folder than the one of the settings is used."""
    return os.path.join(location.common_dir, REDIRECTED)


def redirect(location: Location, place: HookFolder) -> HookFolder:
    """Leads Git to a folder of the repository's own; what the repository itself had set is remembered."""
    folder = redirected_folder(location)
    os.makedirs(folder, exist_ok=True)
    own = place.flag() if place.scope in _OWN else "--local"
    if place.scope in _OWN and place.setting is not None:
        git(location, "config", own, _FORMER, place.setting)
    git(location, "config", own, _SETTING, folder)
    return HookFolder(folder, folder, own[2:])


def undo_redirect(location: Location, place: HookFolder) -> None:
    """Undoes `redirect`."""
    former = config_value(location, place.flag(), "--get", _FORMER)
    if former:
        git(location, "config", place.flag(), _SETTING, former)
        git(location, "config", place.flag(), "--unset-all", _FORMER)
    else:
        git(location, "config", place.flag(), "--unset-all", _SETTING)


def is_mid_operation(location: Location) -> bool:
    """Whether Git walks over commits on its own account: a rebase, a bisect, a series of picks or patches."""
    signs = ("rebase-merge", "rebase-apply", "sequencer", "BISECT_LOG")
    return any(os.path.exists(os.path.join(location.git_dir, sign)) for sign in signs)


_BRANCH, _PIPELINE = "gitml.runBranch", "gitml.runPipeline"


class ReceiveSettings(NamedTuple):
    """Patterns of branches whose pushed commits run, and of pipelines that do; no branch: nothing runs."""

    branches: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ("*",)


def read_receive_settings(location: Location) -> ReceiveSettings:
    """What is allowed now."""
    return ReceiveSettings(_values(location, _BRANCH), _values(location, _PIPELINE) or ("*",))


def write_receive_settings(location: Location, allowed: ReceiveSettings) -> None:
    """Replaces what is allowed; where that is nothing, no word of it is left."""
    for name, values in ((_BRANCH, allowed.branches), (_PIPELINE, allowed.pipelines)):
        if _values(location, name):
            git(location, "config", "--local", "--unset-all", name)
        for value in values:
            git(location, "config", "--local", "--add", name, value)


def _values(location: Location, name: str) -> tuple[str, ...]:
    return tuple(config_values(location, "--local", "--get-all", name))


def problem_with_pattern(texts: Sequence[str]) -> str | None:
    """The first text that can't be a pattern of names, as Git's configuration would have to hold it."""
    return next((text for text in texts if not text.strip() or text.startswith("-") or not text.isprintable()), None)
