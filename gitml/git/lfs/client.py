"""A Git LFS server as a place of objects: the batch API with its `basic` transfers, many objects a question."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO, FileIO
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gitml.core.config.remotes import RemoteSpec, StoredObject
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.protocols import Download
from gitml.errors import GitmlError, Guard, IntegrityError, RemoteError, TrustError
from gitml.git.command import Location
from gitml.git.lfs.endpoint import Endpoint, authenticate
from gitml.git.lfs.http import LfsHttp
from gitml.git.log.remote_refs import without_secrets
from gitml.http.client import CHUNK, drop
from gitml.http.limits import address_in, headers_in

_BATCH = 100
_EARLY = 30.0  # seconds before an action runs out in which it isn't begun any more
_GONE = (404, 410)


class _Action(NamedTuple):
    href: str
    headers: Mapping[str, str]
    until: float


class _Actions(NamedTuple):
    """What a server lets be done with an object: `main` is its up- or download, `verify` is to be called after an upload."""

    main: _Action
    verify: _Action | None


class LfsClient:
    """The LFS server at an Endpoint. Its addresses and tokens are kept in memory, and asked for again when they run out."""

    parallel = 6

    def __init__(self, spec: RemoteSpec, location: Location, endpoint: Endpoint) -> None:
        self.name = spec.name
        self.place = without_secrets(endpoint.url)
        self.identity = spec.identity
        self._location = location
        self._endpoint = endpoint
        self._http: LfsHttp | None = None
        self._base: dict[str, tuple[str, Mapping[str, str]]] = {}
        self._actions: dict[tuple[str, Digest], _Actions] = {}
        self._lock = threading.Lock()

    def present(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these are there in that size."""
        self._ask("download", wanted)
        with self._lock:
            return {item.digest for item in wanted if ("download", item.digest) in self._actions}

    def lacking(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these are to be uploaded."""
        self._ask("upload", wanted)
        with self._lock:
            return {item.digest for item in wanted if ("upload", item.digest) in self._actions}

    def expect(self, wanted: Sequence[StoredObject]) -> None:
        """Asks for the addresses of what will be got, a hundred at once."""
        now = time.time()
        with self._lock:
            asked = [item for item in wanted if not self._is_fresh(self._actions.get(("download", item.digest)), now)]
        self._ask("download", asked)

    def put(self, item: StoredObject, source: str | bytes, moved: Callable[[int], None]) -> None:
        """Uploads a file or bytes, hashed before a byte of it is sent."""
        before = _checked(item, source)
        for renew in (False, True):
            actions = self._action("upload", item, renew=renew)
            if actions is None:
                moved(item.size)
                return  # the server has it
            sent = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(item.size),
                **actions.main.headers,
            }
            count = 0

            def counted(size: int) -> None:
                nonlocal count
                count += size
                moved(size)

            href = actions.main.href
            response = self._open().request("PUT", href, sent, partial(_body, source, counted))
            drop(response)
            if response.status < 300:
                break
            if renew or response.status not in (401, 403, 410):
                raise self._refused(response.status, None, "upload")
            moved(-count)
        if _moment(source) != before:
            raise IntegrityError(f"{item.digest[:19]}… was changed while it was uploaded", hint="gitml fsck --repair")
        if actions is not None and (verify := actions.verify) is not None:
            asked = {"oid": hex_of(item.digest), "size": item.size}
            status, answer = self._open().json(verify.href, verify.headers, asked)
            if status >= 300:
                raise self._refused(status, answer, "verify")
        with self._lock:
            self._actions.pop(("upload", item.digest), None)

    def get(self, item: StoredObject, start: int = 0) -> Download:
        """The object's bytes, from `start` on where the server can."""
        for renew in (False, True):
            actions = self._action("download", item, renew=renew)
            if actions is None:
                break
            headers = dict(actions.main.headers)
            if start:
                headers["Range"] = f"bytes={start}-"
            http = self._open()
            response = http.request("GET", actions.main.href, headers, credentials=False)
            if response.status in (200, 206):
                begun = start if response.status == 206 else 0
                return Download(begun, http.chunks(actions.main.href, response))
            drop(response)
            if response.status == 416:
                return Download(start, iter(()))
            if response.status in _GONE:
                break
            if response.status not in (401, 403) or renew:
                raise self._refused(response.status, None, "download")
        raise IntegrityError(
            f"{item.digest[:19]}… is not there", where=self.place, hint=f"gitml fsck --remote {self.name} --repair"
        )

    def close(self) -> None:
        """Ends connections."""
        if self._http is not None:
            self._http.close()

    # The batch API

    def _action(self, operation: str, item: StoredObject, *, renew: bool = False) -> _Actions | None:
        """What may be done with one object, asked for unless it is known and lasts; None: nothing needs, or can, be done."""
        with self._lock:
            known = None if renew else self._actions.get((operation, item.digest))
        if self._is_fresh(known, time.time()):
            return known
        self._ask(operation, [item])
        with self._lock:
            return self._actions.get((operation, item.digest))

    def _is_fresh(self, actions: _Actions | None, now: float) -> bool:
        return actions is not None and actions.main.until - _EARLY > now

    def _ask(self, operation: str, items: Sequence[StoredObject]) -> None:
        size = _BATCH
        begin = 0
        while begin < len(items):
            part = items[begin : begin + size]
            status, answer = self._post(operation, part)
            if status == 413 and size > 1:  # too much at once for this server
                size = max(1, size // 4)
                continue
            self._take(operation, part, status, answer)
            begin += len(part)

    def _post(self, operation: str, items: Sequence[StoredObject]) -> tuple[int, Any]:
        base, headers = self._address(operation)
        body = {
            "operation": operation,
            "transfers": ["basic"],
            "hash_algo": "sha256",
            "objects": [{"oid": hex_of(item.digest), "size": item.size} for item in items],
        }
        return self._open(base).json(f"{base}/objects/batch", headers, body)

    def _take(self, operation: str, items: Sequence[StoredObject], status: int, answer: Any) -> None:
        with self._lock:
            for item in items:
                self._actions.pop((operation, item.digest), None)
        if not isinstance(answer, dict) or status >= 300 or not isinstance(answer.get("objects"), list):
            # Some servers answer so when they have none of the objects that were asked for.
            told = str(answer.get("message", "")) if isinstance(answer, dict) else ""
            if operation == "download" and status in (404, 422) and "object" in told.lower():
                return
            raise self._refused(status, answer, operation)
        if answer.get("transfer", "basic") != "basic":
            raise RemoteError("the LFS server wants another kind of transfer than 'basic'", where=self.place)
        self._open().accepted()
        asked = {item.digest for item in items}
        for raw in answer["objects"]:
            try:
                digest = from_hex(raw["oid"])
                if digest not in asked:
                    continue
                error = raw.get("error")
                code = int(error.get("code", 0)) if error else 0
                actions = None if error else self._actions_in(raw.get("actions") or {}, operation)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as problem:
                raise RemoteError(
                    f"the LFS server's answer can't be read: {problem!r}"[:200], where=self.place
                ) from problem
            if error and not (operation == "download" and code in (404, 410, 422)):
                raise self._refused(code, error, operation)
            if actions is not None:
                with self._lock:
                    self._actions[operation, digest] = actions

    def _actions_in(self, raw: Mapping[str, Any], operation: str) -> _Actions | None:
        if operation not in raw:
            return None
        verify = raw.get("verify")
        return _Actions(self._one(raw[operation]), self._one(verify) if verify else None)

    def _one(self, raw: Mapping[str, Any]) -> _Action:
        until = time.time() + 3600.0
        if raw.get("expires_in"):
            until = time.time() + float(raw["expires_in"])
        elif raw.get("expires_at"):
            from datetime import datetime

            until = datetime.fromisoformat(str(raw["expires_at"]).replace("Z", "+00:00")).timestamp()
        return _Action(address_in(raw["href"], self._address_known()), headers_in(raw.get("header")), until)

    # Where and as whom

    def _address(self, operation: str) -> tuple[str, Mapping[str, str]]:
        """The server's address and the headers that let us in there."""
        if self._endpoint.ssh is None:
            return self._endpoint.url, {}
        with self._lock:
            if operation not in self._base:
                access = authenticate(self._endpoint.ssh, operation, self._location)
                self._base[operation] = access.url, access.headers
            return self._base[operation]

    def _address_known(self) -> str:
        return next(iter(self._base.values()))[0] if self._base else self._endpoint.url

    def _open(self, base: str | None = None) -> LfsHttp:
        with self._lock:
            if self._http is None:
                ssh = self._endpoint.ssh
                home = None if ssh is None else urlsplit(f"//{ssh[0]}").hostname
                self._http = LfsHttp(self._location, base or self._endpoint.url, self.parallel + 2, home)
            return self._http

    def _refused(self, status: int, answer: Any, operation: str) -> GitmlError:
        told = str(answer.get("message", "")) if isinstance(answer, dict) else ""
        words = f": {' '.join(told.split())[:200]}" if told else ""
        if status in (401, 403):
            with self._lock:
                self._base.clear()
            what = f"the LFS server does not allow the {operation}{words}"
            return TrustError(what, where=self.place, hint="see your rights there; `git push` uses the same")
        if status == 404:
            return RemoteError(
                f"there is no LFS server, or no such repository{words}",
                where=self.place,
                hint="switch LFS on at the host, or set git config lfs.url",
            )
        if status in (507, 509, 413):
            return RemoteError(f"the LFS server has no room{words}", where=self.place, hint="see its quota")
        return RemoteError(f"the LFS server answers {status}{words}", where=self.place, hint="try again later")


def _checked(item: StoredObject, source: str | bytes) -> tuple[int, ...]:
    """Hashes what is to be sent; IntegrityError when it is not what its name says. Returns what shows a later change."""
    before = _moment(source)
    with Guard(source if isinstance(source, str) else item.digest, _UNREADABLE), _reading(source) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != hex_of(item.digest):
        raise IntegrityError(
            f"{item.digest[:19]}… is damaged: its content is sha256:{found}", hint="gitml fsck --repair"
        )
    return before


def _moment(source: str | bytes) -> tuple[int, ...]:
    if isinstance(source, bytes):
        return ()
    with Guard(source, _UNREADABLE):
        try:
            found = os.stat(source)
        except FileNotFoundError as error:
            what = "an object is gone from this machine"
            raise IntegrityError(what, where=source, hint="gitml fsck --repair") from error
    return found.st_ino, found.st_size, found.st_mtime_ns


def _body(source: str | bytes, moved: Callable[[int], None]) -> Iterator[bytes]:
    with _reading(source) as file:
        while chunk := file.read(CHUNK):
            yield chunk
            moved(len(chunk))


def _reading(source: str | bytes) -> BytesIO | FileIO:
    return BytesIO(source) if isinstance(source, bytes) else FileIO(source)


_UNREADABLE = "an object can't be read"
