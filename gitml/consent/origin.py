"""Whether a repository is its owner's alone: it has no remote, and was not cloned."""

from __future__ import annotations

import os
from contextlib import suppress

from gitml.git.command import Location, git_status

_LARGEST = 1 << 20


def is_owners(location: Location) -> bool:
    """Whether nothing tells that the repository came from elsewhere: no remote in Git's settings, no clone in its reflog.

    Nor was anything ever fetched or pulled into it, from whatever URL.
    """
    return not (_was_cloned(location.common_dir) or _has_fetched(location) or _has_remotes(location))


def where_from(location: Location) -> str | None:
    """The URL of the remote that a repository is likeliest to come from, without secrets; None when there is none."""
    from gitml.git.log.remote_refs import without_secrets

    out, _, code = git_status(location, "config", "-z", "--get-regexp", r"^remote\..*\.url$")
    urls = {}
    for item in os.fsdecode(out).split("\0") if code == 0 else ():
        name, _, url = item.partition("\n")
        urls[name.removeprefix("remote.").removesuffix(".url")] = url
    known = urls.get("origin") or next(iter(urls.values()), None)
    return None if known is None else without_secrets(known)


def _was_cloned(common_dir: str) -> bool:
    first = _beginning(os.path.join(common_dir, "logs", "HEAD")).partition(b"\n")[0]
    return b"\tclone: from " in first or os.path.exists(os.path.join(common_dir, "shallow"))


def _has_fetched(location: Location) -> bool:
    """Git notes the last fetch, one by URL too, in a file of each work tree."""
    folders = {location.common_dir, location.git_dir}
    with suppress(OSError):
        folders |= {entry.path for entry in os.scandir(os.path.join(location.common_dir, "worktrees"))}
    return any(_beginning(os.path.join(folder, "FETCH_HEAD")) for folder in folders)


def _has_remotes(location: Location) -> bool:
    """A process is started only where Git's settings are not in one plain file, or name a remote without a doubt."""
    if any(_is_filled(os.path.join(location.common_dir, name)) for name in ("remotes", "branches")):
        return True
    settings = _beginning(os.path.join(location.common_dir, "config")).lower()
    if b"include" in settings or os.path.exists(os.path.join(location.git_dir, "config.worktree")):
        out, _, code = git_status(location, "config", "--local", "--includes", "--get-regexp", r"^(svn-)?remote\.")
        return code not in (0, 1) or bool(out)
    return b"[remote" in settings or b"[svn-remote" in settings


def _is_filled(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def _beginning(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""
