"""The user's own credentials for registries, as docker, podman and skopeo keep them: in files, or by a program named in one."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gitml import layout
from gitml.errors import TrustError
from gitml.execute.environments.variables import find_program
from gitml.files import opened
from gitml.redaction import register_declared_secret

_LARGEST = 2**20  # bytes of such a file, and of what a program says
_PATIENCE = 30.0  # seconds for a program, which may ask the user's keyring
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HUB = "docker.io"
_HUB_KEYS = ("docker.io", "https://index.docker.io/v1/", "index.docker.io")
_TOKEN_USER = "<token>"  # noqa: S105  how programs say that the secret is a token


class RegistryCredential(NamedTuple):
    """A user and password for one registry, or with `identity_token` what stands for both. Never shown or written."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    @property
    def header(self) -> str:
        """The value of an ``Authorization`` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")

    def __repr__(self) -> str:
        return "RegistryCredential()"


def credential_for(host: str, path: str, machine: Mapping[str, str]) -> RegistryCredential | None:
    """What the user logged in with at the registry `host`, for images at `path` there; None where there is nothing.

    TrustError where the program that keeps it fails.
    """
    for file in _files(machine):
        settings = _read(file)
        if settings is None:
            continue
        found = _in_file(settings, host, path, machine)
        if found is not None:
            register_declared_secret(found.password)
            register_declared_secret(found.identity_token)
            register_declared_secret(found.header.removeprefix("Basic "))
            return found
    return None


def _files(machine: Mapping[str, str]) -> Iterator[str]:
    """Where skopeo and docker look, in that order."""
    if machine.get("REGISTRY_AUTH_FILE"):
        yield machine["REGISTRY_AUTH_FILE"]
        return
    runtime, settings, home = machine.get("XDG_RUNTIME_DIR"), layout.user_settings(machine), machine.get("HOME")
    for base in (runtime, settings):
        if base and os.path.isabs(base):
            yield os.path.join(base, "containers", "auth.json")
    docker = machine.get("DOCKER_CONFIG") or (os.path.join(home, ".docker") if home else None)
    if docker and os.path.isabs(docker):
        yield os.path.join(docker, "config.json")


def _read(path: str) -> dict[str, Any] | None:
    try:
        with opened(path, os.O_RDONLY | os.O_NONBLOCK) as fd, open(fd, "rb", closefd=False) as file:
            content = file.read(_LARGEST + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        raw = json.loads(content) if len(content) <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None


def _in_file(
    settings: Mapping[str, Any], host: str, path: str, machine: Mapping[str, str]
) -> RegistryCredential | None:
    keys = list(_keys(host, path))
    helpers = settings.get("credHelpers")
    for key in keys:
        own = helpers.get(key) if isinstance(helpers, dict) else None
        if isinstance(own, str):
            return _asked(own, key, machine)
    auths = settings.get("auths")
    for key in keys:
        entry = auths.get(key) if isinstance(auths, dict) else None
        found = _entry(entry) if isinstance(entry, dict) else None
        if found is not None:
            return found
    usual = settings.get("credsStore")
    if not isinstance(usual, str) or not usual:
        return None
    server = _HUB_KEYS[1] if host == _HUB else host
    return _asked(usual, server, machine)


def _keys(host: str, path: str) -> Iterator[str]:
    """What an entry for the image may be called, the narrowest first."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join((host, *parts[:count]))
    if host == _HUB:
        yield from _HUB_KEYS
        return
    yield host
    for scheme in ("https", "http"):
        for end in ("", "/", "/v1/", "/v2/"):
            yield f"{scheme}://{host}{end}"


def _entry(entry: Mapping[str, Any]) -> RegistryCredential | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return RegistryCredential(identity_token=token)
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            user, colon, password = base64.b64decode(auth, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            return None
        return RegistryCredential(user, password.rstrip("\0")) if colon else None
    name, secret = entry.get("username"), entry.get("password")
    return RegistryCredential(name, secret) if name and isinstance(name, str) and isinstance(secret, str) else None


def _asked(name: str, server: str, machine: Mapping[str, str]) -> RegistryCredential | None:
    """What a program of the user's says; None where it knows nothing."""
    program = f"docker-credential-{name}"
    found = find_program(program, machine.get("PATH", "")) if _HELPER.fullmatch(name) else None
    if found is None or not os.path.isabs(found):
        hint = f"install {program[:60]}, or log in again, as by `skopeo login {server}`"
        raise TrustError(
            f"the program {program[:60]!r}, which has the credentials of {server}, is not there", hint=hint
        )
    try:
        ran = subprocess.run(
            [found, "get"],
            input=server.encode(),
            env=dict(machine),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
        raw = json.loads(ran.stdout[: _LARGEST + 1]) if ran.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, RecursionError) as error:
        hint = "see whether the keyring is locked, then log in again"
        raise TrustError(f"{program} gives no credentials: {type(error).__name__}", where=server, hint=hint) from None
    if not isinstance(raw, dict):
        return None
    user, secret = raw.get("Username"), raw.get("Secret")
    if not isinstance(user, str) or not isinstance(secret, str) or not secret:
        return None
    return RegistryCredential(identity_token=secret) if user == _TOKEN_USER else RegistryCredential(user, secret)
