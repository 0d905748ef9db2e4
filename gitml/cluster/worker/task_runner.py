"""What a Ray task does for one attempt: has its contents brought, hands it to the process that performs steps, reports.

It runs in a Ray worker process, which serves one attempt at a time and is used again for the next. Ray's cancel asks it by a
signal; everything else it is told through the Hub.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gitml import __version__
from gitml.cluster.content.content_ids import roots_of, roots_of_outputs
from gitml.cluster.content.messages import Order, Report, decode_order, encode_report
from gitml.cluster.environment_diff import differing
from gitml.cluster.worker.folder_interface import Folder, Place
from gitml.cluster.worker.hosted_executor import RayHosted
from gitml.cluster.worker.hub_client import Line
from gitml.cluster.worker.remote_fetch import Obtaining, Stores, wanted
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Task, TaskFinished, TaskOutput, TaskPrepares, TaskStarted
from gitml.core.model.resources import Resources
from gitml.core.model.result import Cost
from gitml.core.text.format import size as size_text
from gitml.errors import GitmlError, InputError
from gitml.execute.messages import decode_task

TICK = 0.1  # seconds between looks at what was asked
ENDING = 5.0  # seconds for the processes of a step to be killed
RIDES = 2**20  # bytes of outputs that come with the report
LOG_PIECE = 2**20

_STATIONS: dict[Place, Station] = {}


def perform(order_data: bytes, contents: Mapping[str, bytes]) -> tuple[bytes, Mapping[str, bytes]]:
    """Performs one attempt: the Ray task. Gives its report and the small contents that it made."""
    order = decode_order(order_data)
    if order.version != __version__:
        return refusal(order, f"gitml {__version__} is installed there, and {order.version} asks")
    try:
        station = _STATIONS.get(order.place)
        if station is None:
            station = _STATIONS[order.place] = Station(order.place, order.grace)
        return Errand(station, order, Line(order.hub, order.attempt)).run(contents)
    except (GitmlError, OSError) as error:
        return refusal(order, str(error))


def refusal(order: Order, why: str) -> tuple[bytes, Mapping[str, bytes]]:
    """The report of an attempt that this machine can't make."""
    finished = TaskFinished(order.attempt, "failed", None, f"machine {where()[1]}: {why}", None, (), {}, Cost(), None)
    return encode_report(Report(*where(), finished, refused=True)), {}


def where() -> tuple[str, str]:
    """(Ray's id of this machine, its host name)."""
    import ray

    return ray.get_runtime_context().get_node_id(), os.uname().nodename


class Station:
    """What a Ray worker process keeps from attempt to attempt."""

    def __init__(self, place: Place, grace: float) -> None:
        self.machine = dict(os.environ)
        self.folder: Folder = place.folder(self.machine)
        self.folder.tidy()
        self.services = self.folder.services()
        self.live = os.path.join(self.folder.root, "live")
        self.executor = RayHosted(place, self.live, grace)
        self.stores = Stores()
        self.node, self.host = where()


class Errand:
    """One attempt, from the contents it needs to the report of what came of it."""

    def __init__(self, station: Station, order: Order, line: Line) -> None:
        self.station = station
        self.order = order
        self.line = line
        self.asked = 0
        self.passed_on = 0
        self.notes: tuple[str, ...] = ()
        self.user = f"{order.run}-{order.attempt}"
        self.log = os.path.join(station.live, self.user + ".log")
        self.log_fd = -1
        self.log_sent = 0

    def run(self, contents: Mapping[str, bytes]) -> tuple[bytes, Mapping[str, bytes]]:
        """Performs the attempt; gives the report and small contents."""
        station = self.station
        self.line.to_say.append(("on", station.node, station.host))  # Ray may have put it elsewhere than was meant
        before = signal.signal(signal.SIGINT, self._hear)
        pin = -1
        try:
            task = _task_of(self.order)
            roots = roots_of(task.action)
            pin = station.folder.pin(self.user, roots)
            station.folder.keep(contents)
            try:
                lacking = self._obtain()
                if lacking and not self.asked:
                    return self._report(_lacks(self.order.attempt, lacking, self.notes))
                complete = self._wait_for(roots)
            except ConnectionError:  # the run is gone, or out of reach: no fault of this machine
                complete = False
            if not complete:
                return self._report(_cancelled(self.order.attempt))
            refused = self._other_environment(task)
            if refused:
                return refusal(self.order, refused)
            station.executor.submit(task._replace(attempt=self.user, log=self.log))
            try:
                finished = self._follow()
            except BaseException:
                self._end()
                raise
            return self._report(finished._replace(attempt=self.order.attempt, notes=self.notes))
        finally:
            signal.signal(signal.SIGINT, before)
            if self.log_fd >= 0:
                os.close(self.log_fd)
            if pin >= 0:
                station.folder.unpin(self.user, pin)

    def _hear(self, *_: Any) -> None:
        self.asked += 1

    def _obtain(self) -> tuple[Digest, ...]:
        """Brings what remote stores have; what neither they nor the driver could give."""
        folder, order = self.station.folder, self.order
        want = wanted(order, folder)
        stores = self.station.stores.usable(order.stores)
        if want.outputs and stores:
            self.line.to_say.append(
                ("line", f"fetching {size_text(want.size)} from {' or '.join(s.name for s in stores)}")
            )
            fetch = Obtaining(order.place, want.outputs, stores)
            try:
                while not fetch.ended(TICK):
                    if self.asked:
                        fetch.stop()
                    self.line.exchange()
            finally:
                fetch.stop()
            self.station.stores.shun(fetch.troubles)
            host = self.station.host
            self.notes = tuple(
                [f"machine {host} could not fetch inputs: {trouble.words}" for trouble in fetch.troubles]
            )
            want = wanted(order, folder)
        return tuple([output.digest for output in want.nowhere])

    def _wait_for(self, roots: Sequence[str]) -> bool:
        """Asks for what is not here until all of it is, or can't be had; False when the attempt is to stop before."""
        without: set[str] = set()
        asked_for: list[str] = []
        while True:
            lacking = [name for name in self.station.folder.lacking(roots) if name not in without]
            if not lacking:
                return True
            if self.asked:
                return False
            if lacking != asked_for:
                asked_for = lacking
                self.line.to_say.append(("lacks", self.station.node, lacking))
            for told in self.line.exchange():
                if told[0] == "without":
                    without.update(told[1])
                elif told[0] == "keep":
                    self.station.folder.keep(told[1])
            time.sleep(0.01)

    def _other_environment(self, task: Task) -> str | None:
        """Why the step's programs are others here than its Action says, None when they are the same."""
        environments = self.station.services.environments
        programs = (task.action.shell or task.action.argv[0],)
        try:
            here = environments.identify(task.environment.source, programs)
        except InputError:
            return None  # what is missing is told in better words by what tries to use it
        if here.digest == task.environment.digest:
            return None
        return differing(here.description, task.environment.description)

    def _follow(self) -> TaskFinished:
        """Waits for the end, passing on what is said on both sides."""
        executor = self.station.executor
        quiet_until = time.monotonic() + TICK  # a step that ends before has nothing to say that its report does not
        while True:
            for event in executor.wait(TICK):
                if event.attempt != self.user:
                    continue
                if isinstance(event, TaskFinished):
                    return event
                if isinstance(event, TaskPrepares):
                    self.line.to_say.append(("prepares", event.what))
                elif isinstance(event, TaskOutput):
                    self.line.to_say.append(("line", event.line))
                elif isinstance(event, TaskStarted):
                    self.line.to_say.append(("started",))
            if self.asked > self.passed_on:
                self.passed_on = self.asked
                executor.cancel(self.user, now=self.asked > 1)
            if time.monotonic() < quiet_until:
                continue
            try:
                self._send_log()
                for told in self.line.exchange():
                    if told[0] == "stop":
                        executor.cancel(self.user, now=True)
            except ConnectionError:
                executor.cancel(self.user, now=True)

    def _end(self) -> None:
        """Lets nothing of the attempt go on when nobody will hear of it."""
        executor = self.station.executor
        executor.cancel(self.user, now=True)
        until = time.monotonic() + ENDING
        while time.monotonic() < until:
            if any(isinstance(event, TaskFinished) and event.attempt == self.user for event in executor.wait(TICK)):
                return

    def _send_log(self) -> None:
        if self.log_fd < 0:
            try:
                self.log_fd = os.open(self.log, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return
        if any(said[0] == "log" for said in self.line.to_say):
            return  # what was read before is still to be said
        piece = os.read(self.log_fd, LOG_PIECE)
        if piece:
            self.line.to_say.append(("log", self.log_sent, piece))
            self.log_sent += len(piece)

    def _report(self, finished: TaskFinished) -> tuple[bytes, Mapping[str, bytes]]:
        if finished.unprepared:
            finished = finished._replace(error=f"machine {self.station.host}: {finished.error}")
        folder = self.station.folder
        made = (*finished.outputs, *finished.partial)
        roots = roots_of_outputs(made)
        contents: dict[str, bytes] = {}
        away: list[tuple[str, int]] = []
        room = RIDES
        for name, size in dict([item for root in roots for item in folder.below(root)]).items():
            if size <= room:
                with folder.open(name) as file:
                    contents[name] = file.read()
                room -= size
            else:
                away.append((name, size))
        folder.added(roots, sum(output.size for output in made))
        log_from = min([said[1] for said in self.line.unheard() if said[0] == "log"], default=self.log_sent)
        if finished.log is not None:
            with self.station.services.store.open(finished.log.digest) as file:
                file.seek(log_from)
                contents["log"] = file.read()
        report = Report(self.station.node, self.station.host, finished, tuple(away), log_from, finished.unprepared)
        return encode_report(report), contents


def _task_of(order: Order) -> Task:
    job = decode_task(order.task, {})
    resources = Resources(gpus=order.gpus)
    return Task(
        *(order.attempt, job.action, job.environment, resources, job.timeout, job.strict, job.log, job.lent),
        network=job.network,
        secrets=job.secrets,
        masked=job.masked,
    )


def _lacks(attempt: str, lacking: tuple[Digest, ...], notes: tuple[str, ...]) -> TaskFinished:
    why = "inputs could not be brought from a remote store"
    return TaskFinished(attempt, "failed", None, why, None, (), {}, Cost(), None, lacking=lacking, notes=notes)


def _cancelled(attempt: str) -> TaskFinished:
    return TaskFinished(attempt, "cancelled", None, "cancelled before it began", None, (), {}, Cost(), None)
