"""What opens each kind of remote store of `REMOTE_KINDS`; the libraries that reach one are imported when the first is opened."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from typing import Any

from gitml.core.config.remotes import RemoteSpec
from gitml.core.kinds.remote_kinds import REMOTE_KINDS
from gitml.core.model.protocols import SweptRemote
from gitml.errors import InputError
from gitml.store.remote.backends.folder import FolderRemote
from gitml.store.remote.backends.object_storage import FileSystemKind, ObjectStorageRemote
from gitml.store.remote.backends.partial_upload import AzureUpload, S3Upload, drop_stale_uploads


def open_remote(spec: RemoteSpec) -> SweptRemote:
    """The remote store of any kind but ``lfs``. Nothing is asked of it yet; InputError when the package for it is missing."""
    kind = REMOTE_KINDS[spec.scheme]
    if kind.package:
        try:
            importlib.import_module(kind.package)
        except ImportError as error:
            raise InputError(
                f"{spec.scheme}:// needs the package {kind.package}, which is not installed",
                where=f"remote {spec.name}",
                hint=f"pip install 'gitml[{kind.extra}]'",
            ) from error
    return OPENERS[spec.scheme](spec)


def _file_system(protocol: str, **options: Any) -> Any:
    import fsspec

    return fsspec.filesystem(protocol, skip_instance_cache=True, **options)


def _open_s3(spec: RemoteSpec) -> Any:
    retries = {"max_attempts": 2, "mode": "standard"}  # s3fs tries again too, and then transfers do
    options: dict[str, Any] = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": retries}}
    if "endpoint" in spec.options:
        options["endpoint_url"] = spec.options["endpoint"]
    filesystem = _file_system("s3", use_listings_cache=False, **options)
    filesystem.retries = 2
    return filesystem


def _open_gs(spec: RemoteSpec) -> Any:
    # else gcsfs asks Google what kind of bucket it is, and writes to the log when it may not
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    filesystem = _file_system("gs", use_listings_cache=False)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it writes tracebacks of what it raises too
    return filesystem


def _open_az(spec: RemoteSpec) -> Any:
    options: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 60}
    if "account" in spec.options:
        options |= {"account_name": spec.options["account"], "anon": False}
    filesystem = _file_system("abfs", use_listings_cache=False, **options)
    # by itself it tries four times, with pauses of a minute and a half in all
    filesystem._timeout_kwargs |= {"retry_connect": 0, "retry_read": 0}
    return filesystem


def _open_ssh(spec: RemoteSpec) -> Any:
    user, at, host = spec.path.partition("/")[0].rpartition("@")
    host, colon, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    place: dict[str, Any] = {"host": host}
    if at:
        place["username"] = user
    if colon and port.isdigit():
        place["port"] = int(port)
    # sshfs hands on to SSH what it doesn't know, and keeps no listings anyway. It checks no host keys unless told to; an empty
    # tuple means those that ssh itself knows.
    return _file_system("ssh", known_hosts=(), connect_timeout=10, **place)


def _object_storage(kind: FileSystemKind) -> Callable[[RemoteSpec], SweptRemote]:
    return lambda spec: ObjectStorageRemote(spec, kind)


OPENERS: dict[str, Callable[[RemoteSpec], SweptRemote]] = {
    "file": lambda spec: FolderRemote(spec, spec.path),
    "s3": _object_storage(FileSystemKind(_open_s3, partial=S3Upload, drop_stale=drop_stale_uploads)),
    "gs": _object_storage(FileSystemKind(_open_gs)),
    "az": _object_storage(FileSystemKind(_open_az, partial=AzureUpload)),
    "ssh": _object_storage(FileSystemKind(_open_ssh, ranges=False, atomic=False, is_host=True)),
}
