"""HTTP for Git LFS, on urllib3 as the user's Git is set up: proxies, certificates, extra headers, credentials when asked for.

dulwich has a client for Git LFS too. It holds each object in memory whole, asks for one at a time, and knows neither Git's
credential helpers nor SSH, ranges or tokens that run out: so gitml has its own.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3

from gitml import __version__
from gitml.errors import RemoteError, TrustError
from gitml.repo.credentials import Credential, approve, ask, http_settings, reject
from gitml.repo.git import Location
from gitml.repo.lfsplace import without_secrets

MEDIA = "application/vnd.git-lfs+json"
CHUNK = 1 << 20
_TRIES = 4
_LARGEST = 64 << 20  # bytes of an answer that is not an object
_BUSY = (429, 502, 503, 504)


class Http:
    """Requests to servers for one repository. Safe to use from several threads."""

    def __init__(self, location: Location, url: str, connections: int) -> None:
        self._location = location
        self._pool = _pool(location, url, connections)
        self._extra = _extra_headers(location, url)
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._url = url
        self._credential: Credential | None = None
        self._approved: Credential | None = None
        self._lock = threading.Lock()

    def json(self, url: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[int, Any]:
        """Posts JSON, gives the status and the JSON of the answer (None when it is none). Retries while the server is busy."""
        data = json.dumps(body).encode()
        sent = {"Accept": MEDIA, "Content-Type": MEDIA, **headers}
        response = self.request("POST", url, sent, lambda: data)
        try:
            content = response.read(_LARGEST)
        except urllib3.exceptions.HTTPError as error:
            raise self.unreachable(url, error) from error
        finally:
            response.release_conn()
        try:
            return response.status, json.loads(content) if content else None
        except ValueError:
            return response.status, None

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

        RemoteError when it can't be reached, TrustError when credentials are missing or refused.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise RemoteError("the server names an address that is not http", where=self._host)
        tries = 0
        while True:
            tries += 1
            sent = self._with_access(url, headers, credentials)
            try:
                response = self._pool.request(
                    method, url, body=body(), headers=sent, preload_content=False, retries=_redirects(method),
                    decode_content=False,
                )  # fmt: skip
            except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
                raise self.unreachable(url, error) from error
            if response.status == 401 and "Authorization" not in headers and tries < _TRIES:
                response.drain_conn()
                if credentials or self._credential is None:
                    self._log_in(url, sent.get("Authorization"))
                credentials = True
            elif response.status in _BUSY and tries < _TRIES:
                response.drain_conn()
                time.sleep(min(_seconds(response.headers.get("Retry-After")), 30.0) or 0.5 * tries)
            else:
                return response

    def chunks(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """The bytes of an answer; RemoteError when the connection breaks."""
        try:
            yield from response.stream(CHUNK, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise self.unreachable(url, error) from error
        finally:
            response.close()

    def unreachable(self, url: str, error: Exception) -> RemoteError:
        """The error for a connection that can't be made, or broke; without what the URL may hold of secrets."""
        parts = urlsplit(url)
        reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason else error
        kind = type(reason).__name__.removesuffix("Error")
        return RemoteError(
            f"the LFS server can't be reached, or the connection broke: {kind}",
            where=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            hint="see the network and `git config lfs.url`, then try again: what has arrived is kept",
        )

    def close(self) -> None:
        """Ends connections."""
        self._pool.clear()

    def _with_access(self, url: str, headers: Mapping[str, str], credentials: bool) -> dict[str, str]:
        sent = {"User-Agent": f"gitml/{__version__}", "Accept-Encoding": "identity"}
        if urlsplit(url).netloc.rpartition("@")[2] == self._host:  # what lets us in at one host is no other's business
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
            if self._credential is not None:
                if sent != self._credential.header:
                    return  # another thread logged in meanwhile
                reject(self._location, self._credential)
                self._credential = None
                raise TrustError(
                    "the LFS server refuses the user and password", where=self._host, hint="git fetch once"
                )
            if sent is not None:
                raise TrustError(
                    "the LFS server refuses what http.extraHeader says", where=self._host, hint="mend it, or remove it"
                )
            if urlsplit(url).netloc.rpartition("@")[2] != self._host:
                raise TrustError("the server of the objects wants credentials of its own", where=urlsplit(url).netloc)
            self._credential = ask(self._location, self._url)

    def accepted(self) -> None:
        """Says that the server let us in: the user's helpers may keep the credential."""
        with self._lock:
            if self._credential is not None and self._approved is not self._credential:
                self._approved = self._credential
                approve(self._location, self._credential)


def _redirects(method: str) -> urllib3.Retry:
    follow = 5 if method in ("GET", "POST") else 0
    return urllib3.Retry(total=follow, connect=0, read=0, status=0, other=0, redirect=follow, raise_on_redirect=False)


def _seconds(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _extra_headers(location: Location, url: str) -> dict[str, str]:
    found = {}
    for line in http_settings(location, url).get("extraheader", ()):
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip().title() if name.strip().lower() == "authorization" else name.strip()] = value.strip()
    return found


def _pool(location: Location, url: str, connections: int) -> urllib3.PoolManager:
    """Connections by the user's settings for this server."""
    from urllib.request import getproxies, proxy_bypass

    settings = {name: values[-1] for name, values in http_settings(location, url).items()}
    options: dict[str, Any] = {"maxsize": connections, "timeout": urllib3.Timeout(connect=10, read=60)}
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
