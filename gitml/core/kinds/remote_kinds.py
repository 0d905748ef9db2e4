"""The one table of the kinds of remote stores: how a URL and options of each are written, what reaches it, how users log in.

This is the part that parsing needs, and pure. `store.remote.backends.kinds` attaches to each name what opens such a store. A new
kind is an entry in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

LFS = "lfs"
URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)\Z", re.DOTALL)
# patterns: compiled where a configuration has something to check, as most have not
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}\Z"
_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,20})?\]"
_SSH = rf"(?:[A-Za-z0-9_][A-Za-z0-9_.+-]{{0,99}}@)?(?:{_HOST})(?::([0-9]{{1,5}}))?\Z"
_ENDPOINT = rf"https?://(?:{_HOST})(?::([0-9]{{1,5}}))?(?:/[A-Za-z0-9_.~/-]*)?\Z"
_ACCOUNT = r"[a-z0-9]{3,24}\Z"  # of Azure; it becomes part of a host's name
# Buckets by the rules of each cloud, but for the least length: where one can't be made, none is found.
_S3_BUCKET = (
    r"(?!.*\.\.)(?:[A-Za-z0-9][A-Za-z0-9._-]{0,254}"
    r"|arn:aws[a-z-]*:s3[a-z-]*:[a-z0-9-]*:[0-9]*:accesspoint(?::[A-Za-z0-9._-]+)?)\Z"
)
_GS_BUCKET = r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{0,221}\Z"
_AZ_CONTAINER = r"(?:[a-z0-9](?:-?[a-z0-9]){0,62}|\$root|\$web)\Z"

Check = Callable[[str], str | None]
"""What is wrong with a text, None when nothing is."""


class RemoteOption(NamedTuple):
    """An option of a kind of remote: what the documentation says of it, and the check of a value."""

    help: str
    check: Check


class RemoteKind(NamedTuple):
    """One kind of remote store, by the scheme of its URLs: a check of what follows ``scheme://`` and of each option it has.

    `package` reaches it, and comes with the extra `extra` of gitml; empty where gitml needs none. `login` says how a user is
    let in.
    """

    place: Check
    options: Mapping[str, RemoteOption] = {}
    package: str = ""
    extra: str = ""
    login: str | None = None


def _bucket_problem(kind: str, pattern: str, what: str, place: str) -> str | None:
    bucket = place.partition("/")[0]
    if not bucket or bucket.startswith("-"):
        return f"{kind}:// needs a bucket or container"
    return None if re.match(pattern, bucket) else f"{bucket[:60]!r} can be no {what}"


def _ssh_problem(place: str) -> str | None:
    host, _, path = place.partition("/")
    if not host or host.startswith("-"):
        return "ssh:// needs a host"
    found = re.match(_SSH, host)
    if found is None or (found[1] and not 0 < int(found[1]) < 65536):
        return "ssh:// needs a host as in user@host:22"
    return None if path.strip("/") else "ssh:// needs a folder, as in ssh://host/srv/store"


def _file_problem(place: str) -> str | None:
    is_whole = place.startswith("/") and place.strip("/")
    return None if is_whole else "file:// needs a whole path, as in file:///srv/store"


def _account_problem(value: str) -> str | None:
    if re.match(_ACCOUNT, value):
        return None
    return f"account must be one of Azure (3 to 24 small letters and digits), not {value[:60]!r}"


def _git_remote_problem(value: str) -> str | None:
    return None if re.match(_NAME, value) else f"remote must be a name, not {value[:60]!r}"


def _endpoint_problem(value: str) -> str | None:
    found = URL.match(value)
    if found is None or found[1] not in ("http", "https"):
        return "endpoint must be a URL (https://…)"
    if "@" in value:
        return "credentials don't belong in gitml.yaml"
    whole = re.match(_ENDPOINT, value)
    if whole is None or (whole[1] and not 0 < int(whole[1]) < 65536):
        return "endpoint must be a host with or without a port and a path (https://minio.example:9000)"
    return None


REMOTE_KINDS: dict[str, RemoteKind] = {
    "s3": RemoteKind(
        partial(_bucket_problem, "s3", _S3_BUCKET, "bucket of S3"),
        {"endpoint": RemoteOption("the server of an s3 remote", _endpoint_problem)},
        "s3fs",
        "s3",
        "see that `aws s3 ls` may: AWS_PROFILE, AWS_ACCESS_KEY_ID …, or the machine's role",
    ),
    "gs": RemoteKind(
        partial(_bucket_problem, "gs", _GS_BUCKET, "bucket of Google Cloud Storage"),
        {},
        "gcsfs",
        "gs",
        "log in: gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "az": RemoteKind(
        partial(_bucket_problem, "az", _AZ_CONTAINER, "container of Azure"),
        {"account": RemoteOption("the account of an az remote", _account_problem)},
        "adlfs",
        "az",
        "log in: az login, or set AZURE_STORAGE_CONNECTION_STRING; and name the account (account: …)",
    ),
    "ssh": RemoteKind(
        _ssh_problem,
        {},
        "sshfs",
        "ssh",
        "see that `ssh` to the host works without a question: an agent or a key, and a known host",
    ),
    "file": RemoteKind(_file_problem),
    # its url is no more than "lfs": the Git remote says where it is
    LFS: RemoteKind(lambda _: None, {"remote": RemoteOption("the Git remote of lfs", _git_remote_problem)}),
}
