"""`gitml doctor`: what a machine and a repository offer gitml."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from gitml import layout
from gitml.cli.errors import DONE, FAILED
from gitml.cli.session import Session, as_data, verb
from gitml.cli.text.format import cells, count, size
from gitml.cli.text.terminal import paint, safe
from gitml.errors import GitmlError, InputError
from gitml.permissions import permission_hint
from gitml.platform.current import platform
from gitml.store.index.runs import count_runs

if TYPE_CHECKING:
    from gitml.workspace import Workspace

_GIT = (2, 31)
_ROOM = 1 << 30
_COLOURS = {"ok": "green", "note": "yellow", "bad": "red"}


class Finding(NamedTuple):
    """`state` is ok, note (gitml does without) or bad; `hint` is how to fix it."""

    what: str
    state: str
    found: str
    hint: str | None = None


@verb("doctor", json=True)
def command(session: Session) -> int:
    """Check this machine: Git, Python, uv, conda, sandboxes, images, disk space, the store and the records.

    Exits with 1 when something that gitml needs is missing; a note is something that gitml can do without.
    """
    findings = list(_examine(session))
    wide = max(cells(finding.what) for finding in findings)
    lines = []
    for finding in findings:
        word = paint(f"{finding.state:<4}", _COLOURS[finding.state])
        hint = f": {safe(finding.hint)}" if finding.hint else ""
        lines.append(f"{word}  {finding.what}{' ' * (wide - cells(finding.what))}  {safe(finding.found)}{hint}")
    session.result(as_data(findings), *lines)
    return FAILED if any(finding.state == "bad" for finding in findings) else DONE


def _examine(session: Session) -> Iterator[Finding]:
    """Everything that is looked at, each once."""
    yield _git()
    yield Finding("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    yield _uv()
    yield _conda()
    yield from (Finding("platform", "note", lack, "run it on Linux where that matters") for lack in platform.LACKS)
    yield from _sandboxes()
    yield from _repository(session)


def _said(*words: str) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _git() -> Finding:
    said = _said("git", "version")
    words = (said or "").split()
    numbers = tuple(int(part) for part in words[2].split(".")[:2] if part.isdigit()) if len(words) > 2 else ()
    if said is None or numbers < _GIT:
        return Finding("git", "bad", "not on PATH" if said is None else said, "install Git 2.31 or newer")
    return Finding("git", "ok", said)


def _uv() -> Finding:
    said = None
    try:
        from uv import find_uv_bin

        said = _said(find_uv_bin(), "--version")
    except (ImportError, FileNotFoundError):
        said = _said("uv", "--version") if shutil.which("uv") else None
    if said is None:
        hint = "environments of Python packages need it, for locks and to build them; pip install uv"
        return Finding("uv", "note", "not found", hint)
    return Finding("uv", "ok", f"{said}: builds environments of requirements files, pylock.toml, uv.lock and scripts")


def _conda() -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("py-rattler")
    except PackageNotFoundError:
        hint = "environments of pixi.lock and conda-lock.yml need it; pip install 'gitml[conda]'"
        return Finding("conda", "note", "py-rattler is not installed", hint)
    return Finding(
        "conda", "ok", f"py-rattler {found}: builds environments of pixi.lock, conda-lock.yml and explicit lists"
    )


def _sandboxes() -> Iterator[Finding]:
    from gitml.execute.sandbox import namespace
    from gitml.execute.sandbox.location import sandbox_roots
    from gitml.platform.linux import MOUNTED

    try:
        places = sandbox_roots("/", os.environ)
    except InputError as error:
        yield Finding("sandbox", "bad", f"{error.message} ({error.where})", error.hint)
    else:
        works, why = namespace.available() if places.mount else (False, "your own settings have `mount: false`")
        place = os.path.dirname(places.apart) if places.apart is not None else None
        if works:
            where = f", made in {place}" if places.chosen else ""
            yield Finding("sandbox", "ok", f"mounted at {MOUNTED}{where}: nothing of a project is above it")
        elif place is not None:
            yield Finding("sandbox", "note", f"made in {place}, so its path differs between machines: {why}")
        else:
            hint = "name a folder for sandboxes in your own settings: sandboxes: /scratch/me"
            yield Finding("sandbox", "bad", f"every folder for sandboxes lies in a project: {places.problem}", hint)
    refused = platform.confinement_refusal()
    if refused:
        yield Finding("strict sandbox", "note", refused, "sandbox: strict can't be kept to here")
    else:
        yield _strict()
    yield _network()
    yield _images()


def _strict() -> Finding:
    from gitml.execute.sandbox import isolation
    from gitml.platform import landlock

    lacks = [] if isolation.private_folders() else ["temporary folders of its own (its TMPDIR is, /dev/shm is shared)"]
    lacks += [] if landlock.scopes() else ["a bar to signals and abstract sockets (Linux 6.12)"]
    if lacks:
        return Finding(
            "strict sandbox", "note", f"Landlock is there, but a strict step does not get {', nor '.join(lacks)}"
        )
    return Finding("strict sandbox", "ok", "Landlock is there, and a strict step has temporary folders of its own")


def _network() -> Finding:
    from gitml.core.model.guarantees import CUT, LOOPBACK
    from gitml.execute.sandbox.isolation import refusal

    refused = {network: why for network in (LOOPBACK, CUT) if (why := refusal(network))}
    if refused:
        phrase = f"network: {' and '.join(refused)} can't be kept here: {next(iter(refused.values()))}"
        return Finding(
            "network of steps", "note", phrase, "let this user make network namespaces: docs/pipelines.md, Network"
        )
    return Finding("network of steps", "ok", "network: loopback and none can be kept")


def _images() -> Finding:
    from gitml.execute.sandbox.isolation import image_refusal

    refused = image_refusal()
    if refused:
        hint = "let this user make user and mount namespaces: docs/pipelines.md, Images"
        return Finding("images", "note", f"steps can't run in an image here: {refused}", hint)
    said = _said("skopeo", "--version")
    if said is None:
        what = "fetched by gitml itself, without skopeo: registries.conf and policy.json do not count"
        return Finding("images", "ok", what)
    return Finding("images", "ok", f"fetched by {said}; steps run in them without a container engine")


def _repository(session: Session) -> Iterator[Finding]:
    try:
        ws = session.ws
    except GitmlError as error:
        state = "note" if isinstance(error, InputError) else "bad"
        yield Finding("repository", state, error.message, error.hint)
        return
    location = ws.location
    kind = "bare" if location.bare else "linked worktree" if location.git_dir != location.common_dir else "ordinary"
    yield Finding("repository", "ok", f"{location.folder} ({kind}, {location.object_format})")
    place = ws.root if os.path.isdir(ws.root) else location.common_dir
    free = shutil.disk_usage(place).free
    state = "ok" if free > _ROOM else "note"
    yield Finding(
        "disk", state, f"{size(free)} free at {place}", None if state == "ok" else "gitml gc -n lists what could go"
    )
    yield _built(ws)
    yield from _lock_files(ws)
    yield from _remotes_in_folders(ws)
    if not os.access(place, os.W_OK):
        yield Finding("store", "bad", f"{place} can't be written to", permission_hint(place))
        return
    try:
        yield Finding("records", "ok", f"{count(count_runs(ws.index), 'run')} recorded")
    except GitmlError as error:
        yield Finding("records", "bad", error.message, error.hint or "gitml fsck")


def _built(ws: Workspace) -> Finding:
    """Where environments are built, and whether programs can be started there."""
    place = ws.environments_folder()
    there = place
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    if os.statvfs(there).f_flag & os.ST_NOEXEC:
        hint = f"set {layout.XDG_CACHE_HOME} to a folder on a disk whose programs may be run"
        return Finding("environments", "note", f"{place} is mounted noexec, so what is built there can't be used", hint)
    return Finding("environments", "ok", f"built in {place}, {size(shutil.disk_usage(there).free)} free")


def _lock_files(ws: Workspace) -> Iterator[Finding]:
    """Lock files of Git that keep gitml from recording; none is no finding."""
    from gitml.git.integrity.stale_locks import lock_files

    for lock in lock_files(ws.location):
        found = f"{lock.path}, untouched for {lock.age:,.0f} s"
        if lock.stale:
            yield Finding(
                "lock file", "bad", f"{found}: a git that was ended left it", "gitml fsck --repair removes it"
            )
        else:
            yield Finding("lock file", "note", found, "another git is at work")


def _remotes_in_folders(ws: Workspace) -> Iterator[Finding]:
    """Of each Git remote in a folder of this machine whether its own Git syncs what it is sent; a host can't be asked that."""
    from gitml.git.log.local_remote import local_remote_of
    from gitml.git.log.remote_refs import configured

    try:
        sides = {name: local_remote_of(ws.location, name) for name in configured(ws.location)}
    except GitmlError:
        return  # without git, which is reported already
    for name, side in sides.items():
        if side is None:
            continue
        place = side.location.common_dir
        what = f"remote {name}"
        if side.syncs_all():
            yield Finding(what, "ok", f"{place} syncs what is pushed to it (core.fsync)")
        else:
            found = f"{place} has no core.fsync, so a power cut may take what a plain git push sent; gitml push syncs its own"
            yield Finding(what, "note", found, f"git -C {shlex.quote(place)} config core.fsync all")
