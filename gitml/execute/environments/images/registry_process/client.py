"""A client of registries, by the distribution specification of OCI (version 2 of Docker's API): manifests and blobs, to read."""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import urllib3

from gitml.core.kinds.image_names import ImageName
from gitml.errors import GitmlError, InputError, RemoteError, TrustError
from gitml.execute.environments.images.registry_process.credentials import RegistryCredential, credential_for
from gitml.execute.environments.images.registry_process.login import LoginChallenge, challenges_in, token_in
from gitml.http.client import HttpClient, HttpServer, connection_pool, drop, end, json_in
from gitml.http.limits import AddressPolicy, address_in, origin_of
from gitml.redaction import register_declared_secret

IDLE = 60.0  # seconds that a registry may give nothing
_HUB, _HUB_SERVER = "docker.io", "registry-1.docker.io"
_CERTIFICATES = ("/etc/containers/certs.d", "/etc/docker/certs.d")
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_SERVER = HttpServer("the registry", "see the network and HTTPS_PROXY, then try again: what has arrived is kept")
_ALLOW = "if that is right, install skopeo, which goes there"
_SAID = 200


class BlobAnswer(NamedTuple):
    """The bytes of a blob from `start` on."""

    start: int
    chunks: Generator[bytes, None, None]


class RegistryClient:
    """The registry of one image, read with the user's own credentials. Safe to use from several threads."""

    def __init__(self, name: ImageName, machine: Mapping[str, str]) -> None:
        self.name = name
        host = _HUB_SERVER if name.host == _HUB else name.host
        scheme = "http" if is_loopback(host) else "https"
        self._url = f"{scheme}://{host}/v2/{name.path}"
        self._http = RegistryHttp(self._url, name, machine)

    def manifest(self, reference: str, most: int) -> bytes:
        """The manifest or index that a digest or tag leads to; no more than `most` bytes of it and one.

        RemoteError and TrustError with what the registry says.
        """
        return self._read(f"{self._url}/manifests/{reference}", {"Accept": _ACCEPT}, most)

    def small_blob(self, digest: str, most: int) -> bytes:
        """A blob; no more than `most` bytes of it and one."""
        return self._read(f"{self._url}/blobs/{digest}", {}, most)

    def blob(self, digest: str, start: int) -> BlobAnswer:
        """A blob, from `start` on where the registry can."""
        url = f"{self._url}/blobs/{digest}"
        response = self._http.request("GET", url, {"Range": f"bytes={start}-"} if start else {})
        if response.status == 416 and start:
            drop(response)
            response = self._http.request("GET", url, {})
        if response.status not in (200, 206):
            raise self._refused(url, response)
        begun = 0
        if response.status == 206:
            begun = start
            if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                end(response)
                raise RemoteError("the registry sends another part than was asked for", where=self.name.host)
        return BlobAnswer(begun, self._http.chunks(url, response))

    def _read(self, url: str, headers: Mapping[str, str], most: int) -> bytes:
        response = self._http.request("GET", url, headers)
        if response.status != 200:
            raise self._refused(url, response)
        content = b""
        with closing(self._http.chunks(url, response)) as chunks:
            for chunk in chunks:
                content += chunk
                if len(content) > most:
                    break
        return content[: most + 1]

    def _refused(self, url: str, response: urllib3.BaseHTTPResponse) -> GitmlError:
        status = response.status
        try:
            words = _words(json_in(self._http.answer(url, response)))
        except GitmlError:
            words = ""
        kind = TrustError if status in (401, 403) else RemoteError
        return kind(f"{words or 'it answers'} (status: {status})", where=self.name.host)


def _words(answer: Any) -> str:
    """What a registry says is wrong: its codes are said as its own tools say them."""
    errors = answer.get("errors") if isinstance(answer, dict) else None
    for one in errors if isinstance(errors, list) else []:
        code, message = (one.get("code"), one.get("message")) if isinstance(one, dict) else (None, None)
        parts = [str(code).replace("_", " ").lower()] if isinstance(code, str) else []
        if isinstance(message, str) and message.lower() not in parts:
            parts.append(message)
        if parts:
            return ": ".join(parts)[:_SAID]
    return ""


class RegistryHttp(HttpClient):
    """Requests to one registry, which may want a user and password, or a token that another server gives for them."""

    def __init__(self, url: str, name: ImageName, machine: Mapping[str, str]) -> None:
        self._name, self._machine = name, machine
        home = urlsplit(url).hostname or ""
        policy = AddressPolicy(home, hint=_ALLOW)
        super().__init__(url, connection_pool(url, _options(name.host)), policy, IDLE, _SERVER)
        self._authorization = ""
        self._login = threading.Lock()
        self._worked: set[str] = set()

    def request(self, *arguments: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        """As of HttpClient; what let us in is remembered, since a token runs out."""
        response = super().request(*arguments, **options)
        if response.status != 401:
            self._worked.add(self._authorization)
        return response

    def _access(self) -> Mapping[str, str]:
        return {"Authorization": self._authorization} if self._authorization else {}

    def _log_in(self, url: str, challenge: Mapping[str, str], sent: str | None) -> None:
        if origin_of(url) != self._home:
            raise TrustError(
                "authentication required by another server than the registry", where=origin_of(url)[1][:100]
            )
        with self._login:
            if self._authorization and sent != self._authorization:
                return  # another thread logged in meanwhile
            if sent is not None and sent not in self._worked:
                raise TrustError("unauthorized: the registry refuses the user and password", where=self._name.host)
            asked = challenges_in(challenge.get("WWW-Authenticate", ""))
            credential = credential_for(self._name.host, self._name.path, self._machine)
            bearer = next((one for one in asked if one.scheme == "bearer"), None)
            if bearer is not None:
                token = self._token(bearer, credential)
                register_declared_secret(token)
                self._authorization = f"Bearer {token}"
            elif credential is not None and not credential.identity_token and asked:
                self._authorization = credential.header
            else:
                raise TrustError("authentication required", where=self._name.host)

    def _token(self, challenge: LoginChallenge, credential: RegistryCredential | None) -> str:
        """A token to read this image, given by the server that the registry names; never by less than https where it has that."""
        try:
            if not challenge.realm.startswith(("https://", "http://")):
                raise ValueError("no whole address")
            realm = address_in(challenge.realm, self._url)
        except ValueError:
            raise TrustError("the registry names no address for tokens", where=self._name.host) from None
        if credential is not None and realm.startswith("http:") and not is_loopback(urlsplit(realm).netloc):
            what = "the registry wants the user and password sent without encryption"
            raise TrustError(what, where=origin_of(realm)[1][:100])
        asked = {"scope": f"repository:{self._name.path}:pull"}
        if challenge.service:
            asked["service"] = challenge.service
        if credential is not None and credential.identity_token:
            form = {**asked, "grant_type": "refresh_token", "client_id": "gitml"}
            form["refresh_token"] = credential.identity_token
            data = urlencode(form).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self.request("POST", realm, headers, lambda: data, credentials=False, log_in=False, follow=False)
        else:
            headers = {"Authorization": credential.header} if credential is not None else {}
            joint = "&" if urlsplit(realm).query else "?"
            address = f"{realm}{joint}{urlencode(asked)}"
            response = self.request("GET", address, headers, credentials=False, log_in=False)
        content = self.answer(realm, response)
        token = token_in(json_in(content)) if response.status == 200 else None
        if token is None:
            denied = response.status in (400, 401, 403)
            words = f"unauthorized: {origin_of(realm)[1][:100]} gives no token (status: {response.status})"
            raise (TrustError if denied else RemoteError)(words, where=self._name.host)
        return token


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine by its name: what is sent there needs no encryption."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _options(host: str) -> dict[str, Any]:
    """Settings of connections: certificates that this machine's administrator has for the host count, too."""
    options: dict[str, Any] = {"maxsize": 8, "timeout": urllib3.Timeout(connect=10, read=IDLE)}
    extra = [path for folder in _CERTIFICATES for path in _certificates(os.path.join(folder, host))]
    if extra:
        from urllib3.util.ssl_ import create_urllib3_context

        context = create_urllib3_context()
        context.load_default_certs()
        for path in extra:
            try:
                context.load_verify_locations(path)
            except OSError as error:
                raise InputError(f"a certificate can't be read: {error.strerror or error}", where=path) from error
        options["ssl_context"] = context
    return options


def _certificates(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".crt")]
    except OSError:
        return []
