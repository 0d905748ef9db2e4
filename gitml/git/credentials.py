"""The user's own credentials for a server, by ``git credential``: asked for when a server wants them, kept in memory only."""

from __future__ import annotations

import base64
import os
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gitml.errors import TrustError
from gitml.git.command import Location, config_items, git_status
from gitml.redaction import register_secret


class Credential(NamedTuple):
    """A user and password for one server. Never shown, written or put into an error."""

    protocol: str
    host: str
    username: str
    password: str

    @property
    def header(self) -> str:
        """The value of an ``Authorization`` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")

    def __repr__(self) -> str:
        return f"Credential({self.protocol}://{self.host})"


def ask(location: Location, url: str) -> Credential:
    """The credential for a URL: from the URL itself, or from the user's helpers. TrustError when there is none."""
    parts = urlsplit(url)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    if parts.username is not None and parts.password is not None:
        register_secret(unquote(parts.password))
        return Credential(parts.scheme, host, unquote(parts.username), unquote(parts.password))
    question = {"protocol": parts.scheme, "host": host, "path": parts.path.lstrip("/")}
    if parts.username is not None:
        question["username"] = unquote(parts.username)
    out, _, code = git_status(location, "credential", "fill", input=_lines(question))
    answer = dict(line.partition("=")[::2] for line in out.decode("utf-8", "replace").split("\n") if "=" in line)
    if code or "username" not in answer or "password" not in answer:
        raise TrustError(
            "the server wants a user and password, and no credential helper of Git has them",
            where=f"{parts.scheme}://{host}",
            hint="let Git keep them: git config credential.helper store, then git fetch once",
        )
    register_secret(answer["password"])
    return Credential(parts.scheme, host, answer["username"], answer["password"])


def tell(location: Location, credential: Credential, *, good: bool) -> None:
    """Reports to the user's helpers that a credential was good, or refused."""
    git_status(location, "credential", "approve" if good else "reject", input=_lines(credential._asdict()))


def _lines(values: dict[str, str]) -> bytes:
    # A line break would let one value pass for another.
    return "".join(f"{k}={v}\n" for k, v in values.items() if v and "\n" not in v and "\0" not in v).encode() + b"\n"


def http_settings(location: Location, url: str) -> dict[str, list[str]]:
    """The user's ``http.*`` settings that hold for `url`, the most specific of each; and GIT_SSL_* of the environment."""
    found: dict[str, list[str]] = {}
    for name, value in config_items(location, "--get-urlmatch", "http", url):
        found.setdefault(name.lower().removeprefix("http."), []).append(value)
    if os.environ.get("GIT_SSL_NO_VERIFY"):
        found["sslverify"] = ["false"]
    if "GIT_SSL_CAINFO" in os.environ:
        found["sslcainfo"] = [os.environ["GIT_SSL_CAINFO"]]
    return found
