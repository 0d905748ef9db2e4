"""What the records of a log added, by commit."""

from __future__ import annotations

from gitml.git.command import git
from gitml.git.log.record_log import GitRecordLog


def record_files(log: GitRecordLog, known: str | None = None) -> list[tuple[str, str, str]]:
    """(record commit, path, blob oid) of every file that a record after `known` added, oldest first."""
    tip = log.tip()
    if tip is None or tip == known:
        return []
    limits = [tip, f"^{known}"] if known else [tip]
    commits = git(log._location, "rev-list", "--first-parent", "--reverse", *limits).decode().split()
    found = []
    for commit in commits:
        before = log._objects.resolve(f"{commit}^1")
        found += [(commit, file.path, file.oid) for file in log.difference(before, commit).added()]
    return found
