"""Places: what a tracked file names outside the repository (a URL, a host, a folder), as a person is to judge it.

A place is allowed by content: one whose URL, endpoint, token file or other detail changes is another place.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

from gitml.core.config.project import LOCAL, PATH, RayTarget
from gitml.core.config.remotes import FROM, RemoteSpec
from gitml.core.kinds.remote_kinds import LFS, REMOTE_KINDS

STORE, CLUSTER, REGISTRY = "remote store", "cluster", "registry"

_WORDS = {"token": "which is sent the token in"}
_PLAIN = re.compile(r"[^\s(),'\"]*\Z")


class Place(NamedTuple):
    """`kind` is one of the words above, `name` what `source`, a tracked file, calls it. `details` are (word, value) pairs."""

    kind: str
    name: str
    url: str
    details: tuple[tuple[str, str], ...] = ()
    source: str = PATH

    @property
    def identity(self) -> str:
        """What it is allowed by: everything about it but its name and the file that names it."""
        shown = json.dumps([self.kind, self.url, sorted(self.details)])
        return hashlib.sha256(shown.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    @property
    def words(self) -> str:
        """As in ``remote store s3 (s3://team/store, endpoint https://minio.example)``."""
        details = [f"{_WORDS.get(word, word)} {_distinct(value)}" for word, value in self.details]
        shown = ", ".join((_distinct(self.url), *details))
        return f"{self.kind} {self.name} ({shown})" if self.name and self.name != self.url else f"{self.kind} {shown}"


def _distinct(value: str) -> str:
    """A value that can be distinguished from the words around it, and its letters from those that look like them."""
    scheme, _, rest = value.partition("://")
    host, slash, path = rest.partition("/")
    if not host.isascii():
        value = f"{scheme}://{host.encode('ascii', 'backslashreplace').decode()}{slash}{path}"
    return value if _PLAIN.match(value) else f"'{value}'"


def place_of_store(spec: RemoteSpec) -> Place | None:
    """The place of a remote store; None for the Git LFS of a Git remote, whose address is the user's own setting."""
    if spec.scheme == LFS:
        named_by = spec.options.get(FROM)
        return None if named_by is None else Place(STORE, spec.name, spec.place, (), named_by)
    details = tuple(
        [(word, spec.options[word]) for word in REMOTE_KINDS[spec.scheme].options if spec.options.get(word)]
    )
    return Place(STORE, spec.name, spec.url, details)


def place_of_registry(name: str, url: str) -> Place:
    """The place of a registry; `name` is empty for the default one."""
    return Place(REGISTRY, name or "default", url)


def place_of_ray_target(target: RayTarget) -> Place | None:
    """The place of a cluster; None for one that only this machine defines, of which the repository names nothing more.

    One that is started here has a token of its own, and is reached from here alone.
    """
    details = [("dashboard", target.dashboard)] if target.dashboard else []
    if target.token is not None and target.address != LOCAL:
        details.append(("token", target.token))
    if target.insecure and target.address != LOCAL:
        details.append(("insecure", "true"))
    if target.address in ("auto", LOCAL) and not details:
        return None
    return Place(CLUSTER, target.name, target.address, tuple(details))
