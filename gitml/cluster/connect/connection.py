"""The connection of a cluster: where it is, whether it asks who comes, and whether we are let in. Found out before Ray is loaded,
whose own answers come late and don't say which of these is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.config.project import RayTarget
from gitml.errors import GitmlError, InputError, RemoteError, TrustError
from gitml.redaction import register_secret

PATIENCE = 10.0  # seconds for a head to answer, which may stand still for some
_HEAD = ("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", b"")
_CLIENT = ("/ray.rpc.RayletDriver/ClusterInfo", b"\x08\x06")  # a ping
_OTHER = "what answers is no head of Ray"
_TOKEN_HINT = "say where it is: token: PATH in gitml.yaml, or RAY_AUTH_TOKEN_PATH"  # noqa: S105

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A Python that differs in its last number speaks the same; `connect` compares the first two.
    "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor",
}
# A peer that is silent for so long is lost. Ray's own values amount to a minute and more.
QUICK = {
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}
AUTH_MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


class Token:
    """A cluster's secret, which no representation shows. `source` is where it was found."""

    def __init__(self, secret: str, source: str, settings: Mapping[str, str]) -> None:
        register_secret(secret)
        self.secret = secret
        self.source = source
        self.settings = settings

    def __repr__(self) -> str:
        return f"Token({self.source})"


class Connection(NamedTuple):
    """Where a cluster is entered: `address` is host:port of its head, or of its client server with `client`.

    `token` is None for a cluster that asks for none.
    """

    target: RayTarget
    address: str
    client: bool
    token: Token | None

    def authentication(self) -> dict[str, str]:
        """What Ray must find in the environment to be let in."""
        return {AUTH_MODE: "disabled"} if self.token is None else {AUTH_MODE: "token", **self.token.settings}

    def metadata(self) -> list[tuple[str, str]]:
        """The metadata of each call of our own."""
        return [] if self.token is None else [("authorization", f"Bearer {self.token.secret}")]


def open_connection(target: RayTarget, environ: Mapping[str, str]) -> Connection:
    """The Connection to a cluster that is there and lets us in.

    RemoteError when nobody answers; TrustError without a token that it takes, or when it takes anybody and the target
    does not say that this is meant. The token is only shown to a cluster that asks for one.
    """
    given, client = _address(target, environ)
    address = _resolved(target, given)
    method, request = _CLIENT if client else _HEAD
    where = f"target {target.name}, {given}"
    answer = _probe(address, method, request)
    if answer == "welcome":
        if not (target.insecure or is_loopback(address)):
            message = "the cluster lets anybody in: who reaches it can run programs on it and read what runs"
            hint = (
                "start it with RAY_AUTH_MODE=token; or say insecure: true of the target, where nobody else can reach it"
            )
            raise TrustError(message, where=where, hint=hint)
        return Connection(target, address, client, None)
    if answer == "who":
        token = _token(target, environ)
        if token is None:
            raise TrustError("the cluster asks for a token, and there is none", where=where, hint=_TOKEN_HINT)
        connection = Connection(target, address, client, token)
        answer = _probe(address, method, request, connection.metadata())
        if answer == "welcome":
            return connection
        if answer == "who":
            hint = f"the one tried is that of {token.source}; {_TOKEN_HINT}"
            raise TrustError("the cluster does not take the token", where=where, hint=hint)
    raise unreachable(target, given, answer)


def unreachable(target: RayTarget, address: str, why: str) -> GitmlError:
    """The error for a head that does not answer."""
    hint = "see that its head runs and that this machine may reach the port"
    if why.startswith(_OTHER):
        hint = (
            "HOST:PORT is that of the head, 6379 if nothing else was said; ray://HOST:PORT that of Ray's client, 10001"
        )
    return RemoteError(f"no Ray cluster answers: {why}", where=f"target {target.name}, {address}", hint=hint)


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def channel_to(address: str) -> Any:
    """A connection, encrypted as RAY_USE_TLS and its companions configure."""
    import grpc

    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 256 << 20)]
    if not _encrypted():
        return grpc.insecure_channel(address, options)
    parts = []
    for name in ("RAY_TLS_CA_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT"):
        try:
            with open(os.environ[name], "rb") as file:
                parts.append(file.read())
        except (KeyError, OSError) as error:
            raise InputError(f"RAY_USE_TLS is set, and {name} names no file to read") from error
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*parts), options)


def _probe(address: str, method: str, request: bytes, metadata: list[tuple[str, str]] | None = None) -> str:
    """``welcome``, ``who`` (we are not let in), or why nobody answers."""
    import grpc

    with channel_to(address) as channel:
        call = channel.unary_unary(method)
        try:
            call(request, timeout=PATIENCE, metadata=metadata or [])
        except grpc.RpcError as error:
            code = error.code()
            if code == grpc.StatusCode.UNAUTHENTICATED:
                return "who"
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"nothing was said for {PATIENCE:g} s"
            if code == grpc.StatusCode.UNAVAILABLE:
                return _reason(error.details() or "")
            return f"{_OTHER} ({code.name.lower()})"
    return "welcome"


def _reason(details: str) -> str:
    for sign, words in (
        ("Connection refused", "the connection was refused"),
        ("No route to host", "there is no way to it"),
        ("Network is unreachable", "the network is not reachable"),
        ("name resolution", "its name is not known"),
        ("Domain name not found", "its name is not known"),
        ("DNS", "its name is not known"),
        (
            "CERTIFICATE_VERIFY_FAILED",
            "its certificate is not one of the authority in RAY_TLS_CA_CERT, or of another name",
        ),
        ("WRONG_VERSION_NUMBER", "it does not speak TLS, and RAY_USE_TLS is set here"),
        (
            "Socket closed",
            "it ended the connection at once, as one does that speaks only TLS: is RAY_USE_TLS to be set?",
        ),
        ("HTTP/2", _OTHER),
    ):
        if sign in details:
            return words
    return details.replace("\n", " ")[-200:] or "it is not available"


def address_of(target: RayTarget, environ: Mapping[str, str]) -> str:
    """Where a target's cluster is: what ``auto`` means now, else the target's own address. RemoteError when there is none."""
    return _address(target, environ)[0]


def _address(target: RayTarget, environ: Mapping[str, str]) -> tuple[str, bool]:
    if target.address.startswith("ray://"):
        return target.address[len("ray://") :], True
    if target.address != "auto":
        return target.address, False
    address = environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://"):
        return address[len("ray://") :], True
    if not address or address in ("auto", "local"):
        address = _running_here(environ)
    return address, False


def _resolved(target: RayTarget, address: str) -> str:
    """The address with a number for its name, as this machine's own files and servers know it: Ray's resolver asks others."""
    import socket

    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if _encrypted() or host == "localhost":
        return address  # a certificate is for a name
    try:
        number = str(socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, ValueError):
        raise unreachable(target, address, "its name is not known") from None
    return f"[{number}]:{port}" if ":" in number else f"{number}:{port}"


def _encrypted() -> bool:
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _running_here(environ: Mapping[str, str]) -> str:
    """The cluster that `ray start` last joined this machine to, as it noted it down."""
    place = os.path.join(environ.get("RAY_TMPDIR") or "/tmp", "ray/ray_current_cluster")  # noqa: S108  where Ray writes it
    try:
        with open(place) as file:
            address = file.read().strip()
    except OSError:
        address = ""
    if not address:
        hint = "start one with ray start, set RAY_ADDRESS, or say host:port in gitml.yaml"
        raise RemoteError("this machine is part of no Ray cluster", where="ray: auto", hint=hint)
    return address


def _token(target: RayTarget, environ: Mapping[str, str]) -> Token | None:
    """The target's own, else that of the environment, else Ray's usual place."""
    home = environ.get("HOME", "")
    if target.token is not None:
        path = os.path.join(home, target.token[2:]) if target.token.startswith("~/") else target.token
        return _read_token(path, target.token, f"target {target.name}: {path}")
    if environ.get(TOKEN):
        return Token(environ[TOKEN].strip(), TOKEN, {TOKEN: environ[TOKEN]})
    if environ.get(TOKEN_PATH):
        return _read_token(environ[TOKEN_PATH], TOKEN_PATH, f"{TOKEN_PATH}: {environ[TOKEN_PATH]}")
    usual = os.path.join(home, ".ray/auth_token")
    return _read_token(usual, "~/.ray/auth_token", usual) if os.path.exists(usual) else None


def _read_token(path: str, source: str, where: str) -> Token:
    try:
        with open(path) as file:
            secret = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TrustError(f"the token can't be read: {getattr(error, 'strerror', error)}", where=where) from None
    if not secret or not secret.isprintable() or not secret.isascii():
        raise TrustError("there is no token in the file", where=where)
    return Token(secret, source, {TOKEN_PATH: path})


def apply_settings(environ: Mapping[str, str], authentication: Mapping[str, str]) -> None:
    """Puts Ray's settings into this process's environment, where Ray reads them; what the user set of them stays.

    Must come before Ray is imported; where it was imported already, it is made to read them again.
    """
    for name, value in {**QUIET, **QUICK}.items():
        os.environ[name] = environ.get(name, value)
    for name in (AUTH_MODE, TOKEN, TOKEN_PATH):
        os.environ.pop(name, None)
    os.environ.update(authentication)
    raylet: Any = sys.modules.get("ray._raylet")
    if raylet is not None:
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
