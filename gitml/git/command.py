"""Running git: a clean environment, no surprises from hooks or prompts, and its complaints as GitmlErrors."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from gitml import layout
from gitml.errors import (
    FREE_SPACE,
    BusyError,
    GitmlError,
    InputError,
    IntegrityError,
    MachineError,
    RemoteError,
    TrustError,
)
from gitml.permissions import permission_hint

# What a caller's git (a hook, an alias, `git rebase --exec`) leaves in the environment and would point ours elsewhere.
_DROPPED = frozenset(
    """GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_OBJECT_DIRECTORY GIT_DIR GIT_WORK_TREE GIT_IMPLICIT_WORK_TREE
    GIT_GRAFT_FILE GIT_INDEX_FILE GIT_NO_REPLACE_OBJECTS GIT_REPLACE_REFBASE GIT_PREFIX GIT_SHALLOW_FILE
    GIT_COMMON_DIR GIT_NAMESPACE GIT_QUARANTINE_PATH GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS
    GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS GIT_EXTERNAL_DIFF GIT_DIFF_OPTS GIT_FLUSH GIT_ATTR_SOURCE
    GIT_REFLOG_ACTION GIT_INTERNAL_SUPER_PREFIX GIT_CONFIG GIT_DEFAULT_HASH""".split()
)
# Replaced objects would make an id stand for other bytes than its own, and ids stand in keys.
_FIXED = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "cat",
}
# What a git that reads and writes this repository alone needs of its caller; of its own variables it gets all that are no secret.
_LOCAL = frozenset(("HOME", "PATH", layout.XDG_CONFIG_HOME, "TMPDIR", "LANG", "USER", "LOGNAME"))
_MAY_BE_SECRET = re.compile(r"TOKEN|PASS|SECRET|AUTH_|PROXY|SSH|HTTP|CREDENTIAL")
_OF_REMOTES = re.compile(r"(?:http|credential|url|remote|lfs|sendemail|imap)\.", re.IGNORECASE)
# No hooks, no housekeeping on the side.
BASE = ("git", "--no-pager", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false")
# Every object and ref that these write is on the disk when git returns.
DURABLE = ("-c", "core.fsync=all", "-c", "core.fsyncMethod=fsync")


class Location(NamedTuple):
    """Where a repository is. `git_dir` is this worktree's own, `common_dir` what all worktrees share.

    `worktree` is None when the repository is bare. `object_format` is ``sha1`` or ``sha256``. `explicit` when the
    user's GIT_DIR named it, so that git must get it too. `beside` are folders of objects of other repositories that a git of ours
    may read too. `scratch` is a folder for what git is to write where the repository
    can't be written, and is only looked at.
    """

    git_dir: str
    common_dir: str
    worktree: str | None
    object_format: str
    bare: bool
    explicit: bool = False
    scratch: str = ""
    beside: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Where git runs."""
        return self.worktree or self.git_dir

    @property
    def is_shallow(self) -> bool:
        """Whether history was left out when it was cloned."""
        return os.path.exists(os.path.join(self.common_dir, "shallow"))

    def worktrees(self) -> list[str]:
        """All work trees of the repository, this one first."""
        found = [self.worktree] if self.worktree else []
        if os.path.basename(self.common_dir) == ".git":
            found.append(os.path.dirname(self.common_dir))
        linked = os.path.join(self.common_dir, "worktrees")
        for name in os.listdir(linked) if os.path.isdir(linked) else ():
            try:
                with open(os.path.join(linked, name, "gitdir"), encoding="utf-8", errors="surrogateescape") as file:
                    found.append(os.path.dirname(file.read().rstrip("\n")))
            except OSError:  # one that is being added or removed
                continue
        return list(dict.fromkeys(found))


def git(
    location: Location, *args: str, input: bytes | None = None, env: Mapping[str, str] | None = None, check: bool = True
) -> bytes:
    """What ``git ARGS`` writes to its stdout. A GitmlError when it fails, unless not `check`: then its stdout so far.

    Options given before the command (``-c …``) are allowed. Values must stand behind ``--end-of-options``, or be checked ids.
    """
    out, stderr, code = git_status(location, *args, input=input, env=env)
    if code and check:
        raise translate(location.folder, args, code, stderr)
    return out


def git_status(
    location: Location, *args: str, input: bytes | None = None, env: Mapping[str, str] | None = None
) -> tuple[bytes, bytes, int]:
    """(stdout, stderr, exit status) of ``git ARGS``."""
    process = popen(location, *args, env=env, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE)
    with process:
        try:
            out, stderr = process.communicate(input)
        except BaseException:
            process.kill()
            raise
    return out, stderr, process.returncode


def config_value(location: Location, *args: str) -> str:
    """What ``git config ARGS`` prints of one setting; empty when it is not set."""
    return os.fsdecode(git(location, "config", *args, check=False)).strip()


def config_values(location: Location, *args: str) -> list[str]:
    """The values of one setting that ``git config -z ARGS`` prints."""
    return os.fsdecode(git(location, "config", "-z", *args, check=False)).split("\0")[:-1]


def config_items(location: Location, *args: str, input: bytes | None = None) -> list[tuple[str, str]]:
    """(name, value) of each setting that ``git config -z ARGS`` prints, in order."""
    printed = os.fsdecode(git(location, "config", "-z", *args, input=input, check=False))
    return [(name, value) for name, _, value in (item.partition("\n") for item in printed.split("\0")) if name]


def popen(
    location: Location,
    *args: str,
    env: Mapping[str, str] | None = None,
    stdin: int | None = subprocess.PIPE,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    terminal: bool | None = None,
    base: Sequence[str] = BASE,
    local: bool = False,
) -> subprocess.Popen[bytes]:
    """Starts git in its own process group, so that a Ctrl-C meant for gitml doesn't end it in the middle.

    `base` is how git is called. For a git that may have something to ask: with `terminal` it stays where it can ask the
    person at the terminal, and without it has none at all, so that neither git nor ssh can wait for an answer that nobody gives.
    One that is `local` runs neither programs of the user nor speaks to a remote, and gets no variable that may be secret: it may
    last while steps run, which can read what a program was started with.
    """
    full = local_environment(os.environ) if local and not is_partial(location) else clean_environment(os.environ)
    if location.explicit:
        full["GIT_DIR"] = location.git_dir
        full["GIT_COMMON_DIR"] = location.common_dir
        if location.worktree:
            full["GIT_WORK_TREE"] = location.worktree
    if location.scratch:
        full["GIT_OBJECT_DIRECTORY"] = os.path.join(location.scratch, "objects")
    others = [os.path.join(location.common_dir, "objects")] if location.scratch else []
    others += location.beside
    if others:
        full["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = os.pathsep.join(map(_quoted, others))
    if env:
        full.update(env)
    try:
        return subprocess.Popen(
            [*base, *args],
            cwd=location.folder,
            env=full,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            process_group=0 if terminal is None else None,
            start_new_session=terminal is False,
        )
    except FileNotFoundError as error:
        raise _cannot_start(location.folder) from error
    except OSError as error:
        raise MachineError(f"git can't be started: {error.strerror}", where=location.folder) from error


def _quoted(path: str) -> str:
    """A path for a list of paths between colons."""
    if ":" not in path and not path.startswith('"'):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_partial(location: Location) -> bool:
    """Whether a remote promised objects that are not here."""
    try:
        return any(name.endswith(".promisor") for name in os.listdir(f"{location.common_dir}/objects/pack"))
    except OSError:
        return False


def run_plain(folder: str, environ: Mapping[str, str], *args: str) -> bytes:
    """What git says when run in `folder` as the user would, their GIT_DIR included; for finding the repository only."""
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=folder,
            env={**environ, **_FIXED},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise _cannot_start(folder) from error
    if done.returncode:
        raise translate(folder, args, done.returncode, done.stderr)
    return done.stdout


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a git of ours: identity and configuration stay, what would point it elsewhere goes."""
    return {**without_repository(environ), **_FIXED}


def local_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a git of ours that needs configuration and nothing to show to a remote."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _LOCAL or (name.startswith(("GIT_", "LD_")) and _MAY_BE_SECRET.search(name) is None)
    }
    if "GIT_CONFIG_PARAMETERS" in kept:
        kept["GIT_CONFIG_PARAMETERS"] = _without_remotes(kept["GIT_CONFIG_PARAMETERS"])
    for name, key in environ.items():
        if name.startswith("GIT_CONFIG_KEY_") and _OF_REMOTES.match(key) is not None:
            kept[f"GIT_CONFIG_VALUE_{name.removeprefix('GIT_CONFIG_KEY_')}"] = ""
    return clean_environment(kept)


def _without_remotes(parameters: str) -> str:
    """What a ``git -c`` that called us passes on, without what concerns remotes, such as a header with a token."""
    import shlex

    try:
        given = shlex.split(parameters)
    except ValueError:  # nothing that git would take
        return ""
    quoted = ["'" + item.replace("'", "'\\''") + "'" for item in given if _OF_REMOTES.match(item) is None]
    return " ".join(quoted)


def without_repository(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what a calling git says of its repository, index and quarantine."""
    return {name: value for name, value in environ.items() if name not in _DROPPED}


def ended_by_nul(stream: IO[bytes]) -> Iterator[bytes]:
    """The fields that a git with ``-z`` writes, as they come."""
    rest = b""
    while chunk := stream.read(1 << 20):
        *fields, rest = (rest + chunk).split(b"\0")
        yield from fields


def stderr_file() -> IO[bytes]:
    """A file without a name for the stderr of a process that lasts, which a pipe would block when nobody reads it."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("git-stderr"), "w+b", buffering=0)
    import tempfile

    return tempfile.TemporaryFile(buffering=0)


_FULL = r"No space left|Disk quota"
_DENIED = r"Permission denied|Read-only file system|Operation not permitted|insufficient permission"
# Ordered: the first that matches what git said decides.
_MEANINGS: tuple[tuple[str, type[GitmlError], str | None], ...] = (
    (
        r"dubious ownership|safe\.directory",
        TrustError,
        "if you trust it: git config --global --add safe.directory {folder}",
    ),
    (r"safe\.bareRepository|cannot use bare repository", TrustError, "name it with GIT_DIR={folder}"),
    (r"not a git repository", InputError, "git init"),
    (_FULL, MachineError, FREE_SPACE),
    (r"could not fetch|promisor|Could not resolve host|read from remote|unable to access", RemoteError, "git fetch"),
    (_DENIED, MachineError, None),
    (
        r"Unable to create '.*\.lock'|cannot lock ref|File exists",
        BusyError,
        "another git holds it, or one left its lock behind: see gitml doctor",
    ),
    (
        r"corrupt|inflate|bad object|unable to (read|unpack)|missing (blob|tree|commit|object)|invalid object|is garbage"
        r"|bad (tree|signature)|packfile|[Cc]ould not read [0-9a-f]{40}|index file .*(small|large|match|version)"
        r"|could not parse|not a valid (object|commit)|Can't load (tree|object)"
        r"|(unexpected|unterminated) line in",
        IntegrityError,
        "gitml fsck --repair repairs what the work tree or a Git remote has; else fetch it again from a clone",
    ),
    (r"clean filter|external filter", InputError, "the filter that .gitattributes asks for fails: fix or install it"),
    (r"dies? of signal|Out of memory|malloc", MachineError, None),
)


def translate(folder: str, args: tuple[str, ...], code: int, stderr: bytes) -> GitmlError:
    """What git said when it failed, as the kind of error it is."""
    text = stderr.decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines
    message = told[0].partition(": ")[2] if told and told[0].startswith(("fatal: ", "error: ")) else " ".join(told[:1])
    command = next((arg for arg in args if not arg.startswith("-") and "=" not in arg), "git")
    for pattern, kind, hint in _MEANINGS:
        if re.search(pattern, text):
            mend = _who_denies(folder, message) if pattern == _DENIED else hint and hint.format(folder=folder)
            return kind(f"git {command}: {message}", where=folder, hint=mend)
    ending = f"ended by signal {-code}" if code < 0 else f"exit status {code}"
    return MachineError(f"git {command}: {message or ending}", where=folder)


def is_refused_by_machine(said: bytes) -> bool:
    """Whether git said that the disk is full or something may not be written: trying again does not help."""
    return re.search(f"{_FULL}|{_DENIED}", said.decode("utf-8", "replace")) is not None


def _who_denies(folder: str, message: str) -> str | None:
    """The fix for a file that git, run in `folder`, says it may not read or write."""
    if "Read-only" in message:
        return "mount the file system writable"
    named = re.search(r"'(/[^']+)'|repository database (\S+)|(?:open|create|write) (/[^\s:]+)", message)
    if named is None:
        return None
    path = next(name for name in named.groups() if name)
    # of a folder it is what can't be made in it that counts
    full = os.path.join(folder, path)
    return permission_hint(os.path.join(full, "new") if os.path.isdir(full) else full)


def _cannot_start(folder: str) -> GitmlError:
    if not os.path.isdir(folder):
        return InputError("no such folder", where=folder)
    return MachineError("git is not on PATH", hint="install Git 2.31 or newer")
