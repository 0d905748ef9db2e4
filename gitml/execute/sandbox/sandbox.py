"""The sandbox of one attempt: a fresh directory with its code and its inputs, and nothing else of the repository.

``<root>/work`` is where the step runs, ``<root>/tmp`` its TMPDIR, ``<root>/home`` its ``$HOME`` where it has its own: outside
``work``, so that a step that lists its directory sees what it declared and nothing more. Where the sandbox is mounted, the step
sees it at the fixed path; it is filled and emptied at its real one, because no link leads from one mount to another.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from gitml import layout
from gitml.core.kinds.cache_kinds import StepCache
from gitml.core.model.action import CONFIG, Action, ActionInput
from gitml.core.model.digest import Digest, digest_of, hex_of, parse_digest
from gitml.core.model.links import init_command
from gitml.core.model.paths import is_git_name
from gitml.core.model.protocols import Entry
from gitml.core.model.step_settings import TOP
from gitml.core.model.tree import decode_tree, link_stays_inside
from gitml.errors import InputError, IntegrityError
from gitml.execute.interfaces import WorkerServices
from gitml.execute.process import UMASK
from gitml.execute.sandbox.caches import OpenedCache, open_cache
from gitml.execute.sandbox.namespace import mount_sandbox
from gitml.execute.sandbox.removal import remove_tree
from gitml.execute.sandbox.repository import SandboxFiles, covered, write_repository
from gitml.files import write_all
from gitml.platform.linux import MOUNTED

EPOCH = 946684800
_FILES = ("100644", "100755", "100664")
CACHES = "cache"
"""The folder of a sandbox in which the caches of its step are, by name."""
_TREE, _LINK = "40000", "120000"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_MANY = 64  # from here on asking ahead is worth a process of its own


class MaterializedInput(NamedTuple):
    """A piece of the Store at `mount` in the sandbox."""

    digest: Digest
    tree: bool
    mount: str


class Sandbox:
    """Makes and removes the directories of one attempt below `root`; `placed` is what came from the Store.

    `seen` is the root as the step sees it: where it is `mounted`, or in an image, at the fixed path. `caches` are those that it
    may use, held until it is removed.
    """

    def __init__(self, root: str, services: WorkerServices, memory: BlobMemory, *, mounted: bool = False) -> None:
        self.root = root
        self.work = root + "/work"
        self.seen = MOUNTED if mounted else root
        self._mounted = mounted
        self.placed: list[MaterializedInput] = []
        self.caches: list[OpenedCache] = []
        self._services = services
        self._store = services.store
        self._git_objects = services.git_objects
        self._lfs_object = services.lfs_object
        self._memory = memory
        self._initial_names: frozenset[str] = frozenset()
        self._directories = {""}
        self._links: set[str] = set()
        self._pointers: set[str] = set()
        self._git: dict[str, Entry] = {}
        self._streamed: dict[str, Entry] = {}  # those of the commit that were too large to be held
        self._copies: dict[str, Digest] = {}
        self._taken: set[str] = set()
        self._data: list[str] = []

    def build(self, action: Action, *, own_home: bool, caches: Sequence[StepCache] = (), caches_of: str = "") -> None:
        """Fills the sandbox. `own_home` gives the step a ``$HOME`` of its own, `caches` are as those of a Task.

        InputError for what can't be placed as declared, IntegrityError for bad content, MachineError for a cache.
        """
        os.makedirs(self.root)
        if self._mounted:
            mount_sandbox(self.root)
        # the modes of its files are the same everywhere; who may enter is settled by the root's
        umask = os.umask(UMASK)
        try:
            self._fill(action, own_home)
            if caches:
                self._open_caches(caches, caches_of)
                self._initial_names = frozenset(os.listdir(self.work))
        finally:
            os.umask(umask)

    def _fill(self, action: Action, own_home: bool) -> None:
        os.mkdir(self.work)
        os.mkdir(self.root + "/tmp")  # noqa: S108  ours alone, in the sandbox
        if own_home:
            os.mkdir(self.root + "/home", 0o700)
        outputs = {_checked(output.mount) for output in action.outputs}
        for item in action.inputs:
            if not item.content.startswith("git:"):
                self._materialize_input(item)
        # what the commit has where an output goes would pass for the step's work, what it has in an input would change it
        hidden = self._taken | outputs
        for item in action.inputs:
            if item.content.startswith("git:"):
                _, mode, oid = item.content.split(":", 2)
                mount = _checked(item.mount)
                self._collect(mount, Entry(mode, oid), self._taken)
                if item.kind != "directory":
                    self._data.append(mount)
        for path, mode, oid in action.code:
            self._collect(_checked(path), Entry(mode, oid), hidden)
        self._write_from_git()
        for mount in sorted(outputs):
            if not covered(
                mount.rpartition("/")[0] or ".", outputs
            ):  # a directory that the step makes is not there yet
                self._parents(mount)
        if action.workdir != TOP:
            self._directories_for(_checked(action.workdir))
        if action.repository is not None:
            write_repository(self.work, self._git_objects, action.repository, self._files(action))
        self._initial_names = frozenset(os.listdir(self.work))

    def _files(self, action: Action) -> SandboxFiles:
        """What the step has, for the repository of its commit."""
        of_the_commit = [item for item in action.inputs if item.content.startswith("git:")]
        stored = [item for item in action.inputs if not item.content.startswith("git:")]
        folders = [file.path for file in action.code if file.mode == _TREE]
        folders += [item.mount for item in of_the_commit if item.kind == "directory"]
        return SandboxFiles(
            {**self._git, **self._streamed},
            self._pointers,
            {_checked(item.mount) for item in stored if item.kind == CONFIG},
            {_checked(item.mount) for item in stored if item.kind != CONFIG},
            set(map(_checked, folders)),
            {_checked(output.mount) for output in action.outputs},
        )

    def _open_caches(self, caches: Sequence[StepCache], repository: str) -> None:
        """Opens them, and leads to each from its place in the working folder."""
        os.mkdir(f"{self.root}/{CACHES}")
        place = os.path.join(self._services.environments.cache_dir, layout.CACHES)
        for cache in caches:
            if repository:
                self.caches.append(open_cache(place, repository, cache))
            else:
                own = f"{self.root}/{CACHES}/{cache.name}"
                os.mkdir(own, 0o555 if cache.readonly else 0o755)
                self.caches.append(OpenedCache(cache, own))
            if cache.path:
                path = _checked(cache.path)
                self._parents(path)
                above = "../" * (path.count("/") + 1)
                try:
                    os.symlink(f"{above}{CACHES}/{cache.name}", self.path_of(path))
                except FileExistsError as error:
                    raise InputError(f"the cache {cache.name} lies on something else", where=path) from error

    def path_of(self, mount: str) -> str:
        """Where `mount` is on this machine."""
        return f"{self.work}/{mount}" if mount not in ("", ".") else self.work

    def left_behind(self, action: Action) -> tuple[str, ...]:
        """Names directly in the folder of the step that it made and that are no output; a folder's ends in ``/``.

        One look at one folder. What is hidden is a tool's own, and byte code is nobody's.
        """
        places = [place for output in action.outputs for place in (output.mount, *(output.option("pattern") or ()))]
        known = self._initial_names | {place.partition("/")[0] for place in places} | {"__pycache__"}
        with os.scandir(self.work) as entries:
            found = [entry for entry in entries if entry.name not in known and not entry.name.startswith(".")]
            return tuple(sorted(entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in found))

    def is_given(self, path: str) -> bool:
        """Whether what lies at a path is what the sandbox was built with there: the same bytes, or the same link."""
        full = self.path_of(path)
        entry = self._git.get(path) or self._streamed.get(path)
        if entry is not None:
            return self._is_entry(full, entry)
        for item in self.placed:
            if item.mount == path or (item.tree and path.startswith(item.mount + "/")):
                return self._is_stored(full, item, path)
        return path in self._copies and _sha256(full) == hex_of(self._copies[path])

    def _is_entry(self, full: str, entry: Entry) -> bool:
        if os.path.islink(full) or entry.mode == _LINK:
            same_kind = os.path.islink(full) and entry.mode == _LINK
            return same_kind and self._git_objects.read(entry.oid) == os.fsencode(os.readlink(full))
        if _permissions(entry.mode) & 0o100 != os.stat(full).st_mode & 0o100:
            return False
        size = os.stat(full).st_size
        hasher = hashlib.new("sha1" if len(entry.oid) == 40 else "sha256", b"blob %d\0" % size)
        if _hash_into(full, hasher) == entry.oid:
            return True
        if size <= _LFS_LARGEST:
            return False
        content = self._memory.get(entry.oid) or self._git_objects.read(entry.oid)
        return is_pointer(content) and _sha256(full) == hex_of(pointed_at(content, full)[0])

    def _is_stored(self, full: str, item: MaterializedInput, path: str) -> bool:
        if not item.tree:
            return not os.path.islink(full) and _sha256(full) == hex_of(item.digest)
        folder = item.digest
        *above, name = path[len(item.mount) + 1 :].split("/")
        for part in above:
            entries = {entry.name: entry for entry in decode_tree(self._store.read(folder))}
            found = entries.get(os.fsencode(part))
            if found is None or found.kind != "d":
                return False
            folder = found.digest
        found = {entry.name: entry for entry in decode_tree(self._store.read(folder))}.get(os.fsencode(name))
        if found is None or (found.kind == "l") != os.path.islink(full):
            return False
        content = os.fsencode(os.readlink(full)) if found.kind == "l" else None
        return found.digest == digest_of(content) if content is not None else _sha256(full) == hex_of(found.digest)

    def work_paths(self) -> tuple[str, ...]:
        """The folder the step runs in, by every path that a program may print for it."""
        return (self.seen + "/work", self.work, os.path.realpath(self.work))

    def changed(self) -> list[tuple[MaterializedInput, Sequence[Digest]]]:
        """The inputs from the Store that are no longer what they were, each with the objects that changed."""
        checked = [(item, self._store.verify_materialized(item.digest, tree=item.tree)) for item in self.placed]
        return [(item, bad) for item, bad in checked if bad]

    def remove(self) -> None:
        """Removes all of it, whatever the step made of it."""
        while self.caches:
            self.caches.pop().close()
        remove_tree(self.root)
        while self.placed:
            item = self.placed.pop()
            self._store.release_materialized(item.digest, tree=item.tree)

    def _materialize_input(self, item: ActionInput) -> None:
        digest = parse_digest(item.content)
        mount = _checked(item.mount)
        if mount in self._taken:
            return
        self._parents(mount)
        path = self.path_of(mount)
        tree = item.kind == "directory"
        try:
            if item.kind == CONFIG:  # a copy, for programs may write to their own
                self._write(item.mount, Entry("100644", ""), self._store.read(digest))
                self._taken.add(mount)
                self._copies[mount] = digest
                return
            if tree:
                self._store.materialize_tree(digest, path)
            else:
                self._store.materialize_file(digest, path, executable=item.kind == "executable")
        except FileExistsError as error:
            raise InputError(f"input {item.name} lies on another one", where=item.mount) from error
        except IntegrityError as error:
            raise BadInputError(digest, f"input {item.name} ({item.mount}): {error.message}", error.hint) from error
        self._taken.add(mount)
        self.placed.append(MaterializedInput(digest, tree, mount))

    def _collect(self, path: str, entry: Entry, hidden: set[str]) -> None:
        """Adds what `entry` stands for to what is to be written, but for what lies at or below a path in `hidden`."""
        if path and covered(path, hidden):
            return
        if entry.is_tree:
            if path:
                self._directories_for(path)
            for name, child in self._git_objects.folder(entry.oid).items():
                if is_git_name(name):
                    raise InputError("the commit holds a path that git itself refuses", where=f"{path}/{name}")
                self._collect(f"{path}/{name}" if path else name, child, hidden)
        elif entry.is_submodule:
            raise InputError("a submodule whose commit is not here", where=path, hint=init_command(path))
        elif entry.mode != _LINK and entry.mode not in _FILES:
            raise InputError(f"Git mode {entry.mode} is not a file, link or directory", where=path)
        elif self._git.setdefault(path, entry) != entry:
            raise InputError("two contents for one path", where=path)

    def _write_from_git(self) -> None:
        for path in self._data:
            entry = self._git.get(path)
            if entry is not None and self._memory.get(entry.oid) is None:
                self._write_streamed(path, entry)
                self._streamed[path] = self._git.pop(path)
        unread: dict[str, list[str]] = {}
        for path, entry in self._git.items():
            content = self._memory.get(entry.oid)
            if content is None:
                unread.setdefault(entry.oid, []).append(path)
            else:
                self._write(path, entry, content)
        ahead = list(unread)
        for oid, content in (
            self._git_objects.read_many(ahead)
            if len(ahead) > _MANY
            else ((oid, self._git_objects.read(oid)) for oid in ahead)
        ):
            self._memory.put(oid, content)
            for path in unread.pop(oid, ()):
                self._write(path, self._git[path], content)
        for paths in unread.values():
            raise IntegrityError("a file of the commit is missing from the repository", where=paths[0], hint="git fsck")

    def _write_streamed(self, path: str, entry: Entry) -> None:
        """Data can be large: it is held in memory only when it proves small."""
        held: list[bytes] = []
        size = 0
        fd = -1

        def take(chunk: bytes) -> None:
            nonlocal size, fd
            size += len(chunk)
            if size <= KEPT_EACH:
                held.append(chunk)
                return
            if fd < 0:
                self._parents(path)
                fd = os.open(self.path_of(path), _CREATE, _permissions(entry.mode))
                write_all(fd, b"".join(held))
            write_all(fd, chunk)

        try:
            self._git_objects.stream(entry.oid, take)
            if fd >= 0:
                os.utime(fd, (EPOCH, EPOCH))
                return
        finally:
            if fd >= 0:
                os.close(fd)
        content = b"".join(held)
        self._memory.put(entry.oid, content)
        self._write(path, entry, content)

    def _write(self, path: str, entry: Entry, content: bytes) -> None:
        mode = entry.mode
        self._parents(path)
        full = self.path_of(path)
        if mode == _LINK:
            self._link(path, full, content)
            return
        if is_pointer(content):
            self._write_lfs(path, full, content, mode)
            return
        fd = os.open(full, _CREATE, _permissions(mode))
        try:
            write_all(fd, content)
            os.utime(fd, (EPOCH, EPOCH))
        finally:
            os.close(fd)

    def _link(self, path: str, full: str, content: bytes) -> None:
        target = os.fsdecode(content)
        if not link_stays_inside(os.path.dirname(path), target):
            raise InputError(f"symbolic link leads out of the repository, to {target}", where=path)
        self._links.add(path)
        os.symlink(target, full)

    def _write_lfs(self, path: str, full: str, pointer: bytes, mode: str) -> None:
        digest, size = pointed_at(pointer, path)
        self._pointers.add(path)
        if self._store.has(digest, size, tree=False):
            self._store.materialize_file(digest, full, executable=mode == "100755")
            self.placed.append(MaterializedInput(digest, False, path))
            return
        source = self._lfs_object(digest)
        if source is None:
            hint = f"git lfs pull --include={path}"
            raise InputError("the content of this Git LFS file is not on this machine", where=path, hint=hint)
        fd = os.open(full, _CREATE, _permissions(mode))
        try:
            if copy_hashed(source, fd) != hex_of(digest):
                hint = f"remove {source} and run: git lfs pull --include={path}"
                raise IntegrityError("the local Git LFS object is damaged", where=path, hint=hint)
            os.utime(fd, (EPOCH, EPOCH))
        finally:
            os.close(fd)

    def _parents(self, path: str) -> None:
        cut = path.rfind("/")
        if cut > 0:
            self._directories_for(path[:cut])

    def _directories_for(self, directory: str) -> None:
        if directory in self._directories:
            return
        self._parents(directory)
        if directory in self._links:
            raise InputError("a path of the step leads through a symbolic link", where=directory)
        try:
            os.mkdir(self.path_of(directory))
        except FileExistsError as error:
            if os.path.islink(self.path_of(directory)) or not os.path.isdir(self.path_of(directory)):
                raise InputError("both a file and a directory", where=directory) from error
        self._directories.add(directory)


class BadInputError(IntegrityError):
    """The content of an input is missing or wrong; `digest` is quarantined already."""

    def __init__(self, digest: Digest, message: str, hint: str | None) -> None:
        super().__init__(message, hint=hint)
        self.digest = digest


def _permissions(mode: str) -> int:
    return 0o755 if mode == "100755" else 0o644


def _checked(path: str) -> str:
    """A relative path in normal form, "" for the root; InputError when it leads out."""
    if path in ("", "."):
        return ""
    if path.startswith("/") or "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise InputError("not a path inside the repository", where=path)
    return path


KEPT_EACH = 2**18
KEPT_ALL = 2**24
_LFS_VERSION = b"version https://git-lfs.github.com/spec/v1\n"
_LFS_LARGEST = 1024


class BlobMemory:
    """Small blobs read lately: steps of one pipeline share their code."""

    def __init__(self) -> None:
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def get(self, oid: str) -> bytes | None:
        """The blob, None when it is not remembered."""
        return self._blobs.get(oid)

    def put(self, oid: str, content: bytes) -> None:
        """Remembers a blob unless it is large; the oldest make room."""
        if len(content) > KEPT_EACH or oid in self._blobs:
            return
        self._blobs[oid] = content
        self._size += len(content)
        while self._size > KEPT_ALL:
            self._size -= len(self._blobs.popitem(last=False)[1])


def is_pointer(content: bytes) -> bool:
    """Whether `content` is a Git LFS pointer."""
    return len(content) <= _LFS_LARGEST and content.startswith(_LFS_VERSION)


def pointed_at(pointer: bytes, path: str) -> tuple[Digest, int]:
    """The Digest and size of what a pointer stands for; InputError when it does not say."""
    sha256, size = "", -1
    for line in pointer.splitlines():
        if line.startswith(b"oid sha256:"):
            sha256 = line[11:].decode("ascii", "replace")
        elif line.startswith(b"size ") and line[5:].isdigit():
            size = int(line[5:])
    try:
        return parse_digest("sha256:" + sha256), size
    except ValueError as error:
        raise InputError("a Git LFS pointer that names no sha256", where=path) from error


def _sha256(path: str) -> str:
    return _hash_into(path, hashlib.sha256())


def _hash_into(path: str, hasher: hashlib._Hash) -> str:
    """The hash in hex, with the content of a regular file added; empty for anything else."""
    if not os.path.isfile(path):
        return ""
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(2**20):
            hasher.update(chunk)
    return hasher.hexdigest()


def copy_hashed(source: str, fd: int) -> str:
    """Copies the file `source` to a descriptor; the sha256 in hex of what was copied."""
    hasher = hashlib.sha256()
    with open(source, "rb", buffering=0) as file:
        while chunk := file.read(2**20):
            hasher.update(chunk)
            write_all(fd, chunk)
    return hasher.hexdigest()
