"""The executor of a Ray cluster: one Ray task an attempt, its contents brought to where it runs, what it made brought home."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gitml.core.protocols import Task, TaskEvent
from gitml.core.resources import Resources
from gitml.errors import GitmlError, RemoteError
from gitml.execute.ray.attempts import Lost, never_began
from gitml.execute.ray.folder import Place
from gitml.execute.ray.gang import LOOK, Gangs, Reserved
from gitml.execute.ray.machines import Machine
from gitml.execute.ray.receiving import Receiver
from gitml.execute.ray.session import Home, Joined, Session
from gitml.execute.ray.watch import Watch

GRACE = 5.0
CLOSE_WAIT = 15.0
DYING = 6.0  # seconds that Ray has to say what became of the attempts of a machine that is gone
AGAIN = 10.0  # seconds between attempts to have Ray kill one


class RayExecutor:
    """Performs Tasks on the machines of a cluster that was joined. To be used from one thread.

    Outputs and logs are in the driver's Store when an attempt is said to be finished.
    """

    def __init__(self, cluster: Joined, home: Home, run: str, place: Place, *, grace: float = GRACE) -> None:
        self._session = session = Session(cluster, home, run, place, grace)
        self._receiver = Receiver(session)
        self._gangs = Gangs(self, home.services.store)
        self._lost: RemoteError | None = None
        self._ended = False
        tell = session.news.tell
        self._watch = Watch(cluster.machines, lambda machines: tell(lambda: self._see(machines)))

    def takes(self, resources: Resources, nodes: int = 1) -> bool:
        """Whether a Task that asks for this, on each of so many machines, would begin soon."""
        if nodes > 1:
            return len(self._session.fleet.with_room(resources)) >= nodes
        return self._session.fleet.place(resources) is not None

    def submit(self, task: Task, reserved: Reserved | None = None) -> None:
        """Starts a Task; where a place is `reserved`, there."""
        session, sender = self._session, self._receiver.sender
        if session.closed:
            raise ValueError("the executor is closed")
        if not task.attempt or "/" in task.attempt or task.attempt in (".", ".."):
            raise ValueError(f"not an attempt's name: {task.attempt!r}")
        try:
            if task.action.gang[0] > 1 and reserved is None:
                self._gangs.begin(task, sender.wish(task), session.fleet)
            else:
                sender.send(task, reserved=reserved)
        except GitmlError as error:
            session.events.append(never_began(task, error))

    def descriptors(self) -> Sequence[int]:
        """One of them becomes readable when `wait` may have something to give."""
        return [self._session.news.reader]

    def wait(self, timeout: float | None) -> Sequence[TaskEvent]:
        """Events since the last call, in order; waits up to `timeout` seconds for the first.

        Empty on time-out, and as soon as there is room for more Tasks. RemoteError when the head is lost.
        """
        session = self._session
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            for item in session.news.take():
                item()
            self._look_after()
            events, session.events = session.events, []
            if self._gangs:
                events = [*self._gangs.sort(events), *self._gangs.look(), *session.events]
                session.events = []
            if events or session.freed:
                session.freed = False
                return events
            self._see_that_it_goes_on()
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return ()
            session.news.wait(min(left, LOOK if self._gangs else 1.0))

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        """Asks a Task to end: SIGTERM and after a grace SIGKILL to its whole process tree; `now` kills at once."""
        found = self._session.attempts.get(attempt)
        if found is None:
            self._gangs.cancel(attempt, now=now)
        else:
            self._session.cancel(found, now=now)

    def dismiss(self) -> None:
        """Says that nothing more will be asked: what still runs begins to end."""
        self._session.closed = True
        if self._lost is None:
            for attempt in [*self._gangs.names(), *self._session.attempts]:
                self.cancel(attempt, now=True)

    def close(self) -> None:
        """Ends everything that still runs."""
        if self._ended:
            return
        self._ended = True
        session = self._session
        self.dismiss()
        self._watch.close()
        deadline = time.monotonic() + CLOSE_WAIT
        while (session.attempts or self._gangs) and self._lost is None and time.monotonic() < deadline:
            self.wait(0.5)
        session.carrier.close()
        self._receiver.close()
        if self._lost is None:
            import ray

<<<<<<< HEAD
            ray.kill(self._hub)
        for fd in (self._wake_reader, self._wake_writer):
            os.close(fd)
        self._wake_reader = self._wake_writer = -1

    # -- sending

    def _send(self, task: Task, before: Attempt | None = None, reserved: Reserved | None = None) -> None:
        roots = roots_of(task.action)
        soon = before is None
        if before is not None:
            reserved = before.reserved
        if reserved is not None:
            berth = self._fleet.berths.get(reserved.node)
        else:
            berth = self._fleet.place(task.resources, task.environment.digest, roots, self._sizes, soon=soon)
        if berth is None:
            raise ValueError("no machine has room")
        baggage = self._supply.pack(roots, berth.holds)
        self._sizes.update({name: size for name, size in baggage.large.items() if size >= LARGE})
        order = Order(
            __version__,
            self._run,
            task.attempt,
            self._place,
            self._grace,
            task.resources.gpus,
            task_message(task, None, with_environment=True),
        )
        performer = self._performer(task, berth.machine) if reserved is None else self._performer_in(task, reserved)
        ref = performer.remote(encode_order(order), baggage.small, self._hub)
        ahead = self._fleet.take(berth, task.resources)
        attempt = Attempt(task, ref, berth.machine.id, ahead)
        attempt.reserved = reserved
        if before is not None:
            attempt.again, attempt.started, attempt.log = True, before.started, before.log
        self._attempts[task.attempt] = attempt
        berth.holds.update(baggage.small)
        if not baggage.large and not baggage.without:
            berth.holds.update(roots)
        ref.future().add_done_callback(lambda future: self._tell(("end", attempt, future)))

    def _performer(self, task: Task, machine: Machine) -> Any:
        """The Ray function with a wish as its options. Ray prefers the machine chosen here, and takes another if that is full."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        resources = task.resources
        agreeing = self._fleet.agreeing(task.environment.digest)
        labels, custom = tuple(resources.labels.items()), tuple(resources.custom.items())
        key = (resources.cpus, resources.gpus, resources.memory, labels, custom, machine.id, agreeing)
        if key not in self._performers:
            options = self._wish(task)
            if len(self._fleet.berths) > 1:
                options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(
                    machine.id, soft=True, _spill_on_unavailable=True
                )
            self._performers[key] = self._perform.options(**options, max_retries=0)
        return self._performers[key]

    def _performer_in(self, task: Task, reserved: Reserved) -> Any:
        """The Ray function in a place that is kept for it, which has all that is wished for."""
        options = self._wish(task)
        options.pop("label_selector", None)
        return self._perform.options(**options, max_retries=0, scheduling_strategy=reserved.strategy)

    def _wish(self, task: Task) -> dict[str, Any]:
        """What a Task asks of its machine, as the options of a Ray task."""
        options = self._cluster.options(task.resources, self._fleet.machines())
        agreeing = self._fleet.agreeing(task.environment.digest)
        if agreeing is not None:
            selector = options.setdefault("label_selector", {})
            selector["ray.io/node-id"] = f"in({','.join(sorted(agreeing))})"
        return options

    # -- what comes back

    def _tell(self, news: tuple[Any, ...]) -> None:
        """From any thread."""
        self._news.put(news)
        with suppress(OSError):  # the pipe is full, which wakes as well, or closed
            os.write(self._wake_writer, b"x")

    def _hear(self) -> None:
        self._hub.hear.remote(HEAR).future().add_done_callback(lambda future: self._tell(("heard", future)))

    def _take_news(self) -> None:
        try:
            while os.read(self._wake_reader, 4096):
                pass
        except BlockingIOError:
            pass
        while not self._news.empty():
            kind, *rest = self._news.get()
            getattr(self, f"_on_{kind}")(*rest)
        self._look_after()

    def _on_heard(self, future: Any) -> None:
        if self._closed and not self._attempts:
            return
        try:
            said, silent = future.result()
        except Exception:
            self._on_hub_lost()
            return
        self._hear()
        for name, seconds in silent:
            if seconds > SILENT and name in self._attempts:
                self._doom(self._attempts[name], 0.0)
        for name, item in said:
            attempt = self._attempts.get(name)
            if attempt is not None:
                self._said(attempt, item)

    def _on_hub_lost(self) -> None:
        """Its machine is gone, or it was killed: attempts that need it will end; a new one serves the next."""
        if self._closed:
            return
        self._hub = _new_hub()
        self._hear()
        for attempt in list(self._attempts.values()):
            attempt.cut_off = True
            self._conclude_if_whole(attempt)

    def _said(self, attempt: Attempt, item: Any) -> None:
        kind = item[0]
        attempt.spoke = True
        if kind == "started":
            self._start(attempt)
            self._start_moved(attempt, item[1])
            attempt.host = item[2]
        elif kind == "line":
            self._events.append(TaskOutput(attempt.task.attempt, item[1]))
        elif kind == "log":
            attempt.log.write(item[1], item[2])
            self._conclude_if_whole(attempt)
        elif kind == "lacks":
            self._supply_missing(attempt, item[1], item[2])

    def _start(self, attempt: Attempt) -> None:
        if not attempt.started:
            attempt.started = True
            self._events.append(TaskStarted(attempt.task.attempt))

    def _on_end(self, attempt: Attempt, future: Any) -> None:
        name = attempt.task.attempt
        if self._attempts.get(name) is not attempt:
            return
        self._freed = True
        seconds = time.monotonic() - attempt.begun
        self._fleet.give_back(attempt.node, attempt.task.resources, attempt.ahead, seconds)
        attempt.ahead = False
        try:
            data, contents = future.result()
        except BaseException as error:
            self._on_failure(attempt, error)
            return
        attempt.report = decode_report(data)
        small = {name: content for name, content in contents.items() if name != "log"}
        if small:
            self._keeping.put(small, lambda error: self._tell(("report", attempt, contents, error)))
        else:
            self._on_report(attempt, contents, None)

    def _on_report(self, attempt: Attempt, contents: dict[str, bytes], error: GitmlError | None) -> None:
        """What came with a report is kept, or could not be."""
        report = attempt.report
        assert report is not None
        attempt.why = error or attempt.why
        self._hub_forget(attempt)
        finished = report.finished
        berth = self._fleet.berths.get(report.node)
        if self._goes_again(attempt, report):
            return
        if finished.exit_code is not None:
            self._start(attempt)
        log = contents.pop("log", None)
        if log is not None:
            attempt.log.write(report.log_from, log)
        if berth is not None:
            berth.holds.update(contents)
            berth.holds.update(name for name, _ in report.away)
            berth.holds.update(roots_of_outputs(finished.outputs))
        for output in finished.outputs:
            if output.size >= LARGE:
                self._sizes[stored_name(output.digest, tree=output.is_tree)] = output.size
        if report.away and attempt.why is None:
            attempt.away = True
            self._carrier.fetch(report.node, report.away, lambda error: self._tell(("home", attempt, error)))
            return
        self._conclude_if_whole(attempt)

    def _goes_again(self, attempt: Attempt, report: Report) -> bool:
        """Submits an attempt once more that its machine could not begin, if that helps; whether it does."""
        berth = self._fleet.berths.get(report.node)
        bad = report.finished.bad_inputs
        if report.refused and berth is not None:
            # what is installed there is other than the step was planned for, or its disk is full: another may do
            berth.refuses.add(attempt.task.environment.digest)
            task = attempt.task
            again = self._fleet.place(task.resources, task.environment.digest, soon=False) is not None
        else:
            damaged = bool(bad) and not attempt.started and report.finished.exit_code is None
            again = damaged and not attempt.again and all(self._is_good(digest) for digest in bad)
            if again and berth is not None:
                berth.holds.clear()
        if again and not attempt.cancelled:
            self._send(attempt.task, attempt)
            return True
        return False

    def _on_home(self, attempt: Attempt, error: GitmlError | None) -> None:
        attempt.away = False
        attempt.why = error
        self._conclude_if_whole(attempt)

    def _conclude_if_whole(self, attempt: Attempt) -> None:
        report = attempt.report
        if report is None or attempt.away:
            return
        finished = report.finished
        if finished.log is not None and attempt.log.size < finished.log.size and not attempt.cut_off:
            return  # the rest is on its way by the hub
        bad = tuple(digest for digest in finished.bad_inputs if not self._is_good(digest))
        log = self._keep_log(attempt, finished.log)
        finished = finished._replace(bad_inputs=bad, log=log, machine=report.host)
        if attempt.why is not None:
            outcome, error = _hindered(attempt, attempt.why)
            finished = finished._replace(outcome=outcome, error=error, hint=attempt.why.hint, outputs=(), metrics={})
        elif attempt.cancelled and finished.outcome == "failed" and finished.exit_code is None:
            finished = finished._replace(outcome="cancelled", error="cancelled", hint=None)
        self._finish(attempt, finished)

    def _on_failure(self, attempt: Attempt, error: BaseException) -> None:
        """The Ray task gave no report: cancelled before it began, or lost."""
        import ray

        self._hub_forget(attempt)
        outcome, said, hint = "lost", _loss(error), None
        if attempt.why is not None:
            (outcome, said), hint = _hindered(attempt, attempt.why), attempt.why.hint
        elif attempt.cancelled:
            outcome, said = "cancelled", "cancelled"
        elif isinstance(error, ray.exceptions.RayTaskError):
            outcome = "failed"
            hint = "gitml of the same version must be installed on every machine of the cluster"
        log = self._keep_log(attempt, None)
        cost = Cost(time.monotonic() - attempt.begun) if attempt.started else Cost()
        berth = self._fleet.berths.get(attempt.node)
        machine = berth.machine.name if berth is not None else attempt.host
        self._finish(
            attempt, TaskFinished(attempt.task.attempt, outcome, None, said, hint, (), {}, cost, log, (), machine)
        )

    def _finish(self, attempt: Attempt, finished: TaskFinished) -> None:
        del self._attempts[attempt.task.attempt]
        for waiting in self._under_way.values():
            waiting.discard(attempt.task.attempt)
        attempt.log.close()
        if finished.outcome == "cancelled" and not attempt.cancelled:
            # nobody asked: it found the way to its run cut, and ended
            finished = finished._replace(outcome="lost", error="it lost touch with the run")
        self._events.append(finished)

    def _keep_log(self, attempt: Attempt, told: LogRef | None) -> LogRef | None:
        attempt.log.close()
        if not attempt.log.size:
            return None
        try:
            digest, size = self._home.services.store.take_file(attempt.task.log)
        except (OSError, GitmlError):
            return None
        return LogRef(digest, size, told.written if told is not None else size)

    def _is_good(self, digest: Any) -> bool:
        try:
            self._home.services.store.open(digest).close()
        except GitmlError:
            return False
        return True

    def _hub_forget(self, attempt: Attempt) -> None:
        if attempt.spoke:
            self._hub.forget.remote(attempt.task.attempt)

    # -- contents that a machine lacks

    def _supply_missing(self, attempt: Attempt, node: str, names: list[str]) -> None:
        self._start_moved(attempt, node)
        name = attempt.task.attempt
        berth = self._fleet.berths.get(node)
        if berth is not None:
            berth.holds.clear()  # something there was evicted, or the step runs elsewhere than was thought
        try:
            baggage = self._supply.pack(names, set())
        except GitmlError as error:
            attempt.why = error
            self.cancel(name, now=True)
            return
        told = self._hub.tell.remote
        if baggage.small:
            told(name, ("keep", baggage.small))
        if baggage.without:
            told(name, ("without", baggage.without))
        for content, size in baggage.large.items():
            key = (node, content)
            if key in self._under_way:
                self._under_way[key].add(name)
                continue
            self._under_way[key] = {name}
            sources = [id for id, other in self._fleet.berths.items() if content in other.holds and id != node]
            self._carrier.bring(node, content, size, sources, self._bringing(key))

    def _bringing(self, key: tuple[str, str]) -> Callable[[GitmlError | None], None]:
        return lambda error: self._tell(("brought", key, error))

    def _start_moved(self, attempt: Attempt, node: str) -> None:
        if attempt.node != node:
            self._fleet.give_back(attempt.node, attempt.task.resources, attempt.ahead, self._fleet.usual)
            attempt.node, attempt.ahead = node, False
            berth = self._fleet.berths.get(node)
            if berth is not None:
                attempt.ahead = self._fleet.take(berth, attempt.task.resources)

    def _on_brought(self, key: tuple[str, str], error: GitmlError | None) -> None:
        waiting = self._under_way.pop(key, set())
        node, content = key
        if error is None:
            berth = self._fleet.berths.get(node)
            if berth is not None:
                berth.holds.add(content)
            return
        for name in waiting:
            attempt = self._attempts.get(name)
            if attempt is not None:
                attempt.why = error
                self.cancel(name, now=True)

    # -- looking after what goes on
=======
            ray.kill(session.hub)
        session.news.close()
>>>>>>> ray

    def _look_after(self) -> None:
        """Has Ray kill what does not end, and gives up what Ray does not know to be lost."""
        import ray

        now = time.monotonic()
        for attempt in list(self._session.attempts.values()):
            if attempt.report is not None:
                continue
            if attempt.doomed and now > attempt.doomed:
                self._receiver.ended(attempt, Lost("its machine was lost"))
            elif attempt.forced and now > attempt.forced:
                attempt.forced = now + AGAIN
                ray.cancel(attempt.ref, force=True)

    def _see(self, machines: Sequence[Machine]) -> None:
        """Takes note of the machines there are."""
        session = self._session
        for gone in session.fleet.update(machines):
            session.carrier.forget(gone)
            for attempt in session.attempts.values():
                if attempt.node == gone and attempt.report is None:
                    attempt.doom(DYING)

    def _see_that_it_goes_on(self) -> None:
        why = self._watch.lost() if self._session.attempts else None
        if why is not None:
            hint = "what is finished is kept: when the cluster is back, run the same command again"
            self._lost = RemoteError(f"the head of the cluster is lost: {why}", hint=hint)
            raise self._lost
<<<<<<< HEAD


class _Lost(NamedTuple):
    """In place of a Future whose result will not come."""

    why: str

    def result(self) -> Any:
        """Raises."""
        raise ConnectionError(self.why)


def _loss(error: BaseException) -> str:
    """How an attempt was lost, in a line."""
    words = {
        "WorkerCrashedError": "its worker process died",
        "NodeDiedError": "its machine was lost",
        "OutOfMemoryError": "its machine ran out of memory",
        "OwnerDiedError": "its driver was lost",
        "TaskCancelledError": "the cluster cancelled it",
        "ConnectionError": str(error),
    }
    known = words.get(type(error).__name__)
    if known is not None:
        return known
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip()[:200] if lines else ''}"


def _hindered(attempt: Attempt, why: GitmlError) -> tuple[str, str]:
    """(outcome, error) of an attempt whose contents did not come through."""
    made = attempt.report is not None and attempt.report.finished.outcome == "done"
    what = "what it made could not be brought home" if made else "what it needs could not be brought to its machine"
    return "lost" if isinstance(why, RemoteError) else "failed", f"{what}: {why.message}"


def _new_hub() -> Any:
    """A Hub on the driver's own machine, if that is one of the cluster: no other that is lost takes it along."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(Hub).options(num_cpus=0, max_concurrency=100_000, scheduling_strategy=here).remote()


def _never_began(task: Task, error: GitmlError) -> TaskFinished:
    return TaskFinished(task.attempt, "failed", None, error.message, error.hint, (), {}, Cost(), None)
=======
>>>>>>> ray
