"""HTTP for Git LFS, on urllib3 as the user's Git is set up: proxies, certificates, extra headers, credentials when asked for.

dulwich has a client for Git LFS too. It holds each object in memory whole, asks for one at a time, and knows neither Git's
credential helpers nor SSH, ranges or tokens that run out: so gitml has its own.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import urllib3

from gitml import __version__
from gitml.errors import InputError, RemoteError, TrustError
from gitml.git.command import Location, config_value, config_values
from gitml.git.credentials import Credential, ask, http_settings, tell
from gitml.git.lfs.http_limits import AddressPolicy, Watchdog, address_in, bound, origin_of
from gitml.git.log.remote_refs import without_secrets

MEDIA = "application/vnd.git-lfs+json"
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


def json_in(content: bytes) -> Any:
    """The JSON of an answer, None when it is none."""
    try:
        return json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None


class Http:
    """Requests to servers for one repository. Safe to use from several threads.

    `home` is the host that the place was named by: it, and what is as near as it, is where we may be sent.
    """

    def __init__(self, location: Location, url: str, connections: int, home: str | None = None) -> None:
        self._location = location
        try:
            self._home = origin_of(url)
        except ValueError as error:
            raise InputError("not the URL of an LFS server", where=without_secrets(url)[:200]) from error
        allowed = config_values(location, "--get-all", "gitml.allowHref")
        self._reach = AddressPolicy(home or urlsplit(url).hostname or "", allowed)
        self._watchdog = Watchdog(_idle(location))
        self._pool = _pool(location, url, connections, self._watchdog.idle)
        bound(self._pool, self._reach, self._watchdog)
        self._extra = _extra_headers(location, url)
        self._host = self._home[1]
        self._url = url
        self._credential: Credential | None = None
        self._approved: Credential | None = None
        self._waited = 0.0
        self._lock = threading.Lock()

    def json(self, url: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[int, Any]:
        """Posts JSON, gives the status and the JSON of the answer (None when it is none). Retries while the server is busy.

        RemoteError for an answer that is larger than any server's.
        """
        data = json.dumps(body).encode()
        sent = {"Accept": MEDIA, "Content-Type": MEDIA, **headers}
        response = self.request("POST", url, sent, lambda: data)
        content = self._answer(url, response)
        return response.status, json_in(content)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], Any] = lambda: None,
        *,
        credentials: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """One request; its answer is still to be read. With credentials where the server asks for them.

        Without `credentials` they are sent only once it has asked: an address may let us in by itself.

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
            if response.status == 401 and "Authorization" not in headers and tries < _TRIES:
                drop(response)
                if credentials or self._credential is None:
                    self._log_in(url, sent.get("Authorization"))
                credentials = True
            elif response.status in _BUSY and tries < _TRIES and self._waited < _PATIENCE:
                drop(response)
                pause = _seconds(response.headers.get("Retry-After")) or 0.5 * tries
                with self._lock:
                    self._waited += pause
                time.sleep(pause)
            elif response.status in _REDIRECTS and method != "PUT" and "Location" in response.headers:
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

    def _answer(self, url: str, response: urllib3.BaseHTTPResponse) -> bytes:
        """All of an answer that is no object."""
        content = b""
        with closing(self.chunks(url, response, at_once=True)) as chunks:
            for chunk in chunks:
                content += chunk
                if len(content) > _LARGEST:
                    raise RemoteError("the LFS server's answer is too large", where=self._host)
        return content

    def unreachable(self, url: str, error: Exception) -> RemoteError:
        """The error for a connection that can't be made, or broke; without what the URL may hold of secrets."""
        parts = urlsplit(url)
        reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason else error
        kind = "it is too slow" if isinstance(reason, TimeoutError) else type(reason).__name__.removesuffix("Error")
        return RemoteError(
            f"the LFS server can't be reached, or the connection broke: {kind}",
            where=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200],
            hint="see the network and `git config lfs.url`, then try again: what has arrived is kept",
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
            sent.update(self._extra)
            if self._credential is not None and "Authorization" not in sent:
                sent["Authorization"] = self._credential.header
            if not credentials:
                sent.pop("Authorization", None)
        sent.update(headers)
        return sent

    def _log_in(self, url: str, sent: str | None) -> None:
        """Gets a credential after a 401; TrustError when the one that was sent is refused and there is no other."""
        with self._lock:
            if origin_of(url) != self._home:
                raise TrustError(
                    "the server of the objects wants credentials of its own", where=origin_of(url)[1][:100]
                )
            if self._credential is not None:
                if sent != self._credential.header:
                    return  # another thread logged in meanwhile
                tell(self._location, self._credential, good=False)
                self._credential = None
                raise TrustError(
                    "the LFS server refuses the user and password", where=self._host, hint="git fetch once"
                )
            if sent is not None:
                raise TrustError(
                    "the LFS server refuses what http.extraHeader says", where=self._host, hint="fix it, or remove it"
                )
            self._credential = ask(self._location, self._url)

    def accepted(self) -> None:
        """Says that the server let us in: the user's helpers may keep the credential."""
        with self._lock:
            if self._credential is not None and self._approved is not self._credential:
                self._approved = self._credential
                tell(self._location, self._credential, good=True)


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


def _idle(location: Location) -> float:
    """Seconds that a server may give nothing: ``lfs.activitytimeout`` of the user, as git-lfs has it, else a minute."""
    said = config_value(location, "lfs.activitytimeout")
    return float(said) if said.isdecimal() and 0 < int(said) <= 3600 else 60.0


def _seconds(text: str | None) -> float:
    """Seconds of a ``Retry-After``, half a minute at most; 0 for what is none."""
    return min(float(text), 30.0) if text is not None and re.fullmatch(r"[0-9]{1,6}", text) else 0.0


def _extra_headers(location: Location, url: str) -> dict[str, str]:
    found = {}
    for line in http_settings(location, url).get("extraheader", ()):
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip().title() if name.strip().lower() == "authorization" else name.strip()] = value.strip()
    return found


def _pool(location: Location, url: str, connections: int, idle: float) -> urllib3.PoolManager:
    """Connections by the user's settings for this server."""
    from urllib.request import getproxies, proxy_bypass

    settings = {name: values[-1] for name, values in http_settings(location, url).items()}
    options: dict[str, Any] = {"maxsize": connections, "timeout": urllib3.Timeout(connect=10, read=idle)}
    if settings.get("sslverify", "").lower() in ("false", "0", "no", "off"):
        urllib3.disable_warnings()
        options["cert_reqs"] = "CERT_NONE"
    if settings.get("sslcainfo"):
        options["ca_certs"] = os.path.expanduser(settings["sslcainfo"])
    if settings.get("sslcert"):
        options["cert_file"] = os.path.expanduser(settings["sslcert"])
    if settings.get("sslkey"):
        options["key_file"] = os.path.expanduser(settings["sslkey"])
    parts = urlsplit(url)
    proxy = settings.get("proxy")
    if proxy is None and not proxy_bypass(parts.hostname or ""):
        proxy = getproxies().get(parts.scheme)
    if not proxy:
        return urllib3.PoolManager(**options)
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise RemoteError(
            "only http proxies can be used for LFS", where=without_secrets(proxy), hint="git config http.proxy"
        )
    user = urlsplit(proxy)
    if user.username is not None:
        secret = f"{user.username}:{user.password or ''}"
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=secret)
    return urllib3.ProxyManager(proxy, **options)
