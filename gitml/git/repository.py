"""The repository that a folder lies in, whom its settings let in, and which programs of this machine its commits contain.

In the ordinary cases no process is started.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitml import layout
from gitml.errors import InputError, TrustError
from gitml.git.command import Location, config_value, git, run_plain
from gitml.permissions import ALONE, SharedMode, parse_shared_mode

_ODD_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_CEILING_DIRECTORIES")
_ODD_SETTINGS = ("objectformat", "worktree", "include", "refstorage")


def discover(start: str, environ: Mapping[str, str]) -> Location:
    """The repository that `start`, a folder, lies in. InputError when it lies in none; git is asked where anything is unusual."""
    start = os.path.abspath(start)
    if not os.path.isdir(start):
        raise InputError("no such folder", where=start)
    if any(name in environ for name in _ODD_VARIABLES):
        return _ask_git(start, environ)
    folder = start
    while True:
        dot_git = os.path.join(folder, ".git")
        if os.path.lexists(dot_git):
            return _ordinary(folder, dot_git) or _ask_git(start, environ)
        if _looks_bare(folder):
            _refuse_tracked(folder, environ)
            return _ask_git(start, environ)
        parent = os.path.dirname(folder)
        if parent == folder:
            raise InputError("not a Git repository, nor is any folder above it", where=start, hint="git init")
        folder = parent


def _looks_bare(folder: str) -> bool:
    """Whether Git may take a folder itself for a repository."""
    shared = os.path.lexists(os.path.join(folder, "commondir"))
    return os.path.lexists(os.path.join(folder, "HEAD")) and (shared or os.path.isdir(os.path.join(folder, "objects")))


def _refuse_tracked(folder: str, environ: Mapping[str, str]) -> None:
    """TrustError for a bare repository that is in a commit of the repository around it: its settings name programs to run."""
    outer = os.path.dirname(folder)
    while not os.path.lexists(os.path.join(outer, ".git")):
        if outer == os.path.dirname(outer):
            return
        outer = os.path.dirname(outer)
    head = os.path.relpath(os.path.join(folder, "HEAD"), outer)
    if head.startswith(".git/"):
        return
    if run_plain(outer, environ, "--literal-pathspecs", "ls-files", "-z", "--", head):
        raise TrustError(
            f"a bare repository that {outer} tracks, so that its settings are those of a commit's author",
            where=folder,
            hint=f"go to {outer}; or name it with GIT_DIR={folder}",
        )


def _ordinary(worktree: str, dot_git: str) -> Location | None:
    """The Location when nothing about it is unusual."""
    try:
        if os.path.isdir(dot_git):
            git_dir = common_dir = dot_git
        else:
            line = _read(dot_git)
            if not line.startswith("gitdir: "):
                return None
            git_dir = os.path.normpath(os.path.join(worktree, line[len("gitdir: ") :].rstrip("\n")))
            common_file = os.path.join(git_dir, "commondir")
            common_dir = git_dir
            if os.path.exists(common_file):
                common_dir = os.path.normpath(os.path.join(git_dir, _read(common_file).rstrip("\n")))
        if not os.path.lexists(os.path.join(git_dir, "HEAD")) or not os.path.isdir(os.path.join(common_dir, "objects")):
            return None
        settings = _read(os.path.join(common_dir, "config")).lower()
    except (OSError, UnicodeDecodeError):
        return None
    if any(word in settings for word in _ODD_SETTINGS) or "bare = false" not in settings:
        return None
    return Location(git_dir, common_dir, worktree, "sha1", False)


def _ask_git(start: str, environ: Mapping[str, str]) -> Location:
    wanted = ("--is-bare-repository", "--is-inside-work-tree", "--absolute-git-dir", "--git-common-dir")
    answer = run_plain(start, environ, "rev-parse", "--show-object-format", *wanted)
    object_format, bare, inside, git_dir, common_dir = os.fsdecode(answer).rstrip("\n").split("\n")
    common_dir = os.path.normpath(os.path.join(start, common_dir))
    explicit = "GIT_DIR" in environ or "GIT_WORK_TREE" in environ
    worktree = None
    if inside == "true":
        worktree = os.fsdecode(run_plain(start, environ, "rev-parse", "--show-toplevel")).rstrip("\n")
    elif bare != "true":
        raise InputError(
            "not inside the work tree of this repository", where=start, hint="go there, or name it with -C"
        )
    return Location(git_dir, common_dir, worktree, object_format, worktree is None, explicit)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read(1 << 20)


_SETTING = "core.sharedRepository"
_LARGEST = 1 << 20


def sharing_at(location: Location, environ: Mapping[str, str]) -> SharedMode:
    """What ``core.sharedRepository`` says here, in whichever of Git's files or variables."""
    word = _SETTING.partition(".")[2].lower().encode()
    own = _read_settings(os.path.join(location.common_dir, "config"))
    said = word in own or b"include" in own or any(word in _read_settings(path) for path in _settings_of_user(environ))
    said = said or any(
        "sharedrepository" in value.lower() for name, value in environ.items() if name.startswith("GIT_CONFIG_")
    )
    if not said:
        return ALONE
    return parse_shared_mode(config_value(location, "--get", _SETTING))


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


def _read_settings(path: str) -> bytes:
    """A file of settings in small letters, as Git takes their names; nothing when there is none that can be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST).lower()
    except OSError:
        return b""


def is_tracked_program(location: Location, program: str) -> bool:
    """Whether a program lies in a work tree of the repository, and Git tracks something of the installation that it is part of.

    That is the folder above its ``bin``: what a virtual environment has beside it, a ``.pth`` file say, is run as well.
    """
    folder = os.path.dirname(os.path.abspath(program))
    for place in {folder, os.path.realpath(folder)}:
        for top in location.worktrees():
            for root in {os.path.normpath(top), os.path.realpath(top)}:
                if not f"{place}/".startswith(f"{root}/"):
                    continue
                inner = os.path.relpath(os.path.dirname(place), root)
                if inner in (".", ".."):
                    return True
                if git(location, "-C", root, "--literal-pathspecs", "ls-files", "-z", "--", inner):
                    return True
    return False
