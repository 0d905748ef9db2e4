"""What a Ray task does for one attempt: it fetches contents, hands the step to the process that performs steps, and reports.

It runs in a Ray worker process, which serves one attempt at a time and is used again for the next. Ray's cancel is a signal, and
lost when it comes before the attempt handles it. The MessageHub passes on the cancellation as well, as all else for it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gitml import __version__
from gitml.cluster.content.content_ids import roots_of, roots_of_outputs
from gitml.cluster.content.messages import AttemptReport, AttemptRequest, decode_request
from gitml.cluster.environment_probe import environment_difference
from gitml.cluster.worker.folder import FolderSpec
from gitml.cluster.worker.hosted_executor import RayHosted
from gitml.cluster.worker.message_hub import HubClient
from gitml.cluster.worker.remote_fetch import (
    RemoteFetch,
    RemoteImageFetch,
    StoreBackoff,
    missing_image,
    missing_inputs,
    stored_manifest,
)
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Task, TaskFinished, TaskOutput, TaskPrepares, TaskStarted
from gitml.core.model.resources import Resources
from gitml.core.text.format import size as size_text
from gitml.errors import GitmlError, InputError
from gitml.execute.messages import decode_task, encode

TICK = 0.1  # seconds between checks for messages and signals
KILL_WAIT = 5.0  # seconds for the processes of a step to be killed
INLINE_LIMIT = 2**20  # bytes of outputs that come with the report
LOG_PIECE = 2**20
WITH_GRACE, AT_ONCE = 1, 2  # how urgently an attempt is to end
URGENCY = {"cancel": WITH_GRACE, "stop": AT_ONCE}  # by message

_STATES: dict[FolderSpec, WorkerState] = {}


def perform(request_data: bytes, contents: Mapping[str, bytes]) -> tuple[bytes, Mapping[str, bytes]]:
    """Performs one attempt: the Ray task. Gives its report and the small contents that it made."""
    request = decode_request(request_data)
    if request.version != __version__:
        return refusal(request, f"gitml {__version__} is installed there, and {request.version} asks")
    try:
        state = _STATES.get(request.place)
        if state is None:
            state = _STATES[request.place] = WorkerState(request.place, request.grace)
        return TaskRunner(state, request, HubClient(request.hub, request.attempt)).run(contents)
    except (GitmlError, OSError) as error:
        return refusal(request, str(error))


def refusal(request: AttemptRequest, why: str) -> tuple[bytes, Mapping[str, bytes]]:
    """The report of an attempt that this machine can't make."""
    finished = TaskFinished(request.attempt, "failed", error=f"machine {this_node()[1]}: {why}")
    return encode(AttemptReport(*this_node(), finished, refused=True)), {}


def this_node() -> tuple[str, str]:
    """(Ray's id of this machine, its host name)."""
    import ray

    return ray.get_runtime_context().get_node_id(), os.uname().nodename


class WorkerState:
    """What a Ray worker process keeps from attempt to attempt."""

    def __init__(self, place: FolderSpec, grace: float) -> None:
        self.machine = dict(os.environ)
        self.folder = place.open(self.machine)
        self.folder.gc.collect()
        self.services = self.folder.services()
        self.live = os.path.join(self.folder.root, "live")
        self.executor = RayHosted(place, self.live, grace)
        self.stores = StoreBackoff()
        self.node, self.host = this_node()


class TaskRunner:
    """One attempt, from the contents it needs to the report of what came of it."""

    def __init__(self, state: WorkerState, request: AttemptRequest, hub: HubClient) -> None:
        self.state = state
        self.request = request
        self.hub = hub
        self.signals = 0
        self.requested = 0  # the urgency of the messages and of a lost connection
        self.notes: tuple[str, ...] = ()
        self.user = f"{request.run}-{request.attempt}"
        self.log = os.path.join(state.live, self.user + ".log")
        self.log_fd = -1
        self.log_sent = 0

    def run(self, contents: Mapping[str, bytes]) -> tuple[bytes, Mapping[str, bytes]]:
        """Performs the attempt; gives the report and small contents."""
        state = self.state
        self.hub.outbox.append(("on", state.node, state.host))  # Ray may have put it elsewhere than was requested
        before = signal.signal(signal.SIGINT, self._on_interrupt)
        pin = -1
        try:
            task = decode_task(self.request.task, {})._replace(resources=Resources(gpus=self.request.gpus))
            roots = roots_of(task.action)
            pin = state.folder.gc.pin(self.user, roots)
            state.folder.put(contents)
            try:
                self._fetch_image(task)
                missing = self._fetch_stored()
                if missing and not self.urgency:
                    why = "inputs could not be fetched from a remote store"
                    failed = TaskFinished(self.request.attempt, "failed", error=why)
                    return self._report(failed._replace(lacking=missing, notes=self.notes))
                complete = self._wait_for_contents(roots)
            except ConnectionError:  # the run is gone, or out of reach: no fault of this machine
                complete = False
            if not complete:
                return self._report(TaskFinished(self.request.attempt, "cancelled", error="cancelled before it began"))
            refused = self._other_environment(task)
            if refused:
                return refusal(self.request, refused)
            state.executor.submit(task._replace(attempt=self.user, log=self.log))
            try:
                finished = self._follow()
            except BaseException:
                self._kill()
                raise
            return self._report(finished._replace(attempt=self.request.attempt, notes=self.notes))
        finally:
            signal.signal(signal.SIGINT, before)
            if self.log_fd >= 0:
                os.close(self.log_fd)
            if pin >= 0:
                state.folder.gc.unpin(self.user, pin)

    def _on_interrupt(self, *_: Any) -> None:
        self.signals += 1

    @property
    def urgency(self) -> int:
        """How urgently the attempt is to end; 0 when it is not. A signal and the message of the same cancellation count once."""
        return max(self.signals, self.requested)

    def _exchange(self) -> list[Any]:
        """The messages from the hub; a request to end counts from here on, whatever the attempt waits for."""
        messages = self.hub.exchange()
        self.requested = max([self.requested, *[URGENCY.get(message[0], 0) for message in messages]])
        return messages

    def _fetch_image(self, task: Task) -> None:
        """Fetches the image of a step from remote stores; where none has it, who builds it asks its registry."""
        request = self.request
        self.state.services.environments.stored_manifest = partial(stored_manifest, request.image_stores)
        image = missing_image(request, task.environment, self.state.folder)
        stores = self.state.stores.usable(request.image_stores)
        if image is None or not stores:
            return
        fetch, said = RemoteImageFetch(request.place, image, stores), ""
        try:
            while not fetch.ended(TICK):
                if self.urgency:
                    fetch.stopping.set()
                if fetch.words != said:
                    said = fetch.words
                    self.hub.outbox.append(("prepares", said))
                self._exchange()
        finally:
            fetch.stopping.set()
        self.state.stores.back_off(fetch.problems)

    def _fetch_stored(self) -> tuple[Digest, ...]:
        """Fetches inputs from remote stores; returns those that neither they nor the driver have."""
        folder, request = self.state.folder, self.request
        want = missing_inputs(request, folder)
        stores = self.state.stores.usable(request.stores)
        if want.outputs and stores:
            self.hub.outbox.append(
                ("line", f"fetching {size_text(want.size)} from {' or '.join(s.name for s in stores)}")
            )
            fetch = RemoteFetch(request.place, want.outputs, stores)
            try:
                while not fetch.ended(TICK):
                    if self.urgency:
                        fetch.stopping.set()
                    self._exchange()
            finally:
                fetch.stopping.set()
            self.state.stores.back_off(fetch.problems)
            host = self.state.host
            self.notes = tuple(
                [f"machine {host} could not fetch inputs: {problem.words}" for problem in fetch.problems]
            )
            want = missing_inputs(request, folder)
        return tuple([output.digest for output in want.nowhere])

    def _wait_for_contents(self, roots: Sequence[str]) -> bool:
        """Asks for what is not here until all of it is, or can't be had; False when the attempt is to stop before."""
        unavailable: set[str] = set()
        asked_for: list[str] = []
        while True:
            if self.urgency:
                return False
            missing = [name for name in self.state.folder.missing(roots) if name not in unavailable]
            if not missing:
                return True
            if missing != asked_for:
                asked_for = missing
                self.hub.outbox.append(("lacks", self.state.node, missing))
            for message in self._exchange():
                if message[0] == "without":
                    unavailable.update(message[1])
                elif message[0] == "keep":
                    self.state.folder.put(message[1])
            time.sleep(0.01)

    def _other_environment(self, task: Task) -> str | None:
        """How the environment here differs from that of the step's Action; None when it is the same."""
        environments = self.state.services.environments
        programs = (task.action.shell or task.action.argv[0],)
        try:
            here = environments.identify(task.environment.source, programs)
        except InputError:
            return None  # what tries to use it reports in better words what is missing
        if here.digest == task.environment.digest:
            return None
        return environment_difference(here.description, task.environment.description)

    def _follow(self) -> TaskFinished:
        """Waits for the end, passing on messages both ways."""
        executor, handled = self.state.executor, 0
        quiet_until = time.monotonic() + TICK  # the report of a step that ends before holds all
        while True:
            for event in executor.wait(TICK):
                if event.attempt != self.user:
                    continue
                if isinstance(event, TaskFinished):
                    return event
                if isinstance(event, TaskPrepares):
                    self.hub.outbox.append(("prepares", event.what))
                elif isinstance(event, TaskOutput):
                    self.hub.outbox.append(("line", event.line))
                elif isinstance(event, TaskStarted):
                    self.hub.outbox.append(("started",))
            if time.monotonic() >= quiet_until:
                try:
                    self._send_log()
                    self._exchange()
                except ConnectionError:
                    self.requested = AT_ONCE
            if self.urgency > handled:
                handled = self.urgency
                executor.cancel(self.user, now=handled >= AT_ONCE)

    def _kill(self) -> None:
        """Kills what is left of the attempt when nothing will wait for it."""
        executor = self.state.executor
        executor.cancel(self.user, now=True)
        until = time.monotonic() + KILL_WAIT
        while time.monotonic() < until:
            if any(isinstance(event, TaskFinished) and event.attempt == self.user for event in executor.wait(TICK)):
                return

    def _send_log(self) -> None:
        if self.log_fd < 0:
            try:
                self.log_fd = os.open(self.log, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return
        if any(report[0] == "log" for report in self.hub.outbox):
            return  # what was read before is still to be sent
        piece = os.read(self.log_fd, LOG_PIECE)
        if piece:
            self.hub.outbox.append(("log", self.log_sent, piece))
            self.log_sent += len(piece)

    def _report(self, finished: TaskFinished) -> tuple[bytes, Mapping[str, bytes]]:
        if finished.unprepared:
            finished = finished._replace(error=f"machine {self.state.host}: {finished.error}")
        folder = self.state.folder
        made = (*finished.outputs, *finished.partial)
        roots = roots_of_outputs(made)
        contents: dict[str, bytes] = {}
        away: list[tuple[str, int]] = []
        room = INLINE_LIMIT
        for name, size in dict([item for root in roots for item in folder.contents_of(root)]).items():
            if size <= room:
                with folder.open(name) as file:
                    contents[name] = file.read()
                room -= size
            else:
                away.append((name, size))
        folder.gc.note_added(roots, sum(output.size for output in made))
        log_from = min([report[1] for report in self.hub.undelivered() if report[0] == "log"], default=self.log_sent)
        if finished.log is not None:
            with self.state.services.store.open(finished.log.digest) as file:
                file.seek(log_from)
                contents["log"] = file.read()
        report = AttemptReport(self.state.node, self.state.host, finished, tuple(away), log_from, finished.unprepared)
        return encode(report), contents
