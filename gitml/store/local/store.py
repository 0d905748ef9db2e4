"""LocalStore: the Store of one machine, a folder of read-only files named by the sha256 of their content."""

from __future__ import annotations

import os

from gitml.core.model.digest import Digest
from gitml.errors import machine_error
from gitml.store.local import disk
from gitml.store.local.object_writer import ObjectWriter


class LocalStore(ObjectWriter):
    """The Store at `root`; nothing is made until something is kept. Used from one thread; processes may share a root.

    One that is not `durable` syncs nothing: after a crash of the machine its objects must be verified again (`distrust_all`).
    What ingests and materializes is imported when it is first used: a run that reuses everything does neither.
    """

    def disk_space(self) -> tuple[int, int]:
        """(bytes free, bytes in all) of the disk it is on; OSError when that does not answer."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def distrust_all(self) -> None:
        """Has every object that is not hashed anyway be hashed when it is used next."""
        for digest, size in self.iterate():
            if size > disk.SMALL:
                path = self.path_of(digest)
                try:
                    os.utime(path)
                except PermissionError:  # another user's: what can't be marked is hashed now
                    self.verify(digest)
                except OSError as error:
                    raise machine_error(error, path) from error

    def ingest_file(self, path: str) -> tuple[Digest, int]:
        """Moves a regular file in; gives its Digest and size."""
        from gitml.store.local.ingest import ingest_file

        return ingest_file(self, path)

    def ingest_tree(self, path: str, *, leave: bool = False) -> tuple[Digest, int]:
        """Moves a directory in; gives its Digest and the bytes of its files. InputError naming what can't be kept."""
        from gitml.store.local.ingest import ingest_tree

        return ingest_tree(self, path, leave)

    def materialize_file(self, digest: Digest, path: str, *, executable: bool = False) -> None:
        """Puts a Blob at `path` by reflink, hard link or copy, verified as `open` does. IntegrityError when missing or bad."""
        from gitml.store.local.materialize import materialize_file

        materialize_file(self, digest, path, executable)

    def materialize_tree(self, digest: Digest, path: str) -> None:
        """Puts a Tree at `path`, a new directory."""
        from gitml.store.local.materialize import materialize_tree

        materialize_tree(self, digest, path)

    def verify_materialized(self, digest: Digest, *, tree: bool) -> list[Digest]:
        """The objects behind what was placed that were changed in place since; they are quarantined already.

        Call it after a step, before its sandbox is removed. Others linking and unlinking the same objects cost a hash,
        never a false alarm.
        """
        from gitml.store.local.materialize import verify_materialized

        return verify_materialized(self, digest, tree)

    def release_materialized(self, digest: Digest, *, tree: bool) -> None:
        """Call it after `verify_materialized`, once the sandbox is removed: this unlinking then raises no doubt of objects."""
        from gitml.store.local.materialize import release_materialized

        release_materialized(self, digest, tree)
