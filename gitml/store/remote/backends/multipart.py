"""Parts of an object at S3 (a multipart upload) and at Azure (uncommitted blocks), by what s3fs and adlfs are made of.

Nothing about an upload is remembered here: the services tell what was begun, so another process or clone can go on too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any

from gitml.store.remote.backends.upload_parts import PartialUpload

_STALE = timedelta(days=1)  # an upload that was begun so long ago was given up


def partial_upload_for(scheme: str) -> Callable[[Any, str], PartialUpload] | None:
    """How objects are put in parts, given fsspec's file system and a path there; None for services that can't go on with them."""
    if scheme == "s3":
        return S3Upload
    return AzureUpload if scheme == "az" else None


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
