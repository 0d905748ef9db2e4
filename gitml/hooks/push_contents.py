"""What goes along with a push: records, and the artifacts of the runs that pushed commits are about."""

from __future__ import annotations

from collections.abc import Sequence

from gitml.core.config.project import SENT_ON_PUSH
from gitml.engine.planning.load import every_pipeline, load, read_config
from gitml.errors import GitmlError, InputError
from gitml.git.log.remote_refs import LOGS, default_remote, log_ref, tracking_ref
from gitml.git.log.remote_refs import tip_of as tip_of_ref
from gitml.git.objects.source import CommitSource
from gitml.hooks.proof import proof_of
from gitml.hooks.pushed_refs import Update, new_commits, tip_of
from gitml.workspace import Workspace

_MANY = 200


def goes_along(ws: Workspace, updates: Sequence[Update], remote: str) -> frozenset[str]:
    """Of ``records`` and ``artifacts`` what the project sends with these commits; nothing where a remote is not the usual one.

    Where records were sent to, or fetched from, before is as good as the usual one. No other hears of this project's runs.
    """
    if not _is_usual(ws, remote) and not any(_sent(ws, remote).values()):
        return frozenset()
    wanted: set[str] = set()
    for tip in _tips(ws, updates):
        try:
            hooks = read_config(ws, CommitSource(ws.objects, tip)).hooks
        except GitmlError:
            wanted.update(SENT_ON_PUSH)  # whatever is wrong with gitml.yaml, every other command tells
        else:
            wanted.update(() if "pre-push" in hooks.skip else hooks.send)
    return frozenset(wanted)


def has_remote_store(ws: Workspace) -> bool:
    """Whether the project names a remote store that artifacts are sent to."""
    from gitml.transfer.remotes import Remotes

    return any(spec.push for spec in Remotes(ws).specs)


def has_all_records(ws: Workspace, remote: str) -> bool:
    """Whether the remote has every record that is here, as far as is known without asking it."""
    ours = {log: tip_of_ref(ws.location, log_ref(log)) for log in LOGS}
    theirs = _sent(ws, remote)
    return all(tip is None or tip == theirs[log] for log, tip in ours.items())


def runs_pushed(ws: Workspace, updates: Sequence[Update], remote: str) -> tuple[str, ...] | None:
    """The ids of runs of the pushed commits, and of those whose results the newest of each branch reuses.

    None when there are too many commits to ask for each: everything that was recorded goes along then.
    """
    commits = new_commits(ws, list(updates), remote)
    if len(commits) > _MANY:
        return None
    found: dict[str, None] = {}
    for commit in commits:
        found.update(dict.fromkeys(row.id for row in ws.index.runs(commit=commit, limit=None)))
    for tip in _tips(ws, updates):
        source = CommitSource(ws.objects, tip)
        for name in every_pipeline(source):
            try:
                results = proof_of(ws, load(ws, name, None, source=source)).results
            except GitmlError:
                continue  # what can't be planned has no results
            found.update(dict.fromkeys(result.run for result in results.values()))
    return tuple(found)


def _tips(ws: Workspace, updates: Sequence[Update]) -> list[str]:
    return list(dict.fromkeys(tip for update in updates if (tip := tip_of(ws, update))))


def _is_usual(ws: Workspace, remote: str) -> bool:
    try:
        return default_remote(ws.location) == remote
    except InputError:
        return False


def _sent(ws: Workspace, remote: str) -> dict[str, str | None]:
    """What the remote has of each log, as far as is known here."""
    return {log: tip_of_ref(ws.location, tracking_ref(remote, log)) for log in LOGS}
