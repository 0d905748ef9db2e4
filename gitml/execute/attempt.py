"""Performs one attempt in a worker: sandbox, process, outputs; whatever happens, one report comes of it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from gitml.core.model.paths import as_named
from gitml.core.model.protocols import Task, TaskFinished
from gitml.core.model.result import OutputRef
from gitml.core.model.step_settings import ALONE
from gitml.core.records.record import MACHINE
from gitml.core.secrets.mask import Mask
from gitml.errors import GitmlError, Guard, InputError, how_to_mend
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.software import RealizedEnvironment
from gitml.execute.interfaces import WorkerServices
from gitml.execute.log import Log
from gitml.execute.log_text import missing_names, neutral
from gitml.execute.process import NONE, NOW, ProcessExit, StoppedError, StopRequests
from gitml.execute.sandbox.outputs import OutputMissingError, keep_partial, take_outputs
from gitml.execute.sandbox.sandbox import BadInputError, Sandbox
from gitml.execute.step_failure import failure_of
from gitml.execute.step_process import CommandMissingError, StepProcess
from gitml.layout import GANG_VARIABLE
from gitml.platform.current import platform
from gitml.platform.linux import MOUNTED

_NAMED = 3  # of what a step made beside its outputs
_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)


def is_of_disk(error: BaseException | None) -> bool:
    """Whether a disk or the system refused something, which no step can be blamed for."""
    return isinstance(error, OSError) and error.errno in _OF_DISK


class WorkerAttempt:
    """An attempt at `task`, made once by `perform`. The sandbox is filled here and left for the caller to remove.

    `report` is called with the messages of a worker about its attempt while it goes on: ``started``, ``prepares`` and ``output``.
    """

    def __init__(
        self,
        task: Task,
        sandbox: Sandbox,
        services: WorkerServices,
        stop: StopRequests,
        report: Callable[..., None],
        grace: float,
    ) -> None:
        self.task = task
        self.sandbox = sandbox
        self.services = services
        self.stop = stop
        self.report = report
        self.grace = grace
        self.log = Log(task.log)
        self.mask = Mask()  # of what it must not show
        self.taken: list[OutputRef] = []  # outputs that are in the Store, also when others can't be taken
        self.realized: RealizedEnvironment | None = None
        self.unprepared = False  # whether its environment could not be made

    def perform(self) -> TaskFinished:
        """Performs the task; how it ended, however it did."""
        finished = _masked(self._outcome(), self.mask)._replace(unprepared=self.unprepared)
        if finished.outcome == "done" or not self._makes_outputs() or self.stop.requested() == NOW:
            return finished
        with suppress(GitmlError, OSError):
            self._place_matches()
        kept = keep_partial(self.task.action.outputs, self.sandbox.work, self.services.store, self.taken)
        return finished._replace(partial=kept.outputs, warnings=kept.notes)

    def _outcome(self) -> TaskFinished:
        try:
            self._heed_stop()
            try:
                self.realized = self.services.environments.realize(
                    self.task.environment,
                    BuildControl(self.stop, partial(self.report, "prepares"), from_source=not self.task.strict),
                )
            except GitmlError:
                self.unprepared = True
                raise
            return self._perform(self.realized)
        except StoppedError:
            return self._unfinished("cancelled", "cancelled before it began")
        except BadInputError as error:
            return self._unfinished("failed", error.message, error.hint)._replace(bad_inputs=(error.digest,))
        except GitmlError as error:
            where = f" ({neutral(error.where)})" if error.where else ""
            how = MACHINE if is_of_disk(error.__cause__) else "failed"
            finished = self._unfinished(how, neutral(error.message) + where, error.hint)
            # what a step asks for that is not here is not here the next time; what builds an environment may have been offline
            missing = (error.command,) if isinstance(error, CommandMissingError) else ()
            return finished._replace(retry=self.realized is None or not isinstance(error, InputError), missing=missing)
        except OSError as error:
            where = f" ({neutral(str(error.filename))})" if error.filename else ""
            hint = how_to_mend(error, str(error.filename or self.sandbox.root))
            how = MACHINE if is_of_disk(error) else "failed"
            finished = self._unfinished(how, f"{error.strerror or error}{where}", hint)
            return finished._replace(retry=error.errno != errno.ENOSYS)  # no kernel learns to confine a step meanwhile

    def _heed_stop(self) -> None:
        if self.stop.requested() != NONE:
            raise StoppedError

    def _unfinished(self, outcome: str, error: str, hint: str | None = None) -> TaskFinished:
        log = self.log.keep(self.services.store)
        return TaskFinished(self.task.attempt, outcome, error=neutral(error), hint=hint, log=log)

    def _perform(self, realized: RealizedEnvironment) -> TaskFinished:
        task, sandbox = self.task, self.sandbox
        in_image = realized.root is not None
        if in_image:
            sandbox.seen = MOUNTED
        own_home = task.strict or in_image
        sandbox.build(task.action, own_home=own_home, caches=task.caches, caches_of=task.caches_of)
        self._heed_stop()
        process = StepProcess(task, sandbox, realized, self.services.environments.machine)
        self.log.mask = self.mask = process.mask
        ended = process.run(self._write, self.stop, self.grace, self._started)
        self.log.end()
        return self._conclude(ended, process.path, in_image=in_image)

    def _write(self, chunk: bytes) -> None:
        with Guard(self.task.log, "its log can't be written"):
            line = self.log.write(chunk)
        if line is not None:
            self.report("output", line)

    def _started(self, pid: int) -> None:
        platform.note_group(self.sandbox.root, pid)
        self.report("started")

    def _conclude(self, ended: ProcessExit, path: str, *, in_image: bool) -> TaskFinished:
        task, sandbox = self.task, self.sandbox
        changed = sandbox.changed()
        kept = self.log.keep(self.services.store)
        finished = TaskFinished(task.attempt, "done", ended.code, cost=ended.cost, log=kept)
        if changed:
            item, _ = changed[0]
            bad = dict.fromkeys([digest for _, digests in changed for digest in digests])
            return finished._replace(
                outcome=ended.stopped or "failed",
                error=f"changed its input {item.mount}",
                hint="inputs are shared and read-only: copy it to an output and change the copy",
                bad_inputs=tuple(bad),
            )
        if ended.stopped == "cancelled":
            return finished._replace(outcome="cancelled", error="cancelled")
        if ended.stopped == "timeout":
            return finished._replace(outcome="timeout", error=f"timed out after {duration(task.timeout or 0)}")
        if ended.code != 0:
            tail = self.log.tail()
            error, hint = failure_of(ended.code, tail, sandbox, path, strict=task.strict, in_image=in_image)
            return finished._replace(outcome="failed", error=error, hint=hint, missing=self._missing())
        if not self._makes_outputs():
            return finished
        try:
            self._place_matches()
            measured = take_outputs(task.action.outputs, sandbox.work, self.services.store, self.taken)
        except GitmlError as error:
            where = f" ({neutral(error.where)})" if error.where and isinstance(error, InputError) else ""
            finished = finished._replace(
                left=self._left_behind(), missing=self._missing()
            )  # many catch what went wrong
            hint = self._elsewhere(error.mount) if isinstance(error, OutputMissingError) else None
            return finished._replace(outcome="failed", error=neutral(error.message) + where, hint=hint or error.hint)
        finished = finished._replace(left=self._left_behind())
        return finished._replace(
            outputs=tuple(self.taken), metrics=measured.numbers, labels=measured.labels, warnings=measured.remarks
        )

    def _missing(self) -> tuple[str, ...]:
        """What the step did not find, as the end of its log has it."""
        return missing_names(self.log.tail().decode("utf-8", "replace"), self.sandbox.work_paths())

    def _elsewhere(self, mount: str) -> str | None:
        """The hint for an output that the step made at another place."""
        from gitml.execute.sandbox.matched_outputs import made_elsewhere

        try:
            found = made_elsewhere(self.sandbox.work, mount, self.sandbox.is_given)
        except OSError:  # it left its folder unreadable
            return None
        if found is None:
            return None
        there, wanted = (as_named(path, self.task.action.project) for path in (found, mount))
        return f"it made {neutral(there, 200)}: give the output that path, or write to {wanted}"

    def _place_matches(self) -> None:
        """Puts what matches the patterns of outputs where they are taken from."""
        outputs = self.task.action.outputs
        if any(output.option("pattern") for output in outputs):
            from gitml.execute.sandbox.matched_outputs import place_matches

            place_matches(outputs, self.sandbox.work, self.sandbox.is_given)

    def _left_behind(self) -> tuple[str, ...]:
        """A few names of what the step made beside its outputs; nothing where it left its folder unreadable."""
        try:
            names = self.sandbox.left_behind(self.task.action)
        except OSError:
            return ()
        told = tuple([neutral(name, 60) for name in names[:_NAMED]])
        return told if len(names) <= _NAMED else (*told, f"{len(names) - _NAMED:,} more")

    def _makes_outputs(self) -> bool:
        """Whether outputs are taken here: of a gang on several machines only where rank 0 is."""
        if self.task.action.gang == ALONE:
            return True
        from gitml.execute.process_group import decode_rendezvous

        rendezvous = self.task.lent.get(GANG_VARIABLE)
        return rendezvous is None or decode_rendezvous(rendezvous).node in (0, None)


def _masked(finished: TaskFinished, mask: Mask) -> TaskFinished:
    """The end of an attempt without what is secret in its words."""
    error, hint = (None if text is None else mask.text(text) for text in (finished.error, finished.hint))
    lists = (finished.warnings, finished.missing, finished.left)
    warnings, missing, left = (tuple([mask.text(text) for text in texts]) for texts in lists)
    labels = {mask.text(name): mask.text(text) for name, text in finished.labels.items()}
    return finished._replace(error=error, hint=hint, warnings=warnings, missing=missing, left=left, labels=labels)


def duration(seconds: float) -> str:
    """``90s``, ``2h``, ``1h30m``: as a person writes it."""
    if seconds < 60 or seconds != int(seconds):
        return f"{seconds:g}s"
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if count)
