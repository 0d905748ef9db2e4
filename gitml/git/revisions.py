"""From what a person writes to a commit, and what a commit says."""

from __future__ import annotations

import os
import subprocess
from typing import NamedTuple

from gitml.errors import InputError, IntegrityError
from gitml.git.command import Location, git, git_status, popen
from gitml.git.objects.reader import Objects, check_revision


class UnknownRevisionError(InputError):
    """Nothing is called so."""


class CommitInfo(NamedTuple):
    """`author` is ``Name <email>``, `time` the committer's, in seconds since 1970."""

    tree: str
    parents: tuple[str, ...]
    author: str
    time: int
    subject: str


def resolve_commit(objects: Objects, location: Location, rev: str) -> str:
    """The commit id that a branch, tag, ``HEAD~3``, abbreviated id or any other revision stands for. InputError when none."""
    if ".." in rev and not objects.is_oid(rev):
        raise InputError(f"a range where one revision is wanted: {rev[:80]!r}")
    if "@{" in rev or "^{/" in rev or rev.startswith(":/"):
        # Reflogs, upstreams and searches: git ends when they fail, and its complaint says more than "nothing found".
        return _ask_git(objects, location, rev)
    found = objects.find(rev + "^{commit}")
    if found is not None:
        return found[0].oid
    raise _unknown(objects, location, rev)


def two_meanings(objects: Objects, rev: str) -> str | None:
    """What to say of a word that is both a tag and a branch, of which Git takes the tag; None for all others."""
    if objects.is_oid(rev) or rev.startswith("refs/") or any(char in rev for char in "~^:@ \n\0"):
        return None
    if objects.find(f"refs/tags/{rev}") is None or objects.find(f"refs/heads/{rev}") is None:
        return None
    return f"{rev!r} is a tag and a branch: the tag is taken, as by Git; the branch is heads/{rev}"


def is_revision(objects: Objects, location: Location, rev: str) -> bool:
    """Whether `rev` names a commit."""
    try:
        resolve_commit(objects, location, rev)
    except InputError:
        return False
    return True


def commit_info(objects: Objects, oid: str) -> CommitInfo:
    """What the commit `oid` says. IntegrityError when it is missing or not a commit."""
    content = objects.read(oid)
    head, _, message = content.partition(b"\n\n")
    fields: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\n"):
        if not line.startswith(b" "):  # a signature goes on over several lines
            name, _, value = line.partition(b" ")
            fields.setdefault(name, []).append(value)
    encoding = fields.get(b"encoding", [b"utf-8"])[0].decode("ascii", "replace")
    try:
        tree = fields[b"tree"][0].decode("ascii")
        parents = tuple(value.decode("ascii") for value in fields.get(b"parent", []))
        author = _text(fields[b"author"][0].rsplit(b" ", 2)[0], encoding)
        time = int(fields[b"committer"][0].rsplit(b" ", 2)[1])
    except (KeyError, IndexError, ValueError) as error:
        raise IntegrityError(f"not a commit: {oid}", where=objects.location.git_dir, hint="git fsck") from error
    subject = message.lstrip(b"\n").split(b"\n", 1)[0]
    return CommitInfo(tree, parents, author, time, _text(subject, encoding))


def branch_name(location: Location) -> str | None:
    """The branch that HEAD is on, None when it is detached."""
    with open(os.path.join(location.git_dir, "HEAD"), "rb") as file:
        line = file.read().strip()
    if not line.startswith(b"ref: "):
        return None
    name = line[5:].strip()
    if name == b"refs/heads/.invalid":  # where refs are not kept as files, HEAD is not either
        name = git(location, "symbolic-ref", "--quiet", "HEAD", check=False).strip()
    return os.fsdecode(name).removeprefix("refs/heads/") or None


def user_ident(location: Location) -> str:
    """``Name <email>`` of who works here as Git has it configured, else from the login and host names."""
    return IdentQuery(location).answer()


class IdentQuery:
    """`user_ident`, asked in the background."""

    def __init__(self, location: Location) -> None:
        self._process = popen(
            location, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT", stdin=subprocess.DEVNULL
        )

    def answer(self) -> str:
        """``Name <email>``; to be asked for once."""
        with self._process as process:
            out, _ = process.communicate()
        ident = out.decode("utf-8", "replace").strip().rpartition(">")[0]
        if ident:
            return ident + ">"
        login = os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())
        return f"{login} <{login}@{os.uname().nodename}>"


def _ask_git(objects: Objects, location: Location, rev: str) -> str:
    check_revision(rev)
    peeled = rev if rev.startswith(":/") else rev + "^{commit}"
    args = ("rev-parse", "--verify", "--end-of-options", peeled)
    out, stderr, _ = git_status(location, *args)
    oid = out.decode("ascii", "replace").strip()
    if objects.is_oid(oid):
        return oid
    said = stderr.decode("utf-8", "replace").strip().rpartition("\n")[2].removeprefix("fatal: ")
    raise UnknownRevisionError(f"unknown revision {rev[:80]!r}: {said}", where=location.folder)


def _unknown(objects: Objects, location: Location, rev: str) -> InputError:
    header = objects.header(rev)
    if header is not None and header.kind != "tag":
        return InputError(f"{rev[:80]!r} is a {header.kind}, not a commit")
    if rev == "HEAD":
        return InputError("no commit yet", where=location.folder, hint="git commit")
    hint = None
    near = _nearest(location, rev)
    if near:
        hint = "did you mean " + " or ".join(near) + "?"
    elif location.is_shallow:
        hint = "this clone is shallow: git fetch --unshallow"
    return UnknownRevisionError(f"unknown revision {rev[:80]!r}", where=location.folder, hint=hint)


def _nearest(location: Location, rev: str) -> list[str]:
    import difflib

    listed = git(location, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
    base = rev.split("~", 1)[0].split("^", 1)[0]
    return difflib.get_close_matches(base, [name for name in os.fsdecode(listed).split("\n") if name != base], 3)


def _text(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding, "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


def history_of(location: Location, commit: str, *, first_parent: bool = True) -> list[str]:
    """The ids of `commit` (a full id) and all before it, newest first; with `first_parent` without merged branches."""
    only = ["--first-parent"] if first_parent else []
    listed = git(location, "rev-list", *only, "--topo-order", "--end-of-options", commit)
    return listed.decode("ascii").split()


def names_of_commits(location: Location) -> dict[str, list[str]]:
    """For each commit that a branch or tag names, their short names: branches of here first, then tags, then others' branches."""
    places = ("refs/heads", "refs/tags", "refs/remotes")
    listed = git(location, "for-each-ref", "--format=%(objectname) %(*objectname) %(refname)", *places)
    found: dict[str, list[str]] = {}
    for line in sorted(listed.split(b"\n"), key=_rank):
        if line:
            oid, peeled, name = line.split(b" ", 2)
            short = name.split(b"/", 2)[2]
            if not short.endswith(b"/HEAD"):
                found.setdefault((peeled or oid).decode("ascii"), []).append(os.fsdecode(short))
    return found


def branches_of(location: Location) -> list[str]:
    """The branches of here, the one last committed to first, then those of remotes."""
    listed = git(location, "for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/heads", "refs/remotes")
    names = [line.split(b"/", 2) for line in listed.split(b"\n") if line and not line.endswith(b"/HEAD")]
    return [os.fsdecode(name) for _, _, name in sorted(names, key=lambda parts: parts[1] != b"heads")]


def _rank(line: bytes) -> tuple[int, bytes]:
    name = line.split(b" ", 2)[-1]
    for rank, place in enumerate((b"refs/heads/", b"refs/tags/")):
        if name.startswith(place):
            return rank, name
    return 2, name
