"""Requests by urllib3 that follow redirects, wait for busy servers, and let no server see what lets us in at another.

urllib3 follows redirects itself, but to any address, and reads answers of any length however slowly they come.
"""

from __future__ import annotations

import json
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3

from gitml import __version__
from gitml.errors import InputError, RemoteError, TrustError
from gitml.http.limits import AddressPolicy, Watchdog, address_in, bound, origin_of

CHUNK = 1 << 20
_TRIES = 4
_HOPS = 5
_LARGEST = 2 << 20  # bytes of an answer that is not an object: a hundred objects with 20 KiB each
_LITTLE = 64 << 10  # bytes of an answer that are read for the sake of its connection
_DRAINING = 5.0
_PATIENCE = 60.0  # seconds of pauses, all together, that servers which are busy are waited for
_BUSY = (429, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)
_ONCE = urllib3.Retry(total=0, connect=0, read=0, redirect=0, status=0, other=0, raise_on_redirect=False)
_HARMLESS = ("Accept", "Content-Type", "Range")


class HttpServer(NamedTuple):
    """A server in the words of errors: `noun` is what it is, `hint` what to do where it can't be reached."""

    noun: str
    hint: str


class HttpClient(ABC):
    """Requests that begin at one server. Safe to use from several threads.

    The server at `url` is where credentials go; `policy` is where it may send us. Nothing may come for `idle` seconds.
    """

    def __init__(
        self, url: str, pool: urllib3.PoolManager, policy: AddressPolicy, idle: float, server: HttpServer
    ) -> None:
        try:
            self._home = origin_of(url)
        except ValueError as error:
            raise InputError(f"not the URL of {server.noun}", where=shown(url)[:200]) from error
        self._server = server
        self._reach = policy
        self._watchdog = Watchdog(idle)
        self._pool = pool
        bound(self._pool, self._reach, self._watchdog)
        self._host = self._home[1]
        self._url = url
        self._waited = 0.0
        self._lock = threading.Lock()

    @abstractmethod
    def _access(self) -> Mapping[str, str]:
        """The headers that let us in at the server, as far as they are known."""

    @abstractmethod
    def _log_in(self, url: str, challenge: Mapping[str, str], sent: str | None) -> None:
        """Has `_access` know more, after a 401 with the headers `challenge` to a request that had `sent` for Authorization.

        TrustError where there is nothing more that could let us in.
        """

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], Any] = lambda: None,
        *,
        credentials: bool = True,
        log_in: bool = True,
        follow: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """One request; its answer is still to be read. With credentials where the server asks for them.

        Without `credentials` they are sent only once it has asked: an address may let us in by itself. Without `log_in` a 401 is
        an answer as any other, without `follow` so is a redirection.

        RemoteError when it can't be reached, TrustError when credentials are missing or refused, or it sends us where it may not.
        """
        tries = hops = 0
        while True:
            tries += 1
            self._check(url)
            sent = self._with_access(url, headers, credentials)
            try:
                response = self._pool.request(
                    method, url, body=body(), headers=sent, preload_content=False, redirect=False, retries=_ONCE,
                    decode_content=False,
                )  # fmt: skip
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise self.unreachable(url, error) from error
            if log_in and response.status == 401 and "Authorization" not in headers and tries < _TRIES:
                challenge = response.headers
                drop(response)
                if credentials or "Authorization" not in self._access():
                    self._log_in(url, challenge, sent.get("Authorization"))
                credentials = True
            elif response.status in _BUSY and tries < _TRIES and self._waited < _PATIENCE:
                drop(response)
                pause = _seconds(response.headers.get("Retry-After")) or 0.5 * tries
                with self._lock:
                    self._waited += pause
                time.sleep(pause)
            elif follow and response.status in _REDIRECTS and method != "PUT" and "Location" in response.headers:
                drop(response)
                hops += 1
                if hops > _HOPS:
                    raise RemoteError("the server sends us from one address to the next", where=self._host)
                target = _joined(url, response.headers["Location"], self._host)
                if origin_of(target) != origin_of(url):  # what lets us in at one host is no other's business
                    headers = {name: value for name, value in headers.items() if name in _HARMLESS}
                if response.status == 303:
                    method, body = "GET", lambda: None
                url = target
            else:
                return response

    def chunks(
        self, url: str, response: urllib3.BaseHTTPResponse, *, at_once: bool = False
    ) -> Generator[bytes, None, None]:
        """The bytes of an answer; RemoteError when the connection breaks, or gives next to nothing for long.

        `at_once`: all of it must come in twice the idle time.
        """
        handle = response.handle  # type: ignore[attr-defined]
        self._watchdog.arm(handle, 2 * self._watchdog.idle)
        whole = False
        try:
            while chunk := response.read1(CHUNK, decode_content=False):
                if at_once:
                    yield chunk
                    continue
                left = self._watchdog.heard(handle, len(chunk))
                yield chunk
                self._watchdog.go_on(handle, left)
            whole = not handle.was_cut
            if handle.was_cut:
                raise self.unreachable(url, TimeoutError())
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self.unreachable(url, TimeoutError() if handle.was_cut else error) from error
        finally:
            self._watchdog.disarm(handle)
            if whole:
                response.release_conn()
            else:
                end(response)

    def answer(self, url: str, response: urllib3.BaseHTTPResponse) -> bytes:
        """All of an answer that is no object; RemoteError for one that is larger than any server's."""
        content = b""
        with closing(self.chunks(url, response, at_once=True)) as chunks:
            for chunk in chunks:
                content += chunk
                if len(content) > _LARGEST:
                    raise RemoteError(f"the answer of {self._server.noun} is too large", where=self._host)
        return content

    def unreachable(self, url: str, error: Exception) -> RemoteError:
        """The error for a connection that can't be made, or broke; without what the URL may hold of secrets."""
        parts = urlsplit(url)
        reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason else error
        cause = reason.__cause__
        if isinstance(reason, TimeoutError):
            kind = "it is too slow"
        elif isinstance(cause, OSError) and cause.strerror:
            kind = cause.strerror.lower()
        else:
            kind = type(reason).__name__.removesuffix("Error")
        return RemoteError(
            f"{self._server.noun} can't be reached, or the connection broke: {kind}",
            where=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200],
            hint=self._server.hint,
        )

    def close(self) -> None:
        """Ends connections."""
        self._pool.clear()

    def _check(self, url: str) -> None:
        """RemoteError or TrustError for an address that we may not be sent to."""
        scheme, host = origin_of(url)
        if scheme not in ("http", "https") or not host:
            raise RemoteError("the server names an address that is not http", where=self._host)
        if scheme == "http" and self._home[0] == "https":
            raise TrustError(
                "the server speaks https and sends us to an address without it", where=host[:100], hint="ask its owner"
            )
        if isinstance(self._pool, urllib3.ProxyManager):  # else when the connection is made
            self._reach.check_name(urlsplit(url).hostname or "")

    def _with_access(self, url: str, headers: Mapping[str, str], credentials: bool) -> dict[str, str]:
        sent = {"User-Agent": f"gitml/{__version__}", "Accept-Encoding": "identity"}
        if origin_of(url) == self._home:  # what lets us in at one host is no other's business
            sent.update(self._access())
            if not credentials:
                sent.pop("Authorization", None)
        sent.update(headers)
        return sent


def connection_pool(url: str, options: Mapping[str, Any], proxy: str | None = None) -> urllib3.PoolManager:
    """Connections to the server at `url`, through `proxy`, or else (None) that of the environment; `options` are of urllib3.

    RemoteError for a proxy of another kind than http.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy is None and not proxy_bypass(parts.hostname or ""):
        proxy = getproxies().get(parts.scheme)
    if not proxy:
        return urllib3.PoolManager(**options)
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        hint = "git config http.proxy, or HTTPS_PROXY"
        raise RemoteError("only http proxies can be used here", where=shown(proxy), hint=hint)
    user = urlsplit(proxy)
    given = dict(options)
    if user.username is not None:
        secret = f"{user.username}:{user.password or ''}"
        given["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=secret)
    return urllib3.ProxyManager(proxy, **given)


def json_in(content: bytes) -> Any:
    """The JSON of an answer, None when it is none."""
    try:
        return json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None


def shown(url: str) -> str:
    """A URL without user and password."""
    return re.sub(r"(?<=//)[^/\s]*@", "", url)


def drop(response: urllib3.BaseHTTPResponse) -> None:
    """Reads what little is left of an answer, so that its connection can be used again; of a longer one it is closed."""
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) <= _LITTLE:
        handle = response.handle  # type: ignore[attr-defined]
        handle.watchdog.arm(handle, _DRAINING)
        try:
            response.drain_conn()
            response.release_conn()
        finally:
            handle.watchdog.disarm(handle)
    else:
        end(response)


def end(response: urllib3.BaseHTTPResponse) -> None:
    """Closes the connection of an answer, whatever more of it would come."""
    response.close()
    response.handle.end()  # type: ignore[attr-defined]


def _joined(url: str, target: str, where: str) -> str:
    try:
        return address_in(target, url)
    except ValueError as error:
        raise RemoteError("the server sends us to an address that is none", where=where) from error


def _seconds(text: str | None) -> float:
    """Seconds of a ``Retry-After``, half a minute at most; 0 for what is none."""
    return min(float(text), 30.0) if text is not None and re.fullmatch(r"[0-9]{1,6}", text) else 0.0
