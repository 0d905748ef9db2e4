"""`env lock`: makes the lock of a file that lists packages, in the work tree, by the tool of the file's kind."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from gitml.core.planner.explain import Change, environment_changes
from gitml.engine.planning.projects import project_here
from gitml.errors import Guard, InputError
from gitml.execute.environments.locks.lockers import FileLockRequest, Locker, locker_for
from gitml.git.revisions import commit_info, resolve_commit
from gitml.redaction import exposed
from gitml.store.local import disk
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl

_LARGEST = 64 << 20  # bytes of a lock
_HEAD = 4000  # characters of a lock in which it says what it was made by
_HAS_ALL = "groups and extras are chosen of a pyproject.toml that is locked into another file than uv.lock"
_CHOOSE = "uv.lock has all of them: name them in the pipeline, {uv: uv.lock, groups: [train]}; or -o pylock.toml"
_MADE_BY = re.compile(r"^#\s+((?:gitml env lock|uv pip compile|pip-compile)\b.*)$", re.MULTILINE)


class LockOutcome(NamedTuple):
    """A lock that was made: `source` and `lock` are paths of the repository, `environment` what a pipeline of `project` says.

    `changes` are those of packages since the lock that was there, None where there was none; `packages` what it locks.
    """

    source: str
    lock: str
    environment: str
    project: str
    as_of: str | None
    packages: tuple[str, ...]
    changes: tuple[Change, ...] | None

    @property
    def changed(self) -> bool:
        """Whether there was no such lock before."""
        return self.changes is None or bool(self.changes)


def lock_environment(
    ws: Workspace,
    file: str,
    output: str | None,
    as_of: str | None,
    *,
    groups: tuple[str, ...] = (),
    extras: tuple[str, ...] = (),
    upgrade: bool,
    force: bool,
    control: BuildControl,
    warn: Callable[[str], None],
) -> LockOutcome:
    """Locks `file` into `output` (paths as the caller's folder has them), or into the lock that is usual beside it.

    A lock of it that is there is updated as little as is needed; of `upgrade` everything. Packages that came after `as_of`, a
    date, a time (UTC) or a revision, don't count. `groups` and `extras` of a project are locked too, where `output` is no
    uv.lock, which has all of them. InputError for a file that nothing locks, for one in the way that is no lock of this file,
    unless `force`, for what can't be locked, and for a lock that would hold a credential: then nothing changes.
    TrustError unless the repository's steps may run, as a project's own code may run while it is locked.
    """
    source = _source(ws, file)
    locker = locker_for(source, output)
    if (groups or extras) and not locker.chooses:
        raise InputError(_HAS_ALL, where="--group" if groups else "--extra", hint=_CHOOSE)
    beside = posixpath.join(posixpath.dirname(source), locker.output(posixpath.basename(source)))
    lock = beside if output is None else _in_work_tree(ws, output)
    moment = _moment(ws, as_of) if as_of is not None else None
    ws.consent.need_run([("env lock", f"locks {source}, and may run code of it")])
    ws.forget_environments()
    named = [*(f" --group {name}" for name in groups), *(f" --extra {name}" for name in extras)]
    header = f"gitml env lock {source}{''.join(named)}" + (f" --as-of {as_of}" if as_of else "")
    _refuse_source(ws, source)
    if os.path.islink(os.path.join(_top(ws), lock)):
        raise InputError("it is a symbolic link, which is not written through", where=lock, hint="remove it")
    before = _content(os.path.join(_top(ws), lock))
    if before is not None and not force and (lock != beside or lock.endswith(".txt")):
        _refuse_other(lock, before, source)
    python = ws.environments.python_to_build_with().executable
    request = FileLockRequest(
        *(os.path.join(_top(ws), source), os.path.join(_top(ws), lock), moment, upgrade, python, header),
        *(ws.environ, os.path.dirname(ws.environments_folder()), control, warn),
        groups=groups,
        extras=extras,
    )
    after = _made(locker, request, before)
    project = project_here(ws, ws.worktree())
    written = locker.written(_within(project, source), _within(project, lock))
    changes = None if before is None else tuple(_changes(locker.packages(lock, before), locker.packages(lock, after)))
    return LockOutcome(source, lock, written, project, moment, locker.packages(lock, after), changes)


def _made(locker: Locker, request: FileLockRequest, before: bytes | None) -> bytes:
    """The content of the lock, which is in its place once it was found good; else what was there is there again."""
    target = request.output
    if locker.in_place:
        try:
            locker.lock(request)
            after = _checked(target)
        except BaseException:
            if before is None and os.path.lexists(target):
                os.unlink(target)
            elif before is not None and _content(target) != before:
                disk.write_whole(target, before, durable=True)
            raise
        return after
    with Guard(target, "can't write it"):
        folder = tempfile.mkdtemp(prefix=".gitml-lock-", dir=os.path.dirname(target))
    part = os.path.join(folder, os.path.basename(target))  # tools look at the name
    try:
        if before is not None and not request.upgrade:
            disk.write_whole(part, before)  # whose versions are kept where they fit
        locker.lock(request._replace(output=part))
        after = _checked(part)
        with Guard(target, "can't write it"):
            disk.write_whole(target, after, durable=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return after


def _checked(path: str) -> bytes:
    """The lock at `path`; InputError for none, and for one with a credential."""
    content = _content(path)
    if content is None:
        raise InputError("no lock was made", where=path, hint="see whether the project is part of a workspace of uv")
    what = exposed(content.decode("utf-8", "replace"))
    if what is not None:
        raise InputError(
            f"{what} would be in the lock", where=path, hint="give it by uv's own settings: UV_INDEX, uv auth login"
        )
    return content


def _refuse_source(ws: Workspace, source: str) -> None:
    """InputError for a file that is a lock itself."""
    made = _maker(_content(os.path.join(_top(ws), source)) or b"")
    if made is not None:
        raise InputError(f"it is a lock, made by `{made}`", where=source, hint="lock what it was made from")


def _refuse_other(lock: str, content: bytes, source: str) -> None:
    """InputError unless the file at `lock` is a lock of `source`."""
    made = _maker(content)
    name = posixpath.basename(source)
    if made is None or name not in [posixpath.basename(word) for word in made.split()]:
        by = f", but was made by `{made}`" if made is not None else ""
        raise InputError(
            f"it is there and is no lock of {name}{by}", where=lock, hint="name another by -o, or --force replaces it"
        )


def _maker(content: bytes) -> str | None:
    """The command that a lock says it was made by; None for a file that says none."""
    found = _MADE_BY.search(content[:_HEAD].decode("utf-8", "replace"))
    return found[1].strip()[:200] if found is not None else None


def _moment(ws: Workspace, text: str) -> str:
    """A date (its end), a time or a revision's time, as RFC 3339 in UTC."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d([T ].+)?", text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise InputError(f"not a date: {text[:60]!r}", where="--as-of", hint="write it as 2025-03-01") from None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        moment = moment + timedelta(days=1) if len(text) == len("2025-03-01") else moment
    else:
        ws.objects.start()
        try:
            commit = resolve_commit(ws.objects, ws.location, text)
        except InputError as error:
            if error.hint is None:
                error.hint = "a date is written as 2025-03-01, a revision as Git has it"
            error.where = "--as-of"
            raise
        moment = datetime.fromtimestamp(commit_info(ws.objects, commit).time, UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _changes(before: tuple[str, ...], after: tuple[str, ...]) -> list[Change]:
    return environment_changes({"distributions": before}, {"distributions": after})


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        return None


def _top(ws: Workspace) -> str:
    if ws.location.worktree is None:
        raise InputError("a bare repository has no work tree to lock in", where=ws.location.git_dir)
    return ws.location.worktree


def _in_work_tree(ws: Workspace, path: str) -> str:
    """A path of the caller's as one of the repository; InputError for one outside of it."""
    folder, name = os.path.split(os.path.abspath(path))
    within = os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(_top(ws)))
    if within.startswith("../") or within in (".", "..") or within.split("/")[0] == ".git":
        raise InputError(
            "it is not in the work tree", where=path, hint="an environment's files are files of the repository"
        )
    return within


def _source(ws: Workspace, file: str) -> str:
    """The file as a path of the repository; where the caller's folder has none of this name, that of its project, or the top."""
    project = os.path.join(_top(ws), project_here(ws, ws.worktree()))
    for folder in ("", project, _top(ws)):
        if os.path.isfile(os.path.join(folder, file)):
            return _in_work_tree(ws, os.path.join(folder, file))
    raise InputError("there is no such file", where=file)


def _within(project: str, path: str) -> str:
    """A path of the repository as pipelines of a project write it."""
    if not project:
        return path
    return path.removeprefix(f"{project}/") if path.startswith(f"{project}/") else f"//{path}"
