"""Putting gitml's hooks where Git finds them, before nobody else's: what is there runs first, and comes back when they go.

Only a folder in the repository's own Git folder is written to. A hook that is there is moved, as it is, to a folder beside it
of the same depth and under its own name, because scripts look at both.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from gitml.errors import Guard, InputError
from gitml.git.command import Location
from gitml.git.hooks.script import BEFORE, HOOKS, HookInterpreter, forwarder, is_ours, script_for
from gitml.git.hooks.settings import HookFolder, find_hook_folder, redirect, redirected_folder, undo_redirect

SERVER = ("post-receive",)
CLIENT = tuple(name for name in HOOKS if name not in SERVER)
# What Git knows and what does nothing by merely being there; of others only those that are there are handed on to.
_HARMLESS = (
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-merge-commit", "prepare-commit-msg", "commit-msg"),
    *("post-commit", "pre-rebase", "pre-auto-gc", "post-rewrite", "pre-receive", "update", "post-update"),
)
# What other tools add to the name of a hook that they find: the pre-commit framework, which calls it, and lefthook.
_PUT_ASIDE = (".legacy", ".old")


class Hook(NamedTuple):
    """One hook and how it stands.

    `state` is ``installed``; ``outdated``: written for another gitml; ``called``: another tool's script runs gitml's part;
    ``aside``: another tool put it away, so that it does not run; ``absent``. `before` is what runs before gitml's part.
    """

    name: str
    state: str
    path: str
    before: str | None = None


def line_for(name: str) -> str:
    """What a script of another tool can have in it to run gitml's part, and to do without where gitml is missing."""
    return f'if command -v gitml >/dev/null; then gitml hooks run {name} -- "$@"; fi'


def hooks_of(location: Location, started_by: HookInterpreter) -> list[Hook]:
    """How each hook that this kind of repository can have stands."""
    place = find_hook_folder(location)
    names = SERVER if location.bare else CLIENT
    return [_state(location, place, name, started_by) for name in names]


def install(
    location: Location, names: Sequence[str], started_by: HookInterpreter, *, redirected: bool = False
) -> list[tuple[Hook, str]]:
    """Installs hooks; gives each with what was done: installed, renewed, kept or called.

    InputError where Git takes hooks from a folder that is not the repository's own, unless `redirected`.
    """
    _check(location, names)
    place = find_hook_folder(location)
    if place.setting in ("", os.devnull):
        off = f"hooks are switched off: core.hooksPath of the {place.scope} settings is {place.setting!r}"
        raise InputError(off, where=location.folder, hint=f"git config {place.flag()} --unset-all core.hooksPath")
    if not place.is_own(location) and not redirected:
        raise _not_ours(place, names[0])
    with Guard(place.folder, "can't write hooks"):
        if not place.is_own(location):
            place = _redirect(location, place)
        os.makedirs(place.folder, exist_ok=True)
        done = [_install(location, place, name, started_by) for name in names]
        _link_siblings(place.folder)
    return done


def uninstall(location: Location, names: Sequence[str]) -> list[Hook]:
    """Takes hooks away and puts back what was there before, byte for byte; gives those that were there."""
    place = find_hook_folder(location)
    led = place.is_redirected(location)
    gone = []
    with Guard(place.folder, "can't take hooks away"):
        for name in names:
            path, aside = os.path.join(place.folder, name), _aside(place.folder, name)
            for suffix in _PUT_ASIDE:
                if _is_ours(path + suffix):
                    os.unlink(path + suffix)
                    gone.append(Hook(name, "aside", path + suffix))
            content = _content(path)
            if not is_ours(content) or not _has_part(content):
                continue
            before = _literal_before(content)
            if before is not None:
                _write(path, forwarder(name, before))
            elif _is_set_aside(aside):
                os.replace(aside, path)
            else:
                os.unlink(path)
            gone.append(Hook(name, "installed", path, before or (path if os.path.lexists(path) else None)))
        _unlink_siblings(place.folder)
        if led and not any(_has_part(_content(os.path.join(place.folder, name))) for name in HOOKS):
            undo_redirect(location, place)
            _clear(place.folder)
    return gone


def _check(location: Location, names: Sequence[str]) -> None:
    for name in names:
        if name not in HOOKS:
            from gitml.core.language.diagnostics import nearest

            raise InputError(f"gitml has no part in a hook {name[:60]!r}{nearest(name, HOOKS)}")
        if location.bare != (name in SERVER):
            kind = "a bare repository" if name in SERVER else "a repository with a work tree"
            raise InputError(f"{name} is a hook of {kind}", where=location.folder)


def _not_ours(place: HookFolder, name: str) -> InputError:
    whose = f"core.hooksPath of the {place.scope} settings leads to a folder that isn't this repository's alone"
    if place.setting is None:
        whose = "the folder of hooks is a link that leads out of the Git folder"
    hint = f"add this line to its {name}, and the like to others: {line_for(name)}"
    return InputError(whose, where=place.folder, hint=f"{hint} (or: gitml hooks install --redirect)")


def _redirect(location: Location, place: HookFolder) -> HookFolder:
    """A folder of the repository's own whose scripts run those of `place` where they are."""
    former = place.folder if place.setting is None else place.setting
    try:
        there = os.listdir(place.folder)
    except OSError:
        there = []
    hooks = [name for name in there if "." not in name and _runs(os.path.join(place.folder, name))]
    names = dict.fromkeys([*_HARMLESS, *(SERVER if location.bare else CLIENT), *hooks])
    folder = redirected_folder(location)
    os.makedirs(folder, exist_ok=True)
    for name in names:
        _write(os.path.join(folder, name), forwarder(name, os.path.join(former, name)))
    return redirect(location, place)


def _install(location: Location, place: HookFolder, name: str, started_by: HookInterpreter) -> tuple[Hook, str]:
    path, aside = os.path.join(place.folder, name), _aside(place.folder, name)
    now = _state(location, place, name, started_by)
    if now.state == "installed":
        return now, "kept"
    content = _content(path)
    ours = is_ours(content)
    script = script_for(name, started_by, _literal_before(content) if ours else None)
    if now.state == "called":
        if _is_ours(path + ".legacy"):
            _write(path + ".legacy", script)
        return now, "called"
    if os.path.lexists(path) and not ours:
        if _is_set_aside(aside):
            hint = f"look at it and at {aside}, which used to run before gitml's, and remove one of them"
            raise InputError("another tool put its hook in the place of gitml's", where=path, hint=hint)
        os.makedirs(os.path.dirname(aside), exist_ok=True)
        os.replace(path, aside)
    _write(path, script)
    for suffix in _PUT_ASIDE:
        if _is_ours(path + suffix):
            os.unlink(path + suffix)
    return _state(location, place, name, started_by), "renewed" if ours and _has_part(content) else "installed"


def _state(location: Location, place: HookFolder, name: str, started_by: HookInterpreter) -> Hook:
    path, aside = os.path.join(place.folder, name), _aside(place.folder, name)
    content = _content(path)
    if is_ours(content):
        before = _literal_before(content)
        current = content == script_for(name, started_by, before).encode()
        state = "absent" if not _has_part(content) else "installed" if current else "outdated"
        first = aside if before is None else os.path.join(location.folder, before)
        return Hook(name, state, path, first if _is_set_aside(first) and _runs(first) else None)
    called_by_hand = f"gitml hooks run {name}".encode() in content
    if called_by_hand or (_is_ours(path + ".legacy") and b"generated by pre-commit" in content):
        return Hook(name, "called", path)
    for suffix in _PUT_ASIDE:
        if _is_ours(path + suffix):
            return Hook(name, "aside", path + suffix)
    return Hook(name, "absent", path, path if _runs(path) else None)


def _aside(folder: str, name: str) -> str:
    return os.path.join(folder + BEFORE, name)


def _has_part(content: bytes) -> bool:
    """Whether a script of ours does more than hand on."""
    return is_ours(content) and b"gitml hooks run" in content.partition(b"\nbefore=")[2]


def _literal_before(content: bytes) -> str | None:
    """The file that a script of ours runs first, None when that is the one put aside."""
    line = content.partition(b"\nbefore=")[2].partition(b"\n")[0]
    words = shlex.split(os.fsdecode(line))
    return words[0] if words and not words[0].startswith("${0") else None


def _link_siblings(folder: str) -> None:
    """Shows scripts that were put aside what lay beside them, such as a file they read."""
    aside = folder + BEFORE
    if not os.path.isdir(aside):
        return
    for name in os.listdir(folder):
        link = os.path.join(aside, name)
        if not name.endswith(".sample") and not _is_ours(os.path.join(folder, name)) and not os.path.lexists(link):
            os.symlink(_sibling(folder, name), link)


def _unlink_siblings(folder: str) -> None:
    """Removes the links, and the folder, once nothing is aside any more."""
    aside = folder + BEFORE
    if not os.path.isdir(aside) or any(_is_set_aside(os.path.join(aside, name)) for name in os.listdir(aside)):
        return
    for name in os.listdir(aside):
        os.unlink(os.path.join(aside, name))
    os.rmdir(aside)


def _sibling(folder: str, name: str) -> str:
    return os.path.join("..", os.path.basename(folder), name)


def _is_set_aside(path: str) -> bool:
    """Whether a file is there that isn't merely a link to one that stayed where it was."""
    if not os.path.islink(path):
        return os.path.lexists(path)
    folder, name = os.path.split(path)
    return os.readlink(path) != _sibling(folder.removesuffix(BEFORE), name)


def _clear(folder: str) -> None:
    """Removes our scripts, and the folder if nothing else is in it."""
    for name in os.listdir(folder):
        if _is_ours(os.path.join(folder, name)):
            os.unlink(os.path.join(folder, name))
    if not os.listdir(folder):
        os.rmdir(folder)


def _runs(path: str) -> bool:
    """Whether Git would run it."""
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _is_ours(path: str) -> bool:
    return is_ours(_content(path))


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def _write(path: str, script: str) -> None:
    """Puts a script in place, whole or not at all."""
    new = f"{path}.new-{os.getpid()}"
    with open(new, "wb") as file:
        file.write(os.fsencode(script))
    os.chmod(new, 0o755)  # noqa: S103 - as Git's own samples are; a repository may be shared
    os.replace(new, path)
