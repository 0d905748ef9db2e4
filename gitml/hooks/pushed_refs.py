"""What a push would send: the refs that Git tells a hook of, and the commits among them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from gitml import layout
from gitml.errors import InputError
from gitml.git.command import git
from gitml.workspace import Workspace

BRANCHES = "refs/heads/"


class Update(NamedTuple):
    """One ref of a push: `new` is what it will be, `old` what the other side has. None: it is not, or will not be, there."""

    ref: str
    new: str | None
    old: str | None

    @property
    def branch(self) -> str | None:
        """The branch's name, None for another ref."""
        return self.ref.removeprefix(BRANCHES) if self.ref.startswith(BRANCHES) else None


def updates_to_send(told: bytes) -> list[Update]:
    """What Git tells pre-push on its stdin, without gitml's own refs and what is deleted. InputError for other text."""
    found = []
    for line in os.fsdecode(told).splitlines():
        words = line.split(" ")
        if len(words) != 4:
            raise InputError(f"not what Git tells a pre-push hook: {line[:80]!r}")
        found.append(Update(words[2], _oid(words[1]), _oid(words[3])))
    return [update for update in found if update.new is not None and not update.ref.startswith(f"{layout.REFS}/")]


def updates_received(told: bytes) -> list[Update]:
    """What Git tells post-receive: the branches that are there now, those that were deleted and all other refs left out."""
    found = []
    for line in os.fsdecode(told).splitlines():
        words = line.split(" ", 2)
        if len(words) != 3:
            raise InputError(f"not what Git tells a post-receive hook: {line[:80]!r}")
        found.append(Update(words[2], _oid(words[1]), _oid(words[0])))
    return [update for update in found if update.new is not None and update.branch]


def updates_of_framework(ws: Workspace, environ: Mapping[str, str]) -> list[Update] | None:
    """The same from the variables of the pre-commit framework, which tells of one ref; None where it isn't there."""
    if "PRE_COMMIT_REMOTE_BRANCH" not in environ:
        return None
    ref = environ["PRE_COMMIT_REMOTE_BRANCH"]
    # Of a branch without any commit that the other side has it tells the name alone.
    new = environ.get("PRE_COMMIT_TO_REF") or ws.objects.resolve(environ.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD")
    if new is None or ref.startswith(f"{layout.REFS}/"):
        return []
    return [Update(ref, new, _oid(environ.get("PRE_COMMIT_FROM_REF", "0")))]


def tip_of(ws: Workspace, update: Update) -> str | None:
    """The commit that the ref will name, None when it is no commit: a tag may name anything."""
    header = ws.objects.header(f"{update.new}^{{commit}}")
    return header and header.oid


def new_commits(ws: Workspace, updates: list[Update], remote: str) -> list[str]:
    """The commits that the other side does not have as far as is known here, oldest first."""
    tips = [tip for update in updates if (tip := tip_of(ws, update))]
    if not tips:
        return []
    known = [f"^{update.old}" for update in updates if update.old and ws.objects.header(update.old)]
    given = "\n".join([*tips, *known, ""]).encode()
    tracked = [f"--remotes={remote}"] if remote.replace("-", "").replace("_", "").replace(".", "").isalnum() else []
    excluded = ["--not", *tracked, "--not"] if tracked else []
    listed = git(ws.location, "rev-list", "--reverse", "--topo-order", *excluded, "--stdin", input=given)
    return listed.decode("ascii").split()


def _oid(text: str) -> str | None:
    return text if text.strip("0") else None
