"""HTTP for Git LFS, as the user's Git is set up: proxies, certificates, extra headers, credentials when asked for.

dulwich has a client for Git LFS too. It holds each object in memory whole, asks for one at a time, and knows neither Git's
credential helpers nor SSH, ranges or tokens that run out: so gitml has its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3

from gitml.errors import TrustError
from gitml.git.command import Location, config_value, config_values
from gitml.git.credentials import Credential, ask, http_settings, tell
from gitml.http.client import HttpClient, HttpServer, connection_pool, json_in
from gitml.http.limits import AddressPolicy, origin_of

MEDIA = "application/vnd.git-lfs+json"
_SERVER = HttpServer(
    "the LFS server", "see the network and `git config lfs.url`, then try again: what has arrived is kept"
)


class LfsHttp(HttpClient):
    """Requests to servers for one repository. Safe to use from several threads.

    `home` is the host that the place was named by: it, and what is as near as it, is where we may be sent.
    """

    def __init__(self, location: Location, url: str, connections: int, home: str | None = None) -> None:
        self._location = location
        idle = _idle(location)
        allowed = config_values(location, "--get-all", "gitml.allowHref")
        policy = AddressPolicy(home or urlsplit(url).hostname or "", allowed)
        super().__init__(url, _pool(location, url, connections, idle), policy, idle, _SERVER)
        self._extra = _extra_headers(location, url)
        self._credential: Credential | None = None
        self._approved: Credential | None = None

    def json(self, url: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[int, Any]:
        """Posts JSON, gives the status and the JSON of the answer (None when it is none). Retries while the server is busy.

        RemoteError for an answer that is larger than any server's.
        """
        data = json.dumps(body).encode()
        sent = {"Accept": MEDIA, "Content-Type": MEDIA, **headers}
        response = self.request("POST", url, sent, lambda: data)
        content = self.answer(url, response)
        return response.status, json_in(content)

    def _access(self) -> Mapping[str, str]:
        if self._credential is None or "Authorization" in self._extra:
            return self._extra
        return {**self._extra, "Authorization": self._credential.header}

    def _log_in(self, url: str, challenge: Mapping[str, str], sent: str | None) -> None:
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


def _idle(location: Location) -> float:
    """Seconds that a server may give nothing: ``lfs.activitytimeout`` of the user, as git-lfs has it, else a minute."""
    said = config_value(location, "lfs.activitytimeout")
    return float(said) if said.isdecimal() and 0 < int(said) <= 3600 else 60.0


def _extra_headers(location: Location, url: str) -> dict[str, str]:
    found = {}
    for line in http_settings(location, url).get("extraheader", ()):
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip().title() if name.strip().lower() == "authorization" else name.strip()] = value.strip()
    return found


def _pool(location: Location, url: str, connections: int, idle: float) -> urllib3.PoolManager:
    """Connections by the user's settings for this server."""
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
    return connection_pool(url, options, settings.get("proxy"))
