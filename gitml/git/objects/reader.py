"""Git's objects, read through processes that last: `git cat-file` knows packs, alternates, partial clones and SHA-256."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from gitml.core.model.protocols import Entry
from gitml.errors import InputError, IntegrityError, RemoteError
from gitml.git.command import Location, is_partial
from gitml.git.objects.submodules import object_folders
from gitml.git.persistent_process import PersistentProcess

_CHUNK = 1 << 20
# Requests are 41 or 65 bytes: what is unanswered always fits in the pipe (64 KiB), so neither side can block the other.
_WINDOW = 512
_MEMO = 20_000
_COMMIT = 1 << 20  # bytes of a submodule's commit
SPARING = ("-c", "core.deltaBaseCacheLimit=16m", "-c", "core.packedGitLimit=32m", "-c", "core.packedGitWindowSize=1m")
"""For a git that reads many objects once each: what it keeps of them for later, and maps of packs, stays small."""
EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The tree without entries by the length of object ids: Git has it without an object."""
_HEX = frozenset("0123456789abcdef")


class Header(NamedTuple):
    """What Git says of an object: `kind` is ``blob``, ``tree``, ``commit`` or ``tag``, size in bytes."""

    oid: str
    kind: str
    size: int


class Objects:
    """The objects of a repository. Safe to use from several threads. Objects written after it started are found too."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._raw_size = 32 if location.object_format == "sha256" else 20
        self._contents = PersistentProcess(location, "cat-file", "--batch", local=True)
        self._headers = PersistentProcess(location, "cat-file", "--batch-check", local=True)
        self._trees: dict[str, Mapping[str, Entry]] = {}

    @cached_property
    def files(self) -> CommitFiles:
        """What commits hold, that of submodules included."""
        return CommitFiles(self)

    def start(self) -> None:
        """Starts reading ahead of need, so that the process's start overlaps with other work."""
        with self._contents.lock:
            self._contents.start()
        self.files.start()

    def __enter__(self) -> Objects:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; a later request starts them again."""
        for process in (self._contents, self._headers):
            with process.lock:
                process.close()
        self.files.close()

    def kill(self) -> None:
        """Ends the processes at once, whatever other threads do; nothing may be asked afterwards."""
        for process in (self._contents, self._headers):
            process.kill()
        self.files.kill()

    def is_oid(self, text: str) -> bool:
        """Whether `text` is a full object id."""
        return len(text) == 2 * self._raw_size and _HEX.issuperset(text)

    def find(self, name: str, most: int | None = None) -> tuple[Header, bytes] | None:
        """The object that `name` (an id or any revision) stands for, None when there is none.

        InputError when it is not a name or stands for several, or when it is more than `most` bytes.
        """
        request = _request(name)
        with self._contents.lock:
            self._contents.send(request)
            header = _header(name, self._contents.line())
            if header is not None and most is not None and header.size > most:
                self._pass_over(self._contents, header)
                what = f"a file of {header.size >> 20} MiB, which is read whole: larger than {most >> 20} MiB"
                raise InputError(
                    what, where=f"Git object {header.oid}", hint=f"git log --all --find-object={header.oid}"
                )
            return header and (header, self._body(self._contents, header))

    def read(self, oid: str, most: int | None = None) -> bytes:
        """The content of the object `oid`. IntegrityError when it is not here, InputError when it is more than `most` bytes."""
        found = self.find(self._checked(oid), most)
        if found is None:
            raise self._missing(oid)
        return found[1]

    def header(self, name: str) -> Header | None:
        """Id, kind and size of what `name` stands for, without its content; None when there is none."""
        request = _request(name)
        with self._headers.lock:
            self._headers.send(request)
            return _header(name, self._headers.line())

    def kind_size(self, oid: str) -> tuple[str, int]:
        """Kind and size of the object `oid`. IntegrityError when it is not here."""
        header = self.header(self._checked(oid))
        if header is None:
            raise self._missing(oid)
        return header.kind, header.size

    def resolve(self, rev: str) -> str | None:
        """The id that a revision stands for, None when it stands for nothing. InputError when it stands for several."""
        header = self.header(rev)
        return header and header.oid

    def stream(self, oid: str, write: Callable[[bytes], object]) -> int:
        """Gives the content of `oid` to `write` in chunks of at most 1 MiB; its size. IntegrityError when it is not here."""
        request = _request(self._checked(oid))
        with self._contents.lock:
            self._contents.send(request)
            header = _header(oid, self._contents.line())
            if header is None:
                raise self._missing(oid)
            try:
                left = header.size
                while left:
                    chunk = self._contents.exactly(min(left, _CHUNK))
                    left -= len(chunk)
                    write(chunk)
                self._contents.exactly(1)
            except BaseException:
                self._contents.close()
                raise
            return header.size

    def read_many(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """(oid, content) of each, in order, with requests sent ahead; for thousands of objects. Hold few of them at a time."""
        for oid, content in self.read_those_here(oids):
            if content is None:
                raise self._missing(oid)
            yield oid, content

    def read_those_here(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """As `read_many`, with None for an object that is missing."""
        with self._process(*SPARING, "cat-file", "--batch") as process:
            for oid, header in self._many(process, oids):
                yield oid, header and self._body(process, header)

    def read_within(self, oids: Iterable[str], most: int) -> Iterator[tuple[Header | None, bytes]]:
        """(header, content) of each, in order, with requests sent ahead; no content where it is more than `most` bytes.

        None for an object that is missing.
        """
        with self._process(*SPARING, "cat-file", "--batch") as process:
            for _, header in self._many(process, oids):
                if header is None or header.size <= most:
                    yield header, self._body(process, header) if header else b""
                    continue
                self._pass_over(process, header)
                yield header, b""

    def headers(self, oids: Iterable[str]) -> Iterator[Header]:
        """Kind and size of each, in order, with requests sent ahead."""
        with self._process("cat-file", "--batch-check") as process:
            for oid, header in self._many(process, oids):
                if header is None:
                    raise self._missing(oid)
                yield header

    def _process(self, *args: str) -> AbstractContextManager[PersistentProcess]:
        """A process for one series of requests."""
        return closing(PersistentProcess(self.location, *args, local=True))

    def tree(self, oid: str) -> Mapping[str, Entry]:
        """What is directly in the tree `oid`, by name, remembered."""
        known = self._trees.get(oid)
        if known is None:
            content = self.read(oid)
            try:
                known = parse_tree(content, self._raw_size)
            except ValueError as error:
                raise IntegrityError(f"not a tree: {oid}", where=self.location.git_dir, hint="git fsck") from error
            if len(self._trees) >= _MEMO:
                self._trees.clear()
            self._trees[oid] = known
        return known

    def _many(self, process: PersistentProcess, oids: Iterable[str]) -> Iterator[tuple[str, Header | None]]:
        source = iter(oids)
        asked: list[str] = []
        done = 0
        while True:
            if len(asked) - done <= _WINDOW // 2:
                del asked[:done]
                done = 0
                more = [self._checked(oid) for oid in islice(source, _WINDOW - len(asked))]
                if more:
                    process.send("".join([f"{oid}\n" for oid in more]).encode("ascii"))
                    asked += more
                elif not asked:
                    return
            oid = asked[done]
            done += 1
            yield oid, _header(oid, process.line())

    def _pass_over(self, process: PersistentProcess, header: Header) -> None:
        left = header.size + 1
        while left:
            left -= len(process.exactly(min(left, _CHUNK)))

    def _body(self, process: PersistentProcess, header: Header) -> bytes:
        content = process.exactly(header.size + 1)
        return content[:-1]

    def _checked(self, oid: str) -> str:
        if not self.is_oid(oid):
            raise InputError(f"not an object id: {oid[:80]!r}")
        return oid

    def _missing(self, oid: str) -> IntegrityError:
        if self.location.is_shallow:
            where, hint = self.location.git_dir, "this clone is shallow: git fetch --unshallow fetches the rest"
            return IntegrityError(f"Git object {oid} is not here", where=where, hint=hint)
        return IntegrityError(
            f"Git object {oid} is missing",
            where=self.location.git_dir,
            hint="gitml fsck --repair writes it again where the work tree has it; else fetch it from a clone",
        )


class CommitFiles:
    """What commits hold, by ids: objects of a repository and of its submodules that are here. Safe to use from several threads.

    Names of revisions, refs and what is to be sent, kept or checked are the repository's own: of these `Objects` knows. Fulfils
    `execute.interfaces.GitObjectReader`.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._folders: dict[str, Mapping[str, Entry]] = {}
        self._commits: dict[str, str] = {}

    @property
    def location(self) -> Location:
        """The repository, with the folders of objects of its submodules beside it."""
        return self._reader.location

    @cached_property
    def _reader(self) -> Objects:
        location = self._objects.location
        if location.beside:
            return self._objects
        beside = tuple(object_folders(location))
        return Objects(location._replace(beside=beside)) if beside else self._objects

    def start(self) -> None:
        """Starts what reads submodules, where there are any, ahead of need."""
        if self._reader is not self._objects:
            self._reader.start()

    def close(self) -> None:
        """Ends processes of its own; a later request starts them again."""
        reader = self.__dict__.pop("_reader", None)
        if reader is not None and reader is not self._objects:
            reader.close()

    def kill(self) -> None:
        """Ends them at once; nothing may be asked afterwards."""
        reader = self.__dict__.get("_reader")
        if reader is not None and reader is not self._objects:
            reader.kill()

    def folder(self, oid: str) -> Mapping[str, Entry]:
        """What is directly in the tree `oid`, by name: submodules that are here are folders."""
        known = self._folders.get(oid)
        if known is None:
            known = self._reader.tree(oid)
            if any(entry.is_submodule for entry in known.values()):
                known = {name: self.followed(entry) for name, entry in known.items()}
                self._folders[oid] = known
        return known

    def followed(self, entry: Entry) -> Entry:
        """The folder that a submodule is, where its commit is here; else, and for anything else, the entry."""
        if not entry.is_submodule:
            return entry
        if self._reader is self._objects and is_partial(self._objects.location):
            return entry  # asking would fetch
        if entry.oid not in self._commits:
            tree = self._tree_of(entry.oid)
            if tree is None:  # it may come
                return entry
            self._commits[entry.oid] = tree
        return Entry("40000", self._commits[entry.oid])

    def _tree_of(self, commit: str) -> str | None:
        try:
            found = self._reader.find(commit, _COMMIT)
        except (RemoteError, InputError):  # of a clone that asks its remote for what is missing
            return None
        return tree_of_commit(found[1]) if found is not None and found[0].kind == "commit" else None

    def submodules_of(self, tree: str) -> list[str]:
        """The commits of the submodules in a tree that are here, and of those in them."""
        found: dict[str, None] = {}
        seen = set()
        waiting = [tree]
        while waiting:
            oid = waiting.pop()
            if oid in seen:
                continue
            seen.add(oid)
            for entry in self._reader.tree(oid).values():
                at = self.followed(entry)
                if at.is_tree:
                    waiting.append(at.oid)
                    if entry.is_submodule:
                        found[entry.oid] = None
        return list(found)

    def tree(self, oid: str) -> Mapping[str, Entry]:
        """What is directly in the tree `oid`, as Git has it."""
        return self._reader.tree(oid)

    def read(self, oid: str, most: int | None = None) -> bytes:
        """As `Objects.read`."""
        return self._reader.read(oid, most)

    def kind_size(self, oid: str) -> tuple[str, int]:
        """As `Objects.kind_size`."""
        return self._reader.kind_size(oid)

    def header(self, oid: str) -> Header | None:
        """Kind and size of the object `oid`, None where it is not here."""
        return self._reader.header(oid) if self._reader.is_oid(oid) else None

    def stream(self, oid: str, write: Callable[[bytes], object]) -> int:
        """As `Objects.stream`."""
        return self._reader.stream(oid, write)

    def read_many(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """As `Objects.read_many`."""
        return self._reader.read_many(oids)

    def headers(self, oids: Iterable[str]) -> Iterator[Header]:
        """As `Objects.headers`."""
        return self._reader.headers(oids)


def tree_of_commit(content: bytes) -> str:
    """The tree that the commit with these bytes names; InputError when they are not a commit's."""
    if not content.startswith(b"tree "):
        raise InputError("not a commit")
    return content[5 : content.index(b"\n")].decode("ascii")


def parse_tree(content: bytes, raw_size: int) -> dict[str, Entry]:
    """The entries of a Git tree whose ids are of `raw_size` bytes; ValueError when it is not one."""
    entries = {}
    at = 0
    end = len(content)
    while at < end:
        space = content.index(b" ", at)
        nul = content.index(b"\0", space)
        after = nul + 1 + raw_size
        if after > end:
            raise ValueError("truncated tree")
        mode = content[at:space].decode("ascii").lstrip("0")
        entries[os.fsdecode(content[space + 1 : nul])] = Entry(mode, content[nul + 1 : after].hex())
        at = after
    return entries


def check_revision(name: str) -> None:
    """InputError unless `name` could be a revision: control characters would reach git as something else."""
    if not name or any(character < " " or character == "\x7f" for character in name):
        raise InputError(f"not a revision: {name[:80]!r}")


def _request(name: str) -> bytes:
    check_revision(name)
    return os.fsencode(name) + b"\n"


def _header(name: str, line: bytes) -> Header | None:
    """The answer to a request for `name`."""
    if line.endswith(b" missing"):
        return None
    if line.endswith(b" ambiguous"):
        raise InputError(f"{name[:80]!r} is the beginning of several object ids", hint="write more of it")
    try:
        oid, kind, size = line.split(b" ")
        return Header(oid.decode("ascii"), kind.decode("ascii"), int(size))
    except ValueError:
        raise IntegrityError(f"git cat-file answered {line[:120]!r} for {name[:80]!r}") from None
