"""A submitted run where it is performed: in a job on the head of the cluster, in a folder of its own that goes with it."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from gitml import layout
from gitml.consent.kinds import PLACES, RUN
from gitml.core.config.project import Config
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.events import Event, RunFinished, StepFinished
from gitml.core.model.stop_signal import StopSignal
from gitml.core.model.tree import decode_tree
from gitml.core.records.record import Run
from gitml.engine.planning.load import load_run
from gitml.engine.run import run_pipeline
from gitml.errors import MachineError
from gitml.execute.sandbox.removal import remove_tree
from gitml.files import opened
from gitml.records.layout import record_folder
from gitml.submission.bundle import heavy_part, open_job_bundle
from gitml.submission.event_stream import JobEvent, JobLogText, JobRecordFile, JobResults
from gitml.workspace import Workspace

KEEP = 14 * 86400.0  # seconds that results wait to be fetched
_MAKING = "new-"  # what the name of a folder begins with that has no lock yet
_MADE = 3600.0  # seconds after which nobody makes it any more
_PAUSE = 0.5
_PIECE = 48 << 10


def run_job_bundle(bundle: str, environ: Mapping[str, str], emit: Callable[[JobEvent], None], stop: StopSignal) -> Run:
    """Performs the run of a job bundle and emits its events; only results that are too large for an event stay here."""
    base = _base(environ)
    _reap(base, time.time())
    folder, lock = _begin(base)
    stays = False
    try:
        run, kept = _perform(bundle, folder, environ, emit, stop)
        if kept.objects:
            stays = True
            os.rename(os.path.join(folder, "repository/gitml/objects"), kept.folder)
            remove_tree(os.path.join(folder, "repository"))
            with open(os.path.join(folder, "kept"), "w") as file:
                file.write(run.id)
            emit(kept)
        return run
    finally:
        os.close(lock)
        if not stays:
            remove_tree(folder)


def new_folder() -> str:
    """A new folder of this machine for the large files of a run that is to be submitted; it is removed later if none is."""
    folder, lock = _begin(_base(os.environ), "kept")
    os.close(lock)
    return folder


def submitted_folder(environ: Mapping[str, str]) -> str:
    """Where submitted runs are performed on this machine."""
    folder = layout.cache_folder(environ, layout.SUBMITTED)
    if os.path.isabs(folder):
        return folder
    return f"/tmp/gitml-{os.getuid()}-submitted"  # noqa: S108  a user without a home; ours alone, or refused


def _base(environ: Mapping[str, str]) -> str:
    """That folder, which nobody else can look into: a repository in it may be private."""
    base = submitted_folder(environ)
    os.makedirs(base, mode=0o700, exist_ok=True)
    found = os.stat(base)
    if found.st_uid != os.getuid():
        hint = f"set {layout.XDG_CACHE_HOME} where Ray is started on the head"
        raise MachineError("the folder of submitted runs belongs to another user", where=base, hint=hint)
    if found.st_mode & 0o077:
        os.chmod(base, 0o700)
    return base


def _begin(base: str, *files: str) -> tuple[str, int]:
    """A new folder with empty `files`, and the lock that keeps `_reap` away. Until it is held the folder has another name."""
    name = os.urandom(8).hex()
    making = os.path.join(base, f"{_MAKING}{name}")
    os.mkdir(making, 0o700)
    for file in files:
        os.close(os.open(os.path.join(making, file), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    lock = os.open(os.path.join(making, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(making, os.path.join(base, name))
    return os.path.join(base, name), lock


def _perform(
    bundle: str, folder: str, environ: Mapping[str, str], emit: Callable[[JobEvent], None], stop: StopSignal
) -> tuple[Run, JobResults]:
    heavy = heavy_part(bundle)
    ws, asked = open_job_bundle(bundle, os.path.join(folder, "repository"), environ)
    if heavy != bundle:
        remove_tree(heavy)
    for name in os.listdir(bundle):  # Ray would keep its copy for long
        remove_tree(os.path.join(bundle, name))
    try:
        ws.consent.allow_once(PLACES, RUN)  # the user who submitted it was asked
        loaded = load_run(ws, asked.run)
        loaded = loaded._replace(config=_seen_from_here(loaded.config, asked.target))
        request = asked.request._replace(experiment=asked.run.experiment)
        with _EventReporter(ws, asked.run.id, emit) as reporter:
            run = run_pipeline(ws, loaded, request, reporter.event, stop, asked.run.id)
        inline = _emit_record(ws, run, emit)
        objects = _objects_of(ws, run, inline)
        return run, JobResults(os.uname().nodename, os.path.join(folder, "objects"), tuple(objects.items()))
    finally:
        ws.close()


def _seen_from_here(config: Config, name: str) -> Config:
    """Settings in which the target that the run was handed to is the cluster that this machine is part of."""
    target = config.targets[name]
    target = target._replace(options=target.options._replace(address="auto", token=None, insecure=True))
    return config._replace(targets={**config.targets, name: target})


def _emit_record(ws: Workspace, run: Run, emit: Callable[[JobEvent], None]) -> set[str]:
    """Emits the files of the record; returns the names of the contents in it."""
    tip = ws.records.tip()
    folder = record_folder(run.id, run.started)
    inline = set()
    for path, oid in ws.records.changes(None, tip, folder).added if tip else ():
        emit(JobRecordFile(path, ws.objects.read(oid)))
        inline.add(path.rpartition("/")[2])
    emit(RunFinished(run, tip or ""))
    return inline


def _objects_of(ws: Workspace, run: Run, inline: set[str]) -> dict[Digest, int]:
    """The objects of outputs and logs of the steps that ran, without those in the record."""
    found: dict[Digest, int] = {}
    todo: list[tuple[Digest, bool]] = []
    for step in run.steps:
        if step.outcome != "reused":
            todo += [(output.digest, output.is_tree) for output in step.outputs]
            todo += [(attempt.log.digest, False) for attempt in step.attempts if attempt.log is not None]
    while todo:
        digest, tree = todo.pop()
        size = ws.store.size_of(digest)
        if digest in found or size is None:
            continue
        if tree:
            todo += [(entry.digest, entry.kind == "d") for entry in decode_tree(ws.store.read(digest))]
        if hex_of(digest) not in inline:
            found[digest] = size
    return found


class _EventReporter:
    """Emits events, and what steps write as it is written, each log once."""

    def __init__(self, ws: Workspace, run: str, emit: Callable[[JobEvent], None]) -> None:
        self.store = ws.store
        self.folder = os.path.join(ws.live, run)
        self.emit = emit
        self.sent: dict[str, int] = {}
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _EventReporter:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def event(self, event: Event) -> None:
        """Emits an event; before the end of a step, the rest of its log."""
        if isinstance(event, StepFinished):
            for attempt in event.step.attempts:
                if attempt.log is not None:
                    self._emit_log(event.step.name, attempt.id, self.store.path_of(attempt.log.digest))
        if not isinstance(event, RunFinished):  # emitted after the record
            self.emit(event)

    def _watch(self) -> None:
        while not self.over.wait(_PAUSE):
            try:
                with open(os.path.join(self.folder, "steps.json")) as file:
                    steps = {str(index): name for name, index in json.load(file).items()}
                names = sorted(os.listdir(os.path.join(self.folder, "logs")))
            except (OSError, ValueError):
                continue  # not begun, or over
            for name in names:
                attempt, _, ending = name.rpartition(".")
                step = steps.get(attempt.partition("-")[0])
                if ending == "log" and step is not None:
                    self._emit_log(step, attempt, os.path.join(self.folder, "logs", name))

    def _emit_log(self, step: str, attempt: str, path: str) -> None:
        with self.lock, suppress(OSError), open(path, "rb") as log:
            log.seek(self.sent.get(attempt, 0))
            while content := log.read(_PIECE):
                self.sent[attempt] = log.tell()
                self.emit(JobLogText(step, attempt, content))


def _reap(base: str, now: float) -> None:
    """Removes what jobs that were killed left, and results that nobody fetched for two weeks."""
    for name in os.listdir(base):
        folder = os.path.join(base, name)
        with suppress(OSError):  # it is in use, or gone by now
            if name.startswith(_MAKING) and os.stat(folder).st_mtime > now - _MADE:
                continue
            with opened(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                kept = os.path.join(folder, "kept")
                if os.path.exists(kept) and os.stat(kept).st_mtime > now - KEEP:
                    continue
                remove_tree(folder)
