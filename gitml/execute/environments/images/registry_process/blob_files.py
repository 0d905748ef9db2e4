"""Layers fetched into files by their digests: several at once, each going on where it was interrupted, and whole or not there."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from gitml.errors import IntegrityError, RemoteError
from gitml.execute.environments.images.registry_process.client import RegistryClient
from gitml.files import PART, locked_part, write_all

_AT_ONCE = 3
_TRIES = 4  # without a byte more
_PAUSE = 0.5  # seconds, longer with each try
_LOOK = 0.1
_EACH = 2.0  # seconds from one report of progress to the next
_CHUNK = 2**20


def fetch_layers(
    client: RegistryClient, layers: Sequence[tuple[str, int]], folder: str, report: Callable[[int, float], None]
) -> None:
    """Fetches layers, (digest, bytes) each, that are not in `folder`; `report` gets bytes done, and bytes a second.

    What has arrived stays when it fails: RemoteError, TrustError, IntegrityError for other bytes, OSError of the disk. Threads
    may go on then; this process is to end.
    """
    moved = _Moved()
    begun = time.monotonic()
    os.makedirs(folder, exist_ok=True)
    pool = ThreadPoolExecutor(_AT_ONCE)
    waiting = {pool.submit(_fetch, client, digest, size, folder, moved) for digest, size in dict(layers).items()}
    while waiting:
        done, waiting = wait(waiting, _EACH, FIRST_EXCEPTION)
        for job in done:
            job.result()
        report(moved.kept + moved.come, moved.come / max(time.monotonic() - begun, 0.001))
    pool.shutdown()


class _Moved:
    """Bytes that were there already, and that have come."""

    def __init__(self) -> None:
        self.kept = self.come = 0
        self._lock = threading.Lock()

    def add(self, come: int, kept: int = 0) -> None:
        with self._lock:
            self.come += come
            self.kept += kept


def _fetch(client: RegistryClient, digest: str, size: int, folder: str, moved: _Moved) -> None:
    path = os.path.join(folder, digest.partition(":")[2])
    while not os.path.exists(path):
        fd = locked_part(path)
        if fd is None:  # another process fetches it
            time.sleep(_LOOK)
            continue
        try:
            _Download(client, digest, size, fd, moved).complete()
            os.fchmod(fd, 0o644)
            os.rename(path + PART, path)
            return
        finally:
            os.close(fd)
    moved.add(0, size)


class _Download:
    """A blob under way into the file that `fd` is open on."""

    def __init__(self, client: RegistryClient, digest: str, size: int, fd: int, moved: _Moved) -> None:
        self.client, self.digest, self.size, self.fd, self.moved = client, digest, size, fd, moved
        self.seen = hashlib.sha256()
        self.done = 0

    def complete(self) -> None:
        """Adds what is missing. RemoteError when the registry gives no more, IntegrityError for other bytes than it should be."""
        self._look()
        tries = 0
        while self.done < self.size:
            before = self.done
            try:
                self._come()
            except RemoteError:
                tries = 0 if self.done > before else tries + 1
                if tries >= _TRIES:
                    raise
                time.sleep(_PAUSE * tries)
            else:
                break
        if self.done != self.size or self.seen.hexdigest() != self.digest.partition(":")[2]:
            self._empty()
            raise IntegrityError(f"other bytes arrived than {self.digest[:19]}…", where=self.client.name.host)

    def _look(self) -> None:
        """Takes what an earlier process left."""
        while chunk := os.read(self.fd, _CHUNK):
            self.seen.update(chunk)
            self.done += len(chunk)
        if self.done > self.size:
            self._empty()
        self.moved.add(0, self.done)

    def _come(self) -> None:
        """Reads one answer to its end."""
        answer = self.client.blob(self.digest, self.done)
        if answer.start != self.done:
            self.moved.add(-self.done)
            self._empty()
        try:
            for chunk in answer.chunks:
                if self.done + len(chunk) > self.size:
                    self._empty()
                    raise IntegrityError(
                        f"more bytes arrived than {self.digest[:19]}… has", where=self.client.name.host
                    )
                write_all(self.fd, chunk)
                self.seen.update(chunk)
                self.done += len(chunk)
                self.moved.add(len(chunk))
        finally:
            answer.chunks.close()

    def _empty(self) -> None:
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        self.seen, self.done = hashlib.sha256(), 0
