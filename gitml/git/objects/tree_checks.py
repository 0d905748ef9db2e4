"""What a directory of a commit holds that needs care before it can be an input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.model.paths import is_git_name
from gitml.core.model.protocols import Facts
from gitml.core.records.special_files import is_bare_repository
from gitml.errors import IntegrityError
from gitml.git.lfs.pointer import parse_lfs_pointer
from gitml.git.objects.reader import CommitFiles, Objects

_KIND = "git-tree/1"
_SMALL = 1024


class TreeChecks(NamedTuple):
    """Of a whole directory: how many files, and (paths relative to it) links that lead out, submodules not here, LFS pointers.

    `escaping_links` are (path, target); `lfs` are (path, Digest, size in bytes of the content pointed to).
    """

    files: int = 0
    escaping_links: tuple[tuple[str, str], ...] = ()
    submodules: tuple[str, ...] = ()
    lfs: tuple[tuple[str, Digest, int], ...] = ()


def check_tree(repository: Objects, oid: str, memo: Facts) -> TreeChecks:
    """The TreeFacts of the tree `oid`, remembered in `memo` for it and each directory in it."""
    objects = repository.files
    found: dict[str, TreeChecks] = {}
    fresh = _collect(objects, oid, memo, found)
    entries = [entry for tree in fresh for entry in objects.folder(tree).values()]
    links = {entry.oid for entry in entries if entry.is_link}
    files = {entry.oid for entry in entries if entry.mode.startswith("100")} - links
    wanted = [header.oid for header in objects.headers(sorted(files)) if header.size < _SMALL] if files else []
    wanted += sorted(links)
    contents = dict(objects.read_many(wanted)) if wanted else {}
    passing: set[str] = set()  # with a submodule in it, which may be here today and not tomorrow
    for tree in fresh:
        found[tree] = _combine(objects, tree, found, contents)
        names = objects.tree(tree).values()
        if any(entry.is_submodule or (entry.is_tree and entry.oid in passing) for entry in names):
            passing.add(tree)
        else:
            memo.remember(_KIND, tree, found[tree])
    return found[oid]


def _collect(objects: CommitFiles, root: str, memo: Facts, found: dict[str, TreeChecks]) -> list[str]:
    """Fills `found` with what is remembered; the trees still to be looked at, each once, what they hold before them."""
    fresh: list[str] = []
    seen: set[str] = set()
    waiting = [(root, False)]
    while waiting:
        tree, below_done = waiting.pop()
        if below_done:
            fresh.append(tree)
        elif tree not in seen:
            seen.add(tree)
            known = memo.fact(_KIND, tree)
            if known is not None and not known[2]:  # submodules that were not here may be now
                found[tree] = _from_json(known)
                continue
            waiting.append((tree, True))
            waiting += [(entry.oid, False) for entry in objects.folder(tree).values() if entry.is_tree]
    return fresh


def _combine(objects: CommitFiles, tree: str, found: dict[str, TreeChecks], contents: dict[str, bytes]) -> TreeChecks:
    files = 0
    links: list[tuple[str, str]] = []
    submodules: list[str] = []
    lfs: list[tuple[str, Digest, int]] = []
    for name, entry in objects.folder(tree).items():
        if entry.is_tree:
            below = found[entry.oid]
            files += below.files
            links += [
                (f"{name}/{path}", target)
                for path, target in below.escaping_links
                if leads_out(f"{name}/{path}", target)
            ]
            submodules += [f"{name}/{path}" for path in below.submodules]
            lfs += [(f"{name}/{path}", digest, size) for path, digest, size in below.lfs]
        elif entry.is_submodule:
            submodules.append(name)
        elif entry.is_link:
            files += 1
            target = contents[entry.oid].decode("utf-8", "surrogateescape")
            if leads_out(name, target):
                links.append((name, target))
        else:
            files += 1
            pointed = parse_lfs_pointer(contents.get(entry.oid, b""))
            if pointed:
                lfs.append((name, *pointed))
    return TreeChecks(files, tuple(links), tuple(submodules), tuple(lfs))


def leads_out(path: str, target: str) -> bool:
    """Whether a link at `path` may lead out of the root, however the links among its steps resolve.

    A ``..`` after a name counts as leading out: the name may be a link, and then ``..`` is not where it seems to be.
    """
    if not target or target.startswith("/") or "\0" in target:
        return True
    steps = [step for step in target.split("/") if step not in ("", ".")]
    climb = 0
    while climb < len(steps) and steps[climb] == "..":
        climb += 1
    return climb > path.count("/") or ".." in steps[climb:]


def _from_json(raw: Any) -> TreeChecks:
    try:
        files, links, submodules, lfs = raw
        return TreeChecks(
            int(files),
            tuple((path, target) for path, target in links),
            tuple(submodules),
            tuple((path, Digest(digest), int(size)) for path, digest, size in lfs),
        )
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"bad fact about a tree: {error}", hint="gitml fsck --repair") from error


def problem_with_names(names: Iterable[str]) -> tuple[str, str] | None:
    """(name, why) of the first of the names of a folder that makes a repository of it; None when none does."""
    names = list(names)
    for name in names:
        if is_git_name(name):
            return name, "git, or a file system, takes it for the settings of a repository"
    if is_bare_repository(names):
        return "HEAD", "git takes the folder for a bare repository, and obeys the settings in it"
    return None
