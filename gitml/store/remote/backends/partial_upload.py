"""Uploading a large object in parts, which stay when the upload is cut off: the next one uploads what is missing.

At S3 they are the parts of a multipart upload, at Azure uncommitted blocks, by what s3fs and adlfs are made of. Nothing about an
upload is remembered here: the services list what was begun, so another process or clone can go on too.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from gitml.core.config.remotes import StoredObject
from gitml.core.model.digest import Digest, hex_of
from gitml.errors import Guard
from gitml.store.remote.layout import damaged_object
from gitml.store.remote.transfer.thread_pool import ThreadPool

PIECE = 8 << 20  # bytes of a part, unless the object is so large that they would be too many
AHEAD = 4  # parts of one object under way at once
_MOST = 9000  # parts; S3 takes ten thousand
_MIB = 1 << 20
_STALE = timedelta(days=1)  # an upload that was begun so long ago was given up


class PartialUpload(Protocol):
    """One object on its way to a remote in numbered parts. It appears there when it is finished, whole.

    A tag names a part by its number and what is in it.
    """

    def begin(self) -> Set[str]:
        """Begins, or goes on with what an earlier upload left: the tags of the parts that are there."""

    def tag(self, number: int, content: bytes) -> str:
        """The tag that this content would have as a part."""

    def put(self, number: int, content: bytes) -> str:
        """Uploads a part, from 1 on in any order and several at once; gives its tag."""

    def finish(self, tags: Sequence[str]) -> None:
        """Makes the object of these parts, in order."""

    def drop(self) -> None:
        """Gives the upload up, with its parts."""


def upload_in_parts(parts: PartialUpload, source: str, item: StoredObject, moved: Callable[[int], None]) -> None:
    """Uploads a file, hashed on the way: IntegrityError, and nothing there, when it is not what `item` says.

    What `moved` raises ends it; the parts that arrived stay for the next time.
    """
    size = part_size(item.size)
    with Guard(source):
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    pool = ThreadPool(AHEAD)
    try:
        there = parts.begin()
        state = hashlib.sha256()
        under_way: deque[tuple[Any, int]] = deque()
        tags: list[str] = []

        def ended() -> None:
            job, count = under_way.popleft()
            tags.append(job if isinstance(job, str) else job.result())
            moved(count)

        number = 0
        while True:
            with Guard(source):
                content = _piece(fd, size)
            if not content:
                break
            number += 1
            state.update(content)
            tag = parts.tag(number, content) if there else ""
            if tag in there:
                under_way.append((tag, len(content)))
            else:
                put = pool.submit(partial(parts.put, number, content))
                under_way.append((put, len(content)))
            if len(under_way) >= AHEAD:
                ended()
        while under_way:
            ended()
        if state.hexdigest() != hex_of(item.digest):
            parts.drop()
            raise damaged_object(item.digest, state.hexdigest())
        parts.finish(tags)
    finally:
        pool.shut_down()
        os.close(fd)


def _piece(fd: int, size: int) -> bytes:
    """So many bytes of an open file, fewer only at its end."""
    got = [os.read(fd, size)]
    left = size - len(got[0])
    while left and got[-1]:
        got.append(os.read(fd, left))
        left -= len(got[-1])
    return got[0] if len(got) == 1 else b"".join(got)


def part_size(size: int) -> int:
    """Bytes of the parts of an object: always the same for the same object, so that another upload can go on with them."""
    return max(PIECE, -(-size // _MOST // _MIB) * _MIB)


class S3Upload:
    """A multipart upload. A tag is the number and the ETag: the MD5 of the part, unless the bucket encrypts with other keys."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        bucket, key, _ = fs.split_path(path)
        self._place = {"Bucket": bucket, "Key": key}

    def begin(self) -> Set[str]:
        """Begins, or goes on with the newest upload of this object that was begun: the tags of its parts."""
        try:
            begun = [one for one in _uploads(self._fs, *self._place.values()) if one["Key"] == self._place["Key"]]
            if begun:
                self._place["UploadId"] = str(max(begun, key=lambda one: one["Initiated"])["UploadId"])
                return self._tags()
        except (
            PermissionError,
            FileNotFoundError,
        ):  # one may upload without a right to look; or it was ended meanwhile
            self._place.pop("UploadId", None)
        self._place["UploadId"] = self._fs.call_s3("create_multipart_upload", **self._place)["UploadId"]
        return frozenset()

    def tag(self, number: int, content: bytes) -> str:
        """The tag that this content would have as a part."""
        return _tag(number, hashlib.md5(content, usedforsecurity=False).hexdigest())

    def put(self, number: int, content: bytes) -> str:
        """Uploads a part."""
        return _tag(number, self._fs.call_s3("upload_part", **self._place, PartNumber=number, Body=content)["ETag"])

    def finish(self, tags: Sequence[str]) -> None:
        """Makes the object."""
        parts = [{"PartNumber": int(number), "ETag": etag} for number, _, etag in (tag.partition(":") for tag in tags)]
        self._fs.call_s3("complete_multipart_upload", **self._place, MultipartUpload={"Parts": parts})

    def drop(self) -> None:
        """Gives it up."""
        self._fs.call_s3("abort_multipart_upload", **self._place)

    def _tags(self) -> Set[str]:
        tags: set[str] = set()
        after = 0
        while True:
            page = self._fs.call_s3("list_parts", **self._place, PartNumberMarker=after)
            tags.update(_tag(part["PartNumber"], part["ETag"]) for part in page.get("Parts", ()))
            if not page.get("IsTruncated"):
                return tags
            after = int(page["NextPartNumberMarker"])


def _tag(number: int, etag: str) -> str:
    bare = etag.strip('"')
    return f"{number}:{bare}"


def _uploads(fs: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """The uploads under way below a prefix."""
    after: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **after)
        yield from page.get("Uploads", ())
        if not page.get("IsTruncated"):
            return
        after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def drop_stale_uploads(fs: Any, prefix: str) -> None:
    """Gives up the multipart uploads below a path that nobody went on with for a day: their parts cost money."""
    bucket, key, _ = fs.split_path(prefix)
    try:
        for one in _uploads(fs, bucket, key):
            if one["Initiated"] < datetime.now(UTC) - _STALE:
                fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
    except (PermissionError, FileNotFoundError):
        return  # it is for those who may


class AzureUpload:
    """Blocks that are not committed yet, which Azure keeps for a week. A tag is a block's id, made of number and content."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._container, self._name, _ = fs.split_path(path)

    def begin(self) -> Set[str]:
        """The blocks that an earlier upload left."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return {str(block.id) for block in self._ask("get_block_list", "uncommitted")[1]}
        except ResourceNotFoundError:
            return frozenset()

    def tag(self, number: int, content: bytes) -> str:
        """The id of a block."""
        return f"{number:05d}-{hashlib.sha256(content).hexdigest()[:40]}"

    def put(self, number: int, content: bytes) -> str:
        """Uploads a block; the service verifies it."""
        tag = self.tag(number, content)
        self._ask("stage_block", tag, content, length=len(content), validate_content=True)
        return tag

    def finish(self, tags: Sequence[str]) -> None:
        """Makes the blob; blocks that are not of it vanish."""
        from azure.storage.blob import BlobBlock

        self._ask("commit_block_list", [BlobBlock(tag) for tag in tags], metadata={"is_directory": "false"})

    def drop(self) -> None:
        """Azure drops what is not committed by itself."""

    def _ask(self, what: str, *args: Any, **options: Any) -> Any:
        from fsspec.asyn import sync

        async def ask() -> Any:
            async with self._fs.service_client.get_blob_client(self._container, self._name) as client:
                return await getattr(client, what)(*args, **options, **self._fs._timeout_kwargs)

        return sync(self._fs.loop, ask)


KEPT = 32 << 20  # bytes; smaller objects are sent anew


def fresh_name(digest: Digest) -> str:
    """A name that nobody else uses."""
    return f".{hex_of(digest)[:12]}-{os.urandom(6).hex()}.tmp"


def kept_name(digest: Digest, source: str) -> str:
    """The name that this file of this machine always has on its way: what lies under it was sent from here."""
    found = os.stat(source)
    whose = f"{platform.node()} {os.path.realpath(source)} {found.st_dev} {found.st_ino}"
    return f".{hex_of(digest)[:12]}-{hashlib.sha256(os.fsencode(whose)).hexdigest()[:12]}.tmp"
