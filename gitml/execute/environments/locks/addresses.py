"""What a lock says of where packages are and what they hash to, checked: each becomes a word of a line that uv reads.

A lock comes from a commit, so an address in it may be anything: more words for uv, a place of this machine, a variable of the
user's, or a name by which uv would look for a password that is meant for another host.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from gitml.core.model import paths
from gitml.errors import InputError

_FILES = ("https", "http")
_REPOSITORIES = ("https", "ssh")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\"'<>\\^`{|}]")  # in no URL, and blank to one reader or another
_HASH = re.compile(r"(sha256|sha384|sha512|blake2b|md5):[0-9A-Fa-f]{1,128}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_AGAIN = "take it from an index, and lock again"
_LONGEST = 4000


def checked_url(url: str, package: str, where: str) -> str:
    """`url`, from which a file of a package is fetched; InputError for one that is no address on the network."""
    return _checked(url, _FILES, f"{package} is at", where, _AGAIN)


def checked_repository(url: str, package: str, where: str) -> str:
    """The URL of a repository of Git, without ``git+``; InputError for one that is no address on the network, or a plain one.

    Git would send there the password of the host.
    """
    if url.lower().startswith("http:"):
        what = f"{package} is in a repository at {url[:80]!r}, to which passwords would go unencrypted"
        raise InputError(what, where=where, hint="name it by https or ssh, and lock it again")
    checked = _checked(url, _REPOSITORIES, f"{package} is in a repository at", where, _AGAIN)
    if "?" in url or "#" in url:  # behind which uv would take no commit
        raise InputError(
            f"{package} is in a repository at {url[:80]!r}, which is more than a path", where=where, hint=_AGAIN
        )
    return checked


def checked_index(url: str, where: str) -> str:
    """The URL of an index; InputError for one that is no address on the network.

    ``NAME=URL`` is none: uv would send there the password that the user has for an index of that name.
    """
    hint = "name an index by its address, https://…; folders of this machine go to UV_FIND_LINKS"
    return _checked(url, _FILES, "the lock takes packages from", where, hint).rstrip("/")


def is_wheel(url: str) -> bool:
    """Whether what is at an address is installed as it is, and not built first."""
    return urlsplit(url).path.endswith(".whl") and not url.startswith("git+")


def checked_hash(text: str, package: str, where: str) -> str:
    """``ALGORITHM:DIGITS`` in lower case; InputError for what is no hash."""
    found = _HASH.fullmatch(text)
    if found is None:
        raise InputError(f"{package} has {text[:80]!r}, which is no hash", where=where, hint="lock it again")
    return text.lower()


def checked_commit(text: str, package: str, where: str) -> str:
    """The id of a commit of Git; InputError for a name, which can be moved."""
    if _COMMIT.fullmatch(text) is None:
        raise InputError(f"{package} is at {text[:80]!r}, which is no commit of Git", where=where, hint="lock it again")
    return text


def checked_subdirectory(path: str, package: str, where: str) -> str:
    """The path of a package's folder in what is fetched; InputError for one that leads out of it."""
    if paths.problem_with(path) is not None or re.search(r"[^\w./+-]", path):
        raise InputError(f"{package} is in {path[:80]!r}, which is no folder of it", where=where, hint="lock it again")
    return path


def _checked(url: str, schemes: tuple[str, ...], what: str, where: str, hint: str) -> str:
    try:
        parts: SplitResult | None = urlsplit(url)
        # ssh would take a name that begins with a dash for an option
        has_host = parts is not None and re.match(r"[^-]", parts.hostname or "") is not None and parts.netloc[0] != "-"
    except ValueError:
        parts, has_host = None, False
    if parts is None or not has_host or _UNSAFE.search(url) or len(url) > _LONGEST or parts.scheme not in schemes:
        raise InputError(f"{what} {url[:80]!r}, which is no address on the network", where=where, hint=hint)
    return url
