"""Protocols between the packages that decide and those that access files, Git and processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol

from gitml.core.config.remotes import StoredObject
from gitml.core.kinds.cache_kinds import StepCache
from gitml.core.model.action import Action
from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment
from gitml.core.model.guarantees import FULL, Network
from gitml.core.model.resources import Resources
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.records.record import LogRef


class Entry(NamedTuple):
    """What Git has at a path: the mode as Git writes it without leading zeros (``100644``, ``40000`` …) and the oid in hex."""

    mode: str
    oid: str

    @property
    def is_tree(self) -> bool:
        """A directory."""
        return self.mode == "40000"

    @property
    def is_link(self) -> bool:
        """A symbolic link; the blob is its target."""
        return self.mode == "120000"

    @property
    def is_submodule(self) -> bool:
        """A commit of another repository."""
        return self.mode == "160000"


class Source(Protocol):
    """The files of one commit, read from Git objects. Paths are relative, ``/`` between names, non-UTF-8 bytes as surrogates."""

    def lookup(self, path: str) -> Entry | None:
        """What is at `path`, None when nothing is. A link is returned as a link, never followed."""

    def link_above(self, path: str) -> str | None:
        """The first link among the folders that lead to `path`; None when there is none."""

    def children(self, oid: str) -> Mapping[str, Entry]:
        """The names directly in the tree `oid`."""

    def top(self) -> Collection[str]:
        """The names at the root."""

    def read(self, oid: str) -> bytes:
        """The content of the blob `oid`."""


class Store(Protocol):
    """Digest -> content on one machine. Everything in it is complete, read-only and written once."""

    def has(self, digest: Digest, size: int, *, tree: bool) -> bool:
        """Whether the content is here and unchanged as far as a stat shows (for a Tree: its listing and all below it)."""

    def open(self, digest: Digest) -> BinaryIO:
        """A Blob's bytes for reading, verified first where a stat raises doubt. IntegrityError when missing or bad."""

    def read(self, digest: Digest) -> bytes:
        """A Blob's bytes, always verified."""

    def put(self, content: bytes) -> Digest:
        """Keeps `content`."""

    def ingest_file(self, path: str) -> tuple[Digest, int]:
        """Moves a regular file in; gives its Digest and size."""

    def ingest_tree(self, path: str, *, leave: bool = False) -> tuple[Digest, int]:
        """Moves a directory in; gives its Digest and the bytes of its files. InputError naming what can't be kept.

        With `leave` files that need not be moved may stay where they are, for the caller to remove.
        """

    def materialize_file(self, digest: Digest, path: str, *, executable: bool = False) -> None:
        """Puts a Blob at `path` by reflink, hard link or copy, verified as `open` does. IntegrityError when missing or bad."""

    def materialize_tree(self, digest: Digest, path: str) -> None:
        """Puts a Tree at `path`, a new directory."""

    def quarantine(self, digest: Digest, why: str) -> None:
        """Moves a bad object aside, never deleting it; from now on it counts as missing."""

    def verify_materialized(self, digest: Digest, *, tree: bool) -> Sequence[Digest]:
        """The objects behind what was placed that were changed in place since; they are quarantined already."""

    def release_materialized(self, digest: Digest, *, tree: bool) -> None:
        """Says that what was placed is removed again; once for each time it was placed."""

    def disk_space(self) -> tuple[int, int]:
        """(bytes free, bytes in all) where it keeps its content; OSError when the disk does not answer."""


class Download(NamedTuple):
    """An object's bytes from `start` on: where it was asked to begin, or 0 where the remote can't begin in the middle.

    Where it is a file that can be reached, `file` is open for reading. A caller that uses it leaves `chunks` alone and closes it.
    """

    start: int
    chunks: Iterator[bytes]
    file: int | None = None


class RemoteObject(NamedTuple):
    """What a remote store has under a name: a `manifest` of a Tree or an object; when it was written, in seconds since 1970."""

    digest: Digest
    size: int
    manifest: bool
    written: float


class RemoteContents(Protocol):
    """Digest -> content on shared storage. What lies under a name is whole: a write that is cut off leaves nothing there.

    Every method may be called from several threads at once, and raises RemoteError when the remote can't be reached or
    refuses, TrustError when it asks for credentials that are not there.
    """

    @property
    def name(self) -> str:
        """What gitml.yaml calls it."""

    @property
    def place(self) -> str:
        """Where it is, without anything secret."""

    @property
    def identity(self) -> str:
        """The name of this remote in what is remembered of it: the same as long as its place is."""

    @property
    def parallel(self) -> int:
        """How many transfers at once serve it best."""

    def present(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these are there in that size; in as few requests as it can."""

    def lacking(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these an upload has to send; may request the right to do so."""

    def expect(self, wanted: Sequence[StoredObject]) -> None:
        """Announces what `get` will be called for next, for remotes that answer many such calls with one request."""

    def put(self, item: StoredObject, source: str | bytes, moved: Callable[[int], None]) -> None:
        """Uploads a file or bytes; IntegrityError, and nothing there, when the source is not what `item` says.

        What is there already is replaced. `moved` is called with the size of each piece sent; what it raises ends the upload.
        """

    def get(self, item: StoredObject, start: int = 0) -> Download:
        """The object's bytes, from `start` on if it can. IntegrityError when it is not there. The caller verifies them."""

    def close(self) -> None:
        """Ends connections; no method may be called afterwards."""


class RemoteStore(RemoteContents, Protocol):
    """One that has manifests and notes, too."""

    def with_manifest(self, trees: Sequence[Digest]) -> set[Digest]:
        """Which of these Trees have a manifest there."""

    def manifest(self, tree: Digest) -> bytes | None:
        """The manifest of a Tree, None when there is none."""

    def put_manifests(self, manifests: Mapping[Digest, bytes]) -> None:
        """Writes manifests; all that they name must be there."""

    def note(self) -> bytes | None:
        """The notes of gc, None when there are none."""

    def set_note(self, content: bytes) -> None:
        """Keeps notes of gc, in the place of those before; nothing happens where a remote can't keep any."""


class SweptRemote(RemoteStore, Protocol):
    """A remote store that can list what it has and delete it."""

    def listed(self) -> Iterator[RemoteObject]:
        """Everything in it, in no order; what is not gitml's is left out."""

    def delete(self, item: RemoteObject) -> None:
        """Deletes one; nothing happens when it is not there."""


class Failure(NamedTuple):
    """That an Action was performed in a run and failed."""

    key: Digest
    run: str


class ActionCache(Protocol):
    """What is already known: results by ActionKey, and the Actions that were performed for a step."""

    def result(self, key: Digest) -> ActionResult | None:
        """The result kept for `key`, whether or not its bytes are still here."""

    def recent_actions(self, pipeline: str, step: str) -> Iterable[Action]:
        """The Actions last performed for a step of this name, newest first; some dozen at most."""

    def failure(self, pipeline: str, step: str) -> Failure | None:
        """Where a step of this name failed last."""

    def action(self, key: Digest) -> Action | None:
        """The Action with this key, of a step that was performed."""

    def environment(self, digest: Digest) -> bytes | None:
        """The description of an environment, as JSON."""

    def module(self, content: str) -> Mapping[str, str] | None:
        """What a module's content was called in a run that used it: ``name`` and ``version``."""


class Task(NamedTuple):
    """One attempt to be performed.

    `attempt` is unique among all attempts and names its sandbox; `log` is the file its output goes to while it runs.
    `strict` denies every file beyond what the Action declares, its environment and the system, `network` all of the network
    beyond what it says. `lent` are environment
    variables that the step sees beyond those of its machine: what it is passed from elsewhere, and what it is to its gang.
    `secrets` are the values of its secret parameters by their seals, and `masked` what must not be seen in its log beside them.
    `stored` are inputs that a remote store is known to have, from which the machine it runs on may download them. `devices` are
    the GPUs that its worker may show it, None when it was given none. `caches` are those of the repository that is called
    `caches_of` on each machine; they are empty ones of the attempt's own where nothing is.
    """

    attempt: str
    action: Action
    environment: Environment
    resources: Resources
    timeout: float | None
    strict: bool
    log: str
    lent: Mapping[str, str] = {}
    stored: tuple[OutputRef, ...] = ()
    network: Network = FULL
    secrets: Mapping[str, str] = {}
    masked: tuple[str, ...] = ()
    devices: str | None = None
    caches: tuple[StepCache, ...] = ()
    caches_of: str = ""


class TaskStarted(NamedTuple):
    """The step's process runs."""

    attempt: str


class TaskPrepares(NamedTuple):
    """Something that takes long is made before the step's process can start: `what`, in words."""

    attempt: str
    what: str


class TaskOutput(NamedTuple):
    """The last complete line the step wrote, neutralised for a terminal; sent a few times a second at most."""

    attempt: str
    line: str


class TaskFinished(NamedTuple):
    """How an attempt ended: outcome is ``done``, ``failed``, ``timeout``, ``cancelled``, ``lost`` (its worker died) or
    ``machine`` (the disk or the system refused what gitml needs for it).

    `error` is one line for a person unless ``done``; `hint` is how to fix it. Outputs are in the Store, durable.
    `bad_inputs` are Digests whose content was found wrong or was changed by the step; they are quarantined already. `machine`
    names the machine of a cluster that it ran on. `lacking` are those of the Task's `stored` inputs that were not downloaded: it
    did not begin, and may when they are here. `notes` are for a person: what went another way than it should; `warnings` are
    the same of the step itself. `partial` is what an attempt that is not ``done`` left of its outputs, as far as that is kept.
    `missing` are paths (from the top of the sandbox), modules of Python (``module NAME``) and keys of mappings (``key NAME``)
    that its log says were not found.
    `unprepared` says that its environment could not be made on this machine, as it may be on another.
    `left` are names at the top of the sandbox that the step made and that are no output; they go with the sandbox.
    Without `retry` another attempt would end as this one did: the step could not start.
    """

    attempt: str
    outcome: str
    exit_code: int | None = None
    error: str | None = None
    hint: str | None = None
    outputs: tuple[OutputRef, ...] = ()
    metrics: Mapping[str, float] = {}
    cost: Cost = Cost()
    log: LogRef | None = None
    bad_inputs: tuple[Digest, ...] = ()
    machine: str = ""
    lacking: tuple[Digest, ...] = ()
    notes: tuple[str, ...] = ()
    partial: tuple[OutputRef, ...] = ()
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    retry: bool = True
    unprepared: bool = False
    left: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}


TaskEvent = TaskPrepares | TaskStarted | TaskOutput | TaskFinished


class Capabilities(NamedTuple):
    """What the executors of a target can do.

    With `shares_machine` steps run on this machine, with its variables and Store. With `fetches_inputs` an executor fetches a
    Task's `stored` inputs from remote stores by itself. The machines of an `elastic` target may go and come while a run goes on:
    a step whose machine was lost is repeated, and one that finds no room waits for a machine.
    """

    shares_machine: bool = False
    fetches_inputs: bool = False
    elastic: bool = False


class Executor(Protocol):
    """Performs Tasks and knows no Graph. Every submitted Task ends in exactly one TaskFinished."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do beyond that."""

    def takes(self, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        """Whether a Task that asks for this, on each of so many machines, would begin or fail all but at once, submitted now."""

    def submit(self, task: Task) -> None:
        """Starts a Task, of a kind that `takes` agreed to."""

    def descriptors(self) -> Sequence[int]:
        """One of them becomes readable when `wait` may have something to give."""

    def wait(self, timeout: float | None) -> Sequence[TaskEvent]:
        """Events since the last call, in order; waits up to `timeout` seconds for the first. Empty on time-out."""

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        """Asks a Task to end: SIGTERM and after a grace SIGKILL to its whole process tree; `now` kills at once."""

    def dismiss(self) -> None:
        """Announces that nothing more will be submitted: what still runs begins to end. Returns at once; `close` waits for it."""

    def close(self) -> None:
        """Ends everything that still runs; no process of a step survives."""


class Facts(Protocol):
    """A memo of facts about content named by its id; losing it costs time only."""

    def fact(self, kind: str, id: str) -> Any | None:
        """The JSON value remembered for (kind, id)."""

    def remember(self, kind: str, id: str, value: Any) -> None:
        """Keeps a JSON value."""
