"""Container images in remote stores: their manifests, configurations and layers are objects, as a registry has them by digest.

Under the digest of a manifest, or of an index of manifests for several platforms, lies an entry that names all of them; it is
written last. On this machine they are files by the same digests, which `execute.environments.images` keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from gitml.core.config.remotes import StoredObject, decode_image_entry, encode_image_entry, total
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.events import Transferring
from gitml.core.model.protocols import RemoteStore
from gitml.errors import GitmlError, IntegrityError, MachineError, RemoteError
from gitml.store.remote.cache import RemoteSource, gc_note, name_store
from gitml.store.remote.transfer.object_download import WrongBytesError, download_file
from gitml.store.remote.transfer.progress import TransferMeter, TransferStoppedError, with_retries
from gitml.store.remote.transfer.thread_pool import ThreadPool

SMALL = 4 << 20
"""Bytes of a manifest, an index or a configuration: what registries themselves take at most."""
_GRACE = 2.0  # seconds that threads have to clear up when the transfer ends early


class ImageUpload(NamedTuple):
    """What became of an upload to one store: objects and bytes that were sent, and objects that were there."""

    remote: str
    sent: int
    bytes: int
    there: int


class ImageDownload(NamedTuple):
    """Whether all of an image is here now, the bytes that came, and why a store could not be used."""

    here: bool
    bytes: int
    problems: tuple[str, ...]


def upload_image(
    source: RemoteSource,
    entries: Mapping[Digest, Sequence[StoredObject]],
    path_of: Callable[[Digest], str],
    emit: Callable[[Transferring], None],
    stopped: Callable[[], bool],
) -> ImageUpload:
    """Uploads what a store lacks of images; `entries` has the parts of each, `path_of` the file of a part on this machine.

    What was sent stays when it fails: RemoteError, TrustError; IntegrityError for a file that is damaged; TransferStoppedError.
    """
    remote, known = source
    note = gc_note(remote, known)
    name_store(remote, known, note)
    parts = list(dict.fromkeys([item for items in entries.values() for item in items]))
    there = remote.present(parts) - set(note.doomed)
    lacking = [item for item in parts if item.digest not in there]
    meter = TransferMeter("upload", remote.name, emit, stopped)
    meter.total, meter.of = total(lacking), len(lacking)

    def send(item: StoredObject) -> None:
        meter.check_stopped()
        with_retries(lambda moved: remote.put(item, path_of(item.digest), moved), meter)

    _all(remote, meter, [(item, partial(send, item)) for item in lacking])
    meter.report(now=True)
    remote.put_manifests({digest: encode_image_entry(digest, items) for digest, items in entries.items()})
    return ImageUpload(remote.name, len(lacking), meter.done, len(there))


def download_image(
    folder: str,
    sources: Sequence[RemoteSource],
    digest: Digest,
    parts_of: Callable[[str], Sequence[tuple[str, int]]],
    emit: Callable[[Transferring], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> ImageDownload:
    """Downloads the image whose manifest has that digest into `folder`, each part under its hex digits, from a store that has it.

    `parts_of` reads the manifest once it is there: what else the store's entry names is not downloaded. MachineError when this
    machine can't take it, TransferStoppedError when stopped; what has arrived stays.
    """
    problems: list[str] = []
    moved = 0
    for remote, _ in sources:
        # one for the manifest, one for what it names: a meter is of one transfer
        first, rest = (TransferMeter("download", remote.name, emit, stopped) for _ in range(2))
        try:
            entry = image_entry(remote, digest)
            if entry is None:
                continue
            _download(folder, remote, entry[:1], first)
            parts = [StoredObject(Digest(part), size) for part, size in parts_of(digest)]
            if not set(entry) >= set(parts):
                raise RemoteError(f"the entry of image {digest[:19]}… lacks a part", where=remote.place)
            _download(folder, remote, parts[1:], rest)
            return ImageDownload(True, moved + first.done + rest.done, tuple(problems))
        except TransferStoppedError:
            raise
        except GitmlError as error:
            if isinstance(error, MachineError):
                raise
            problems.append(f"remote {remote.name}: {error.message}")
        finally:
            moved += first.done + rest.done
    return ImageDownload(False, moved, tuple(problems))


def _download(folder: str, remote: RemoteStore, parts: Sequence[StoredObject], meter: TransferMeter) -> None:
    """Downloads parts of an image, the largest first."""
    meter.total, meter.of = total(parts), len(parts)
    jobs = [
        (item, partial(download_file, f"{folder}/{hex_of(item.digest)}", remote, item, meter))
        for item in sorted(parts, key=lambda item: -item.size)
    ]
    _all(remote, meter, jobs)
    meter.report(now=True)


def image_entry(remote: RemoteStore, digest: Digest) -> tuple[StoredObject, ...] | None:
    """The parts of the image, or index, with that digest in a store; None where it has none. RemoteError for one that is none."""
    content = remote.manifest(digest)
    if content is None:
        return None
    try:
        parts = decode_image_entry(content, digest)
        if parts and parts[0].size > SMALL:
            raise ValueError(f"a manifest of more than {SMALL >> 20} MiB")
    except ValueError as error:
        raise RemoteError(f"the entry of image {digest[:19]}… can't be read: {error}", where=remote.place) from error
    return parts


def small_object(remote: RemoteStore, digest: Digest) -> bytes | None:
    """The manifest or index with that digest; None where the store has none. WrongBytesError for other bytes."""
    from hashlib import sha256

    parts = image_entry(remote, digest)
    if parts is None:
        return None
    item = parts[0]
    content = bytearray()
    for chunk in remote.get(item).chunks:
        content += chunk
        if len(content) > item.size:
            break
    if sha256(content).hexdigest() != hex_of(digest):
        raise WrongBytesError(item, remote, "it is no manifest of an image")
    return bytes(content)


def _all(remote: RemoteStore, meter: TransferMeter, jobs: Sequence[tuple[StoredObject, Callable[[], None]]]) -> None:
    """Does all of it, several at once; raises what the first that failed raised: at the end, where that is one object's fault."""
    if not jobs:
        return
    wrong: IntegrityError | None = None
    pool = ThreadPool(min(remote.parallel, len(jobs)))
    try:
        for _, _, error in pool.completed(jobs, meter.poll):
            if isinstance(error, IntegrityError):
                wrong = wrong or error
                continue
            if error is not None:
                raise error
            meter.items += 1
            meter.report()
    finally:
        meter.end()
        pool.shut_down(_GRACE)
    if wrong is not None:
        raise wrong
