"""Where the Git LFS server of a Git remote is: by the rules that git-lfs documents, with the user's own configuration.

In this order: ``lfs.url``, ``remote.<name>.lfsurl`` (both also from `.lfsconfig`), else the URL of the remote with
``.git/info/lfs`` behind it; over SSH the server is asked by ``git-lfs-authenticate``. A remote on this machine keeps its objects
in its own folder.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gitml.errors import InputError, RemoteError
from gitml.git.command import Location, clean_environment, config_items, config_value, git
from gitml.git.log.remote_refs import usual_remote, without_secrets
from gitml.git.worktree.status import read_worktree_file
from gitml.http.limits import address_in, headers_in
from gitml.redaction import register_secret

_SCP = re.compile(r"(?:(?P<user>[^@/:\s]+)@)?(?P<host>\[[^\]]+\]|[^/:\s]+):(?P<path>(?!//).+)\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.+~-]*@)?\[?[A-Za-z0-9_][A-Za-z0-9_.:%-]*\]?\Z")
# What nobody reads otherwise than another: where the host begins and ends is plain, and nothing is left out on the way.
_SERVER = re.compile(r"[a-z+]+://(?:[^\s/?#@\\]*@)?[^\s/?#@\\]+(?:/[^\s?#\\]*)?\Z")
_CONFIG = ".lfsconfig"
_ANSWERED = 60.0  # seconds for git-lfs-authenticate
_SAID = 64 << 10  # bytes of its answer


class Endpoint(NamedTuple):
    """A place of LFS objects: the `url` of a server, or with `folder` a folder of this machine.

    `ssh` is (user@host, port, path) where the server's address and a token are asked for over SSH. `source` is the tracked file
    that named the place, "" when the user's own settings did.
    """

    url: str
    folder: str | None = None
    ssh: tuple[str, str, str] | None = None
    source: str = ""

    @property
    def shown(self) -> str:
        """The place without user and password."""
        return self.folder or without_secrets(self.url)


class Access(NamedTuple):
    """The address of a server and the headers that let us in, as ``git-lfs-authenticate`` gave them."""

    url: str
    headers: Mapping[str, str]


def find_endpoint(location: Location, remote: str | None) -> Endpoint:
    """The place of the LFS objects of a Git remote (None: the usual one). InputError when there is no such remote."""
    own, tracked = _settings(location)
    name = remote or usual_remote(location)
    for setting in ("lfs.url", f"remote.{name}.lfsurl".lower() if name else ""):
        for settings, source in ((own, ""), (tracked, _CONFIG)):
            if settings.get(setting):
                return endpoint_in(_rewritten(location, settings[setting]))._replace(source=source)
    if name is None:
        raise InputError(
            "there is no Git remote whose LFS could be used",
            hint="git remote add origin URL, or git config lfs.url URL",
        )
    url = os.fsdecode(git(location, "remote", "get-url", "--end-of-options", name, check=False)).strip()
    if not url:
        raise InputError(f"no Git remote {name[:80]!r}", hint="git remote -v lists them")
    return _from_clone_url(location, url)


def authenticate(ssh: tuple[str, str, str], operation: str, location: Location) -> Access:
    """Asks over SSH for the server's address and a token. RemoteError when the host doesn't answer."""
    host, port, path = ssh
    environ = clean_environment(os.environ)
    command = os.environ.get("GIT_SSH_COMMAND") or config_value(location, "core.sshCommand")
    words = ["sh", "-c", f'{command} "$@"', command] if command else [os.environ.get("GIT_SSH", "ssh")]
    words += ["-o", "BatchMode=yes", *(("-p", port) if port else ()), "--", host]
    words.append(f"git-lfs-authenticate {shlex.quote(path)} {operation}")
    try:
        answered, told, code = _answer_of(words, environ)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RemoteError(
            f"ssh does not get through: {error}", where=host, hint=f"see that `ssh {host}` works"
        ) from error
    if code:
        said = told.decode("utf-8", "replace").strip().split("\n")[-1][:200]
        raise RemoteError(
            f"git-lfs-authenticate: {said or f'exit status {code}'}",
            where=host,
            hint="the host must offer Git LFS over SSH; else set git config lfs.url",
        )
    access = access_in(answered, host)
    tokens = [value.rpartition(" ")[2] for name, value in access.headers.items() if name.lower() == "authorization"]
    register_secret(*tokens)
    return access


def access_in(said: bytes, host: str) -> Access:
    """The Access that ``git-lfs-authenticate`` said on `host`; RemoteError when it said none."""
    try:
        answer = json.loads(said)
        return Access(address_in(answer["href"], "").rstrip("/"), headers_in(answer.get("header")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RemoteError("git-lfs-authenticate gave no address", where=host, hint="set git config lfs.url") from error


def _answer_of(words: Sequence[str], environ: Mapping[str, str]) -> tuple[bytes, bytes, int]:
    """(stdout, stderr, exit status) of a command that says little, and soon; TimeoutError when it does not."""
    said = {"out": b"", "err": b""}
    end = time.monotonic() + _ANSWERED
    with (
        subprocess.Popen(
            words,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
        selectors.DefaultSelector() as waiting,
    ):
        try:
            waiting.register(process.stdout, selectors.EVENT_READ, "out")  # type: ignore[arg-type]
            waiting.register(process.stderr, selectors.EVENT_READ, "err")  # type: ignore[arg-type]
            while waiting.get_map():
                for key, _ in waiting.select(max(0.0, end - time.monotonic())):
                    chunk = os.read(key.fd, 1 << 16)
                    said[key.data] += chunk
                    if not chunk:
                        waiting.unregister(key.fileobj)
                if time.monotonic() >= end or max(map(len, said.values())) > _SAID:
                    raise TimeoutError("it says too much, or nothing for a minute")
            return said["out"], said["err"], process.wait(max(0.0, end - time.monotonic()))
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _settings(location: Location) -> tuple[dict[str, str], dict[str, str]]:
    """``lfs.url`` and ``remote.*.lfsurl``: of the user's configuration, and of `.lfsconfig`, of which nothing else counts."""
    pattern = ("--get-regexp", r"^(lfs\.url|remote\..*\.lfsurl)$")
    own = config_items(location, *pattern)
    content = read_worktree_file(location, _CONFIG)
    if location.worktree is None:
        tracked = config_items(location, "--no-includes", f"--blob=HEAD:{_CONFIG}", *pattern)
    elif content is None:
        tracked = []
    elif len(content) > _SAID:
        raise InputError(f"more than {_SAID >> 10} KiB", where=_CONFIG, hint="it says where the LFS server is, no more")
    else:
        tracked = config_items(location, "--no-includes", "-f", "-", *pattern, input=content)
    mine, theirs = ({name.lower(): value.strip() for name, value in items if value} for items in (own, tracked))
    return mine, theirs


def _rewritten(location: Location, url: str) -> str:
    """`url` after ``url.<base>.insteadOf``."""
    said = git(location, "ls-remote", "--get-url", "--end-of-options", url, check=False)
    return os.fsdecode(said).strip() or url


def endpoint_in(url: str) -> Endpoint:
    """The endpoint that a setting names, as it was written; InputError for what is no address."""
    try:
        parts = urlsplit(url)
        if url.startswith("file://"):
            return Endpoint(url, folder=unquote(parts.path))
        plain = "://" not in url or (_SERVER.match(url) is not None and url.isprintable())
        of_web = plain and url.startswith(("http://", "https://")) and parts.hostname
        if of_web and (parts.port is None or parts.port > 0):
            return Endpoint(url.rstrip("/"))
    except ValueError:  # a port or an address that is none
        plain = False
    ssh = _ssh(url) if plain else None
    if ssh is None:
        raise InputError(
            f"not the URL of an LFS server: {without_secrets(url)[:80]!r}", hint="git config lfs.url https://…"
        )
    return Endpoint(url, ssh=ssh)


def _from_clone_url(location: Location, url: str) -> Endpoint:
    """The endpoint that goes with the URL of a repository."""
    if url.startswith(("http://", "https://")):
        bare = url.rstrip("/")
        return Endpoint(f"{bare}/info/lfs" if bare.endswith(".git") else f"{bare}.git/info/lfs")
    path = unquote(urlsplit(url).path) if url.startswith("file://") else url
    if url.startswith("file://") or "://" not in url:
        if not os.path.isabs(path):
            path = os.path.join(location.folder, path)
        if os.path.isdir(path) or url.startswith("file://"):
            inner = os.path.join(path, ".git")
            return Endpoint(url, folder=os.path.join(os.path.realpath(inner if os.path.isdir(inner) else path), "lfs"))
    ssh = _ssh(url)
    if ssh is None:
        raise InputError(f"no LFS server goes with {without_secrets(url)[:80]!r}", hint="git config lfs.url https://…")
    return Endpoint(url, ssh=ssh)


def _ssh(url: str) -> tuple[str, str, str] | None:
    """(user@host, port, path) of an SSH address; None for any other."""
    if url.startswith(("ssh://", "git+ssh://", "ssh+git://")):
        try:
            parts = urlsplit(url)
            port = str(parts.port or "")
        except ValueError:
            return None
        host = parts.hostname or ""
        user = f"{parts.username}@" if parts.username else ""
        found = f"{user}{host}", port, unquote(parts.path).removeprefix("/~/").removeprefix("/")
    elif "://" not in url and (match := _SCP.match(url)) is not None:
        user = f"{match['user']}@" if match["user"] else ""
        found = f"{user}{match['host']}", "", match["path"].removeprefix("/")
    else:
        return None
    if not _HOST.match(found[0]):
        return None
    return found
