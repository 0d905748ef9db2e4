"""Logs fetched from and sent to remotes by the user's own Git: their URLs, credentials, proxies and ssh, nothing else.

Nothing is asked for where nobody can answer. No ref of the remote outside ``refs/gitml`` is touched, and here none but the
tracking refs.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gitml.errors import BusyError, RemoteError
from gitml.git.command import BASE, DURABLE, Location, config_items, git, is_partial, popen, stderr_file
from gitml.git.errors import explain, refusal_of_ref
from gitml.git.integrity.durability import move_refs, sync_objects, sync_refs
from gitml.git.log.local_remote import local_remote_of
from gitml.git.log.remote_refs import (
    LOGS,
    REGISTRY,
    check_remote,
    is_registry,
    log_ref,
    merged_ref,
    protocol_environment,
    refspecs,
    refused_ref,
    tip_of,
    tracking_ref,
    without_secrets,
)
from gitml.git.objects.reader import Objects
from gitml.git.progress import Watch, read_stderr

_FETCH = (
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-gc",
    "--no-write-commit-graph",
    "--no-show-forced-updates",  # which would walk all records to tell
    "--recurse-submodules=no",
    "--refmap=",
    "--prune",
    "--no-filter",  # in a partial clone: records are read whole, one request for each blob would take hours
)
# One pack syncs faster than many loose objects.
_KEPT = (*DURABLE, "-c", "fetch.unpackLimit=1")
_PUSH = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
# What a remote says of a ref that somebody else moved, or is moving, at this moment.
_LATE = (
    "fetch first",
    "non-fast-forward",
    "needs force",
    "stale info",
    "failed to update ref",
    "cannot lock ref",
    "failed to lock",
    "incorrect old value",
    "reference already exists",
    "remote ref updated",
)


_LOCK = re.compile(r"Unable to create '([^']+\.lock)'")
_LEFT_BROKEN = re.compile(
    r"valid object|unable to read|is empty|corrupt|cannot read existing|unpack|missing (blob|tree|commit)|bad object"
)
_BLOCKED = 15.0
# Seconds without a word of git after which a remote counts as gone. Hooks of a remote may take long over a push.
_SILENCE = {"ls-remote": 60.0, "fetch": 300.0, "push": 3600.0, "clone": None}
_REGISTRY = 600.0  # seconds for a question to a registry that `gitml.yaml` names, however it drips
_ANSWER = 4 << 20


class RemoteIO(NamedTuple):
    """How to speak with remotes: whether somebody at a terminal can be asked, and who watches the progress."""

    terminal: bool = False
    watch: Watch | None = None


UNATTENDED = RemoteIO()


def fetch(location: Location, remote: str, logs: Iterable[str] = LOGS, line: RemoteIO = UNATTENDED) -> None:
    """Fetches logs of `remote` into their tracking refs; one goes when the remote has the log no more."""
    check_remote(remote)
    _recover_tracking(location, remote)
    if REGISTRY in logs:
        before = tip_of(location, tracking_ref(remote, REGISTRY))
        if before is not None and tip_of(location, merged_ref(remote, REGISTRY)) is None:
            note_merged(location, remote, before)  # by a gitml that did not note it
    # In a shallow clone the newest record alone: its tree has them all, and their history is that of all code that was run.
    shallow = ("--depth=1",) if location.is_shallow else ()
    command, values = (*_KEPT, "fetch", *_FETCH, *shallow), (remote, *refspecs(remote, logs))
    _, said, code = _talk(location, command, values, line)
    if code and ".lock'" in said:
        from gitml.git.integrity.stale_locks import clear_blocking

        if clear_blocking(location, said.encode()):
            _, said, code = _talk(location, command, values, line)
    if code:
        raise explain(location, "fetch", remote, said)
    sync_objects(location)
    sync_refs(location, [tracking_ref(remote, log) for log in logs])


def clone(url: str, folder: str, options: Sequence[str], line: RemoteIO = UNATTENDED) -> None:
    """``git clone`` as the user would, hooks and filters and all; `options` are git's, checked by the caller."""
    check_remote(url)
    check_remote(folder)
    here = os.getcwd()
    nowhere = Location(here, here, here, "sha1", bare=False)
    _, said, code = _talk(nowhere, ("clone", *options), (url, folder), line, ("git",))
    if code:
        raise explain(nowhere, "clone", url, said)


class PushResult(NamedTuple):
    """What a remote did with a log: whether it has the tip now, whether that is news to it, and the tip it had before (short).

    `blocked` says what kept it from taking the log when that was not another's push: a lock file or a ref that names nothing.
    """

    has: bool
    moved: bool
    before: str | None
    blocked: str | None = None


def push_logs(
    location: Location, remote: str, tips: Mapping[str, str], line: RemoteIO = UNATTENDED
) -> dict[str, PushResult]:
    """Moves logs of `remote` forward to `tips` (log -> record commit).

    One that has records which the tip does not follow is left as it is: others came first. RemoteError where it takes none.
    """
    check_remote(remote)
    _recover_tracking(location, remote)
    side = local_remote_of(location, remote)
    refs = [log_ref(log) for log in tips]
    command = ("push", *_PUSH, *(side.options if side else ()))
    values = (remote, *[f"{tip}:{log_ref(log)}" for log, tip in tips.items()])
    told, said, code = _talk(location, command, values, line)
    if code and side is not None and side.repair(refs, objects=_LEFT_BROKEN.search(said + told) is not None):
        told, said, code = _talk(location, command, values, line)
    answers: dict[str, PushResult] = {}
    for log in tips:
        status = _status(told, log_ref(log))
        if status is None:
            raise explain(location, "push", remote, said)
        flag, summary = status
        before = summary.split("..")[0] if flag == " " else None
        blocked = _blocked_by(said, log_ref(log), summary) if flag == "!" else None
        answers[log] = PushResult(flag != "!", flag not in "!=", before, blocked)
        if flag == "!" and not any(word in summary for word in _LATE):
            if "[remote failure]" in summary or "unpack" in summary:
                raise explain(location, "push", remote, f"{said}\n{summary}")
            raise refusal_of_ref(remote, log_ref(log), summary.partition("(")[2].rstrip(")") or summary)
    if code and all(answer.has for answer in answers.values()):
        raise explain(location, "push", remote, said)
    if side is not None:
        side.sync([log_ref(log) for log, answer in answers.items() if answer.has])
    has = {log: tips[log] for log, answer in answers.items() if answer.has}
    update_tracking(location, remote, has)
    if REGISTRY in has:
        note_merged(location, remote, has[REGISTRY])
    return answers


def _blocked_by(said: str, ref: str, summary: str) -> str | None:
    lock = _LOCK.search(said)
    if lock is not None:
        return f"its lock file {os.path.normpath(lock[1])} does not go"
    if "reference already exists" in summary or re.search(f"{re.escape(ref)}.*(broken|valid object)", said):
        return f"its {ref} is there and may name nothing, as after a power cut"
    return None


def remote_tip(location: Location, remote: str, ref: str) -> str | None:
    """What `ref` is at `remote`, None when it has none; nothing is fetched."""
    check_remote(remote)
    out, said, code = _talk(location, ("ls-remote",), (remote, ref), UNATTENDED)
    if code:
        raise explain(location, "ls-remote", remote, said)
    found = dict(line.split("\t")[::-1] for line in out.splitlines())
    return found.get(ref)


class PushBackoff:
    """Waits between tries while others push too: not at all at first, then longer each time, by chance; five minutes in all."""

    def __init__(self, seconds: float = 300.0) -> None:
        self._until = time.monotonic() + seconds
        self._pause = 0.0
        self._seen: tuple[str | None, str | None] = (None, None)
        self._since = 0.0

    def wait(self, blocked: str | None = None, tip: str | None = None) -> bool:
        """Whether to try again; returns when it is time to.

        BusyError when the same thing blocks the remote, which stays at `tip`, for fifteen seconds: nobody else is pushing.
        """
        now = time.monotonic()
        if blocked is None or (blocked, tip) != self._seen:
            self._seen, self._since = (blocked, tip), now
        elif now - self._since > _BLOCKED:
            hint = (
                "on its host, when no git is at work there, remove that file, then push again: nothing is lost."
                " A remote in a folder is repaired by gitml push a minute later"
            )
            raise BusyError(f"the remote can't take records: {blocked}", hint=hint)
        if now > self._until:
            return False
        time.sleep(self._pause * os.urandom(1)[0] / 255)
        self._pause = min(max(0.05, self._pause * 1.7), 15.0)
        return True


def push_size(location: Location, remote: str, log: str, tip: str) -> int:
    """About how many bytes sending `tip` would take, by what is known of `remote`."""
    known = [oid for oid in (tip_of(location, tracking_ref(remote, log)),) if oid]
    args = ("rev-list", "--disk-usage", "--objects", tip, "--not", *known, f"--remotes={remote}")
    return int(git(location, *args))


def update_tracking(location: Location, remote: str, tips: Mapping[str, str]) -> None:
    """Notes that the logs of `remote` are at `tips`."""
    moves = {tracking_ref(remote, log): tip for log, tip in tips.items()}
    move_refs(location, {ref: tip for ref, tip in moves.items() if tip_of(location, ref) != tip})


def note_merged(location: Location, remote: str, tip: str) -> None:
    """Notes up to where the registry of `remote` was taken in, or sent: what it holds next must follow that."""
    moves: dict[str, str | None] = {}
    if tip_of(location, merged_ref(remote, REGISTRY)) != tip:
        moves[merged_ref(remote, REGISTRY)] = tip
    if tip_of(location, refused_ref(remote, REGISTRY)) is not None:
        moves[refused_ref(remote, REGISTRY)] = None
    move_refs(location, moves)


def _recover_tracking(location: Location, remote: str) -> None:
    """Takes away what git could not move: a damaged tracking ref is only what the remote is asked for anyway."""
    from gitml.git.integrity.ref_recovery import recover_tracking_refs

    with Objects(location) as objects:
        recover_tracking_refs(location, objects, remote)


def _status(told: str, ref: str) -> tuple[str, str] | None:
    """(flag, summary) of a line of ``git push --porcelain``."""
    for line in told.splitlines():
        parts = line.split("\t")
        if len(parts) >= 3 and parts[1].endswith(f":{ref}"):
            return parts[0], parts[2]
    return None


def _talk(
    location: Location, command: Sequence[str], values: Sequence[str], line: RemoteIO, base: Sequence[str] = BASE
) -> tuple[str, str, int]:
    """(stdout, stderr without progress, exit status) of a git that speaks with a remote.

    RemoteError when nobody sits at a terminal and the remote says nothing for long; when it is a registry, also in all.
    """
    what, remote = next(word for word in command if word in _SILENCE), next(iter(values))
    show = () if line.watch is None and what != "fetch" else ("--progress",)
    environment = {"GIT_TERMINAL_PROMPT": "1" if line.terminal else "0"}
    if what != "clone":
        environment |= protocol_environment(location, remote, os.environ)
    silence = None if line.terminal else _SILENCE[what]
    end = None if line.terminal or not is_registry(location) else time.monotonic() + _REGISTRY
    with stderr_file() as out:
        args = (*command, *show, "--end-of-options", *values)
        nothing, answer = subprocess.DEVNULL, out.fileno()
        process = popen(
            location, *args, env=environment, stdin=nothing, stdout=answer, terminal=line.terminal, base=base
        )
        with process:
            assert process.stderr is not None
            try:
                said = read_stderr(process.stderr, line.watch, silence, end)
                code = process.wait()
            except TimeoutError as error:
                os.killpg(process.pid, signal.SIGTERM)
                raise RemoteError(
                    f"the remote can't be reached: {error}",
                    where=without_secrets(remote),
                    hint="see the network and the URL, then try again",
                ) from error
            except BaseException:
                # Told, not killed, git takes its locks and unfinished packs away.
                if line.terminal:
                    process.terminate()
                else:
                    os.killpg(process.pid, signal.SIGTERM)
                raise
        out.seek(0)
        return out.read(_ANSWER).decode("utf-8", "replace"), said, code


_FETCH_OBJECTS = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin")


def fetch_missing_blobs(location: Location, known: str | None, tip: str) -> None:
    """Fetches what the tree of the record `tip` has beyond that of `known` and is not here. RemoteError when it can't be had.

    Git would fetch each blob by itself when it is read. Costs a look at a folder where the clone is whole.
    """
    if not is_partial(location):
        return
    limits = [f"{tip}^{{tree}}"] + (["--not", f"{known}^{{tree}}"] if known else [])
    walked = git(location, "rev-list", "--objects", "--no-object-names", "--missing=print", *limits, check=False)
    missing = [line[1:] for line in walked.decode("ascii", "replace").splitlines() if line.startswith("?")]
    if not missing:
        return
    remote = _promisor(location)
    args = (*DURABLE, "-c", "fetch.negotiationAlgorithm=noop", "fetch", *_FETCH_OBJECTS, "--end-of-options", remote)
    with popen(location, *args, stdout=subprocess.DEVNULL, terminal=False) as process:
        _, said = process.communicate("".join(f"{oid}\n" for oid in missing).encode())
    if process.returncode:
        raise explain(location, "fetch", remote, said.decode("utf-8", "replace"))


def _promisor(location: Location) -> str:
    """The remote that has what was left out."""
    for key, value in config_items(location, "--get-regexp", r"^remote\..*\.promisor$"):
        if value == "true":
            return key[len("remote.") : -len(".promisor")]
    return "origin"
