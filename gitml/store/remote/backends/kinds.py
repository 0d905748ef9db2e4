"""The kinds of remote stores that fsspec reaches, and how the file system of each is opened."""

from __future__ import annotations

import importlib
import os
from typing import Any, NamedTuple

from gitml.core.config.remotes import RemoteSpec
from gitml.errors import InputError


class Kind(NamedTuple):
    """One kind of remote: fsspec's protocol, the package for it and gitml's extra that brings it.

    `ranges`: a piece from the middle can be asked for. `atomic`: what is put appears whole.
    """

    protocol: str
    package: str
    extra: str
    ranges: bool
    atomic: bool


KINDS = {
    "s3": Kind("s3", "s3fs", "s3", True, True),
    "gs": Kind("gs", "gcsfs", "gs", True, True),
    "az": Kind("abfs", "adlfs", "az", True, True),
    "ssh": Kind("ssh", "sshfs", "ssh", False, False),
}


def open_filesystem(spec: RemoteSpec) -> Any:
    """fsspec's file system for a remote; InputError when the package for it is not installed."""
    kind = KINDS[spec.scheme]
    if spec.scheme == "gs":  # else gcsfs asks Google what kind of bucket it is, and writes to the log when it may not
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        importlib.import_module(kind.package)
    except ImportError as error:
        raise InputError(
            f"{spec.scheme}:// needs the package {kind.package}, which is not installed",
            where=f"remote {spec.name}",
            hint=f"pip install 'gitml[{kind.extra}]'",
        ) from error
    import logging

    import fsspec

    options: dict[str, Any] = {"skip_instance_cache": True}
    if spec.scheme != "ssh":  # sshfs hands on to SSH what it doesn't know, and keeps no listings anyway
        options["use_listings_cache"] = False
    if spec.scheme == "s3":
        retries = {"max_attempts": 2, "mode": "standard"}  # s3fs tries again too, and then transfers do
        options["config_kwargs"] = {"connect_timeout": 10, "read_timeout": 60, "retries": retries}
        if "endpoint" in spec.options:
            options["endpoint_url"] = spec.options["endpoint"]
    elif spec.scheme == "az":
        options |= {"connection_timeout": 10, "read_timeout": 60}
        if "account" in spec.options:
            options |= {"account_name": spec.options["account"], "anon": False}
    elif spec.scheme == "ssh":
        # sshfs checks no host keys unless told to; an empty tuple means those that ssh itself knows.
        options |= {"known_hosts": (), "connect_timeout": 10, **_ssh_place(spec.path.partition("/")[0])}
    filesystem = fsspec.filesystem(kind.protocol, **options)
    if spec.scheme == "s3":
        filesystem.retries = 2
    elif spec.scheme == "az":  # by itself it tries four times, with pauses of a minute and a half in all
        filesystem._timeout_kwargs |= {"retry_connect": 0, "retry_read": 0}
    elif spec.scheme == "gs":  # it writes tracebacks of what it raises too
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    return filesystem


def _ssh_place(authority: str) -> dict[str, Any]:
    user, at, host = authority.rpartition("@")
    host, colon, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    return (
        {"host": host} | ({"username": user} if at else {}) | ({"port": int(port)} if colon and port.isdigit() else {})
    )
