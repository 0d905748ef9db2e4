"""What this clone remembers of a remote store, so that nothing is asked twice: facts of the index, and indexes of packs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gitml.core.config.remotes import StoredObject
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.pack import decode_index
from gitml.core.model.protocols import Facts, RemoteStore
from gitml.errors import Guard, RemoteError
from gitml.permissions import ALONE, SharedMode
from gitml.store.local.disk import write_whole
from gitml.store.remote.layout import NOTE_LARGEST

NOTE_FORMAT = 1
_MOST_DOOMED = 250_000  # of more the rest is noted another time
_MARK = "remote-epoch"  # kind of fact: remote -> the mark of what is known of it


class GcNote(NamedTuple):
    """What lies in a remote beside its objects. `store` is the name of this store, by which it differs from one that was in its
    place before; "" when nobody
    named it yet; `epoch` counts gc's deletions; `doomed` says since when (seconds since 1970) what is unneeded.

    An upload transfers what is doomed again.
    """

    epoch: int = 0
    doomed: Mapping[Digest, float] = {}
    store: str = ""


def encode_note(note: GcNote) -> bytes:
    """A note as JSON."""
    doomed = {hex_of(digest): since for digest, since in sorted(note.doomed.items())[:_MOST_DOOMED]}
    named = {"store": note.store} if note.store else {}
    return json.dumps({"format": NOTE_FORMAT, "epoch": note.epoch, "doomed": doomed, **named}).encode() + b"\n"


def decode_note(content: bytes | None) -> GcNote:
    """The note; an empty one when there is none, ValueError for what is no note of this format."""
    if content is None:
        return GcNote()
    if len(content) > NOTE_LARGEST or content.count(b",") > _MOST_DOOMED + 10:
        raise ValueError(f"notes of gc of more than {NOTE_LARGEST >> 20} MiB, or of more than {_MOST_DOOMED} objects")
    try:
        raw = json.loads(content)
        if raw["format"] != NOTE_FORMAT:
            raise ValueError(f"notes of gc of format {raw['format']!r}; this gitml reads format {NOTE_FORMAT}")
        doomed = {from_hex(name): float(since) for name, since in raw["doomed"].items()}
        return GcNote(int(raw["epoch"]), doomed, str(raw.get("store", "")))
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not the notes of gc: {error!r}") from error


class RemoteCache:
    """What is known to be in one remote, or known to be bad there. Used from one thread, that of the index.

    What is there counts as long as the store has the same name and gc deleted nothing since: `mark` is made of both. What is
    bad counts until it was uploaded again.
    """

    def __init__(self, facts: Facts, identity: str) -> None:
        self._facts = facts
        self._identity = identity
        self._bad = f"remote-bad-{identity}"
        self.mark = str(facts.fact(_MARK, identity) or 0)

    def lookup(self, digest: Digest) -> bool | None:
        """True: it is there; False: what is there is bad; None: not known."""
        if self._facts.fact(self._bad, hex_of(digest)):
            return False
        return True if self._facts.fact(f"remote-{self._identity}-{self.mark}", hex_of(digest)) else None

    def remember(self, digests: Iterable[Digest], *, good: bool = True) -> None:
        """Remembers that these are there, or that what is there is bad."""
        for name in map(hex_of, digests):
            if self._facts.fact(self._bad, name) is not (None if good else True):
                self._facts.remember(self._bad, name, not good)
            self._facts.remember(f"remote-{self._identity}-{self.mark}", name, good)

    def apply_note(self, note: GcNote) -> None:
        """Applies the notes just read there: what was known of another store, or before gc deleted something, counts no more."""
        if note.store:
            self._become(f"{note.store}-{note.epoch}")
        elif self.mark.isdigit():
            self._become(str(note.epoch))
        elif not self.mark.startswith("?"):
            self.forget()  # its name is gone, and most likely all else

    def forget(self) -> None:
        """Nothing is known any more."""
        self._become(f"?{os.urandom(8).hex()}")

    def _become(self, mark: str) -> None:
        if mark != self.mark:
            self.mark = mark
            self._facts.remember(_MARK, self._identity, mark)


class RemoteSource(NamedTuple):
    """A remote store and what is known of it."""

    remote: RemoteStore
    known: RemoteCache


class PackIndexes:
    """The indexes of packs that were made or fetched here, in ``packs/`` below `root`; losing one costs a transfer."""

    def __init__(self, root: str, sharing: SharedMode = ALONE) -> None:
        self._folder = os.path.join(root, "packs")
        self._sharing = sharing

    def keep(self, pack: Digest, index: bytes) -> None:
        """Keeps what a pack begins with."""
        path = self._path(pack)
        with Guard(path):
            self._sharing.make_folder(os.path.dirname(path))
            write_whole(path, index)
            self._sharing.open_up(path)

    def items(self, pack: Digest) -> list[StoredObject] | None:
        """What a pack holds, None when that is not known here."""
        try:
            with open(self._path(pack), "rb") as file:
                return decode_index(file.read())[0]
        except (FileNotFoundError, ValueError):
            return None

    def packs(self) -> Iterator[Digest]:
        """Every pack that is known here."""
        for place, _, names in os.walk(self._folder):
            for name in names:
                try:
                    yield from_hex(os.path.basename(place) + name)
                except ValueError:
                    continue  # one that was being written when its process was killed

    def _path(self, pack: Digest) -> str:
        name = hex_of(pack)
        return f"{self._folder}/{name[:2]}/{name[2:]}"


def gc_note(remote: RemoteStore, known: RemoteCache) -> GcNote:
    """The notes of gc in a remote, which are applied to `known`."""
    try:
        note = decode_note(remote.note())
    except ValueError as error:
        raise RemoteError(str(error), where=remote.place, hint="use a newer gitml") from error
    known.apply_note(note)
    return note


def name_store(remote: RemoteStore, known: RemoteCache, note: GcNote) -> None:
    """Names a store that has no name, so that its loss is noticed. Of two processes that do so at once, the name of one stays."""
    if not note.store:
        remote.set_note(encode_note(note._replace(store=os.urandom(8).hex())))
        gc_note(remote, known)
