"""Names of container images: ``[HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]``, as every registry takes them.

A name without a host is Docker Hub's, and there one without a folder is in ``library``. A digest names bytes, for ever; a tag
is moved by the next push. Where both are written the digest counts, and the tag is for readers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_DOCKER_HUB, _LIBRARY = "docker.io", "library"
_HUB_NAMES = (_DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_LONGEST = 255
_SHOWN = 120
_DIGITS = len("sha256:") + 12
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[([0-9A-Fa-f:]{{2,39}})\])(?::([0-9]{{1,5}}))?")
_PORTS = range(1, 2**16)
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TRANSPORT = re.compile(r"([a-z][a-z0-9-]*):(?://|/|\./|\.\./)")


class ImageName(NamedTuple):
    """An image in a registry: at `host`, with `path` there; `digest` is empty for one that only has a `tag`."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.path}{tag}" + (f"@{self.digest}" if self.digest else "")

    def short(self) -> str:
        """As messages show it: a digest by its first digits."""
        return str(self) if not self.digest else f"{str(self)[: -len(self.digest)]}{self.digest[:_DIGITS]}…"

    def at(self, digest: str) -> str:
        """How the registry knows the manifest `digest` of this image: what it is fetched by."""
        return f"{self.host}/{self.path}@{digest}"


def parse_image_name(text: str) -> tuple[ImageName | None, str | None]:
    """The image that `text` names, None when it names none; and what is wrong with it, None for nothing."""
    rest = text.strip().removeprefix("docker://")
    shown = repr(rest if len(rest) <= _SHOWN else rest[:_SHOWN] + "…")
    if _TRANSPORT.match(rest):
        return None, f"image {shown} is not in a registry: push it to one, and write HOST/PATH@sha256:…"
    rest, _, digest = rest.partition("@")
    host, slash, path = rest.partition("/")
    if digest and _DIGEST.fullmatch(digest) is None:
        if "/" in digest:
            return (
                None,
                "an image's name holds no user and no password: log in to its registry, as by `skopeo login HOST`",
            )
        return None, f"image {shown} has a digest that is none: write @sha256: and 64 hexadecimal digits"
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = _DOCKER_HUB, rest
    path, _, tag = path.partition(":")
    if host in _HUB_NAMES:
        host = _DOCKER_HUB
        path = path if "/" in path else f"{_LIBRARY}/{path}"
    problem = _problem_with(host, path, tag, has_tag=rest.endswith(":") or bool(tag))
    if problem is not None:
        return None, f"image {shown} {problem}"
    return ImageName(host, path, tag, digest), None


def _problem_with(host: str, path: str, tag: str, *, has_tag: bool) -> str | None:
    if not _is_host(host):
        return f"has a host that is none: {host[:_SHOWN]!r}"
    if path != path.lower():
        return "has a capital letter: names of images are in lower case"
    if _PATH.fullmatch(path) is None or len(path) > _LONGEST:
        return "is no name of an image: write HOST/PATH@sha256:…"
    if has_tag and _TAG.fullmatch(tag) is None:
        return f"has a tag that is none: {tag[:_SHOWN]!r}"
    return None


def _is_host(host: str) -> bool:
    """Whether `host` can be one, with or without a port: programs that connect there read more into what is none."""
    found = _HOST.fullmatch(host)
    if found is None or (found[2] is not None and int(found[2]) not in _PORTS):
        return False
    return found[1] is None or _is_ipv6(found[1])


def _is_ipv6(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
