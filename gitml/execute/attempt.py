"""Performs one attempt in a worker: sandbox, process, outputs; whatever happens, one report comes of it."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from gitml.core.model.action import Action
from gitml.core.model.environment import Environment
from gitml.core.model.guarantees import FULL
from gitml.core.model.protocols import TaskFinished
from gitml.core.model.result import Cost, OutputRef
from gitml.core.model.step_settings import ALONE
from gitml.core.records.record import MACHINE, LogRef
from gitml.core.secrets.mask import Mask
from gitml.core.secrets.seals import opened
from gitml.errors import GitmlError, InputError, how_to_mend, machine_error
from gitml.execute.environments.environments import RealizedEnvironment, missing_program_hint, other_python
from gitml.execute.environments.variables import command_line, find_program, search_path, variables_of
from gitml.execute.interfaces import WorkerServices
from gitml.execute.log import Log, mask_of
from gitml.execute.log_text import (
    denied_name,
    error_line,
    is_denial,
    missing_command,
    missing_names,
    neutral,
    relative_to,
)
from gitml.execute.messages import WorkerTask
from gitml.execute.process import NONE, NOW, NotConfinedError, ProcessExit, StoppedError, StopRequests, run
from gitml.execute.sandbox.outputs import keep_partial, take_outputs
from gitml.execute.sandbox.sandbox import BadInputError, Sandbox
from gitml.layout import GANG_VARIABLE
from gitml.platform.current import platform

_NAMED = 3  # of what a step made beside its outputs
COMMAND_NOT_FOUND = 127  # POSIX: what shells and env exit with


class AttemptReporter(NamedTuple):
    """What a worker sends of its attempt while it goes on."""

    started: Callable[[], None]
    line: Callable[[str], None]
    prepares: Callable[[str], None]


class _Progress:
    """What an attempt has come to: outputs that are in the Store, also when others can't be taken; what it must not show."""

    def __init__(self) -> None:
        self.taken: list[OutputRef] = []
        self.mask = Mask()
        self.unprepared = False  # whether its environment could not be made


def sandbox_of(live_dir: str, attempt: str) -> str:
    """The directory of an attempt; the step itself runs in ``work`` below it."""
    return f"{live_dir}/{attempt}"


def perform(
    task: WorkerTask,
    sandbox: Sandbox,
    services: WorkerServices,
    stop: StopRequests,
    report: AttemptReporter,
    grace: float,
) -> TaskFinished:
    """Performs `task`. The sandbox is filled here and left for the caller to remove."""
    progress = _Progress()
    finished = _masked(_outcome(task, sandbox, services, stop, report, grace, progress), progress.mask)
    finished = finished._replace(unprepared=progress.unprepared)
    if finished.outcome == "done" or not _makes_outputs(task) or stop.requested() == NOW:
        return finished
    kept = keep_partial(task.action.outputs, sandbox.work, services.store, progress.taken)
    return finished._replace(partial=kept.outputs, warnings=kept.notes)


def is_of_disk(error: BaseException | None) -> bool:
    """Whether a disk or the system refused something, which no step can be blamed for."""
    return isinstance(error, OSError) and error.errno in _OF_DISK


_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)


def _masked(finished: TaskFinished, mask: Mask) -> TaskFinished:
    """The end of an attempt without what is secret in its words."""
    error, hint = (None if text is None else mask.text(text) for text in (finished.error, finished.hint))
    lists = (finished.warnings, finished.missing, finished.left)
    warnings, missing, left = (tuple([mask.text(text) for text in texts]) for texts in lists)
    return finished._replace(error=error, hint=hint, warnings=warnings, missing=missing, left=left)


def _outcome(
    task: WorkerTask,
    sandbox: Sandbox,
    services: WorkerServices,
    stop: StopRequests,
    report: AttemptReporter,
    grace: float,
    progress: _Progress,
) -> TaskFinished:
    """How the attempt ends, however it does."""
    log = Log(task.log)
    realized: RealizedEnvironment | None = None
    try:
        if stop.requested() != NONE:
            raise StoppedError
        try:
            realized = services.environments.realize(task.environment, stop, report.prepares)
        except GitmlError:
            progress.unprepared = True
            raise
        return _perform(task, sandbox, services, stop, report, grace, log, realized, progress)
    except StoppedError:
        return _unfinished(task, "cancelled", "cancelled before it began", None, log, services)
    except BadInputError as error:
        finished = _unfinished(task, "failed", error.message, error.hint, log, services)
        return finished._replace(bad_inputs=(error.digest,))
    except GitmlError as error:
        where = f" ({neutral(error.where)})" if error.where else ""
        how = MACHINE if is_of_disk(error.__cause__) else "failed"
        finished = _unfinished(task, how, neutral(error.message) + where, error.hint, log, services)
        # what a step asks for that is not here is not here the next time; what builds an environment may have been offline
        return finished._replace(retry=realized is None or not isinstance(error, InputError))
    except OSError as error:
        where = f" ({neutral(str(error.filename))})" if error.filename else ""
        hint = how_to_mend(error, str(error.filename or sandbox.root))
        how = MACHINE if is_of_disk(error) else "failed"
        finished = _unfinished(task, how, f"{error.strerror or error}{where}", hint, log, services)
        return finished._replace(retry=error.errno != errno.ENOSYS)  # no kernel learns to confine a step meanwhile


def _perform(
    task: WorkerTask,
    sandbox: Sandbox,
    services: WorkerServices,
    stop: StopRequests,
    report: AttemptReporter,
    grace: float,
    log: Log,
    realized: RealizedEnvironment,
    progress: _Progress,
) -> TaskFinished:
    environments = services.environments
    action = task.action
    sandbox.build(action, strict=task.strict)
    if stop.requested() != NONE:
        raise StoppedError
    path = search_path(environments.machine, realized.path_prepend)
    env = variables_of(
        action,
        environments.machine,
        path=path,
        tmp=sandbox.seen + "/tmp",  # noqa: S108  the step's alone, in its sandbox
        ceiling=sandbox.seen,
        home=sandbox.seen + "/home" if task.strict else None,
        devices=task.devices,
        lent=task.lent,
    )
    if realized.redirect is not None:
        from gitml.execute.environments.import_redirect import write_redirect

        first = write_redirect(realized.redirect, sandbox.seen)
        env["PYTHONPATH"] = f"{first}:{env['PYTHONPATH']}" if env.get("PYTHONPATH") else first
    argv = command_line(action)
    if task.secrets:
        env = {name: opened(value, task.secrets) for name, value in env.items()}
    log.mask = progress.mask = mask_of(action, env, environments.machine, (*task.secrets.values(), *task.masked))

    def write(chunk: bytes) -> None:
        try:
            line = log.write(chunk)
        except OSError as error:
            raise machine_error(error, task.log, "its log can't be written") from error
        if line is not None:
            report.line(line)

    def started(pid: int) -> None:
        platform.note_group(sandbox.root, pid)
        report.started()

    os.chdir(sandbox.seen + "/work")
    try:
        program = find_program(argv[0], env["PATH"])
        if program is None:
            raise InputError(f"command not found: {neutral(argv[0])}", hint=missing_program_hint(argv[0], env["PATH"]))
        confine = None
        if task.strict or task.network != FULL:
            from gitml.execute.sandbox.isolation import Isolation

            roots = (*realized.read_roots, *_own_roots(program))
            named = () if realized.redirect is None else _imported(task.environment, realized.redirect.tops)
            confine = Isolation(task.strict, task.network, roots, sandbox.seen, sandbox.root, named).enter
        try:
            ended = run(
                program,
                argv,
                env,
                write,
                stop,
                timeout=task.timeout,
                grace=grace,
                started=started,
                confine=confine,
                launch=_group_launcher(program, argv, env, action),
            )
        except NotConfinedError as error:
            # without its cause: a limit of namespaces reads like a full disk
            raise InputError(str(error.strerror), hint="run it elsewhere, or ask for less: network, sandbox") from None
        except (OSError, ValueError) as error:
            raise _cannot_start(argv, error) from error
        log.end()
    finally:
        os.chdir("/")
    return _conclude(task, sandbox, services, log, ended, path, progress.taken)


def _group_launcher(
    program: str, argv: tuple[str, ...], env: Mapping[str, str], action: Action
) -> Callable[[], int] | None:
    """What starts the processes of a gang that are to run here; None for a step of one process."""
    if action.gang == ALONE:
        return None
    from gitml.execute.process_group import decode_rendezvous, launch, local_rendezvous, variables

    rendezvous = decode_rendezvous(env[GANG_VARIABLE]) if GANG_VARIABLE in env else local_rendezvous(*action.gang)
    return partial(launch, program, argv, variables(rendezvous, env))


def _conclude(
    task: WorkerTask,
    sandbox: Sandbox,
    services: WorkerServices,
    log: Log,
    ended: ProcessExit,
    path: str,
    taken: list[OutputRef],
) -> TaskFinished:
    finished = TaskFinished(task.attempt, "done", ended.code, None, None, (), {}, ended.cost, None)
    changed = sandbox.changed()
    kept = _keep_log(log, services)
    if changed:
        item, _ = changed[0]
        bad = dict.fromkeys([digest for _, digests in changed for digest in digests])
        return finished._replace(
            outcome=ended.stopped or "failed",
            error=f"changed its input {item.mount}",
            hint="inputs are shared and read-only: copy it to an output and change the copy",
            log=kept,
            bad_inputs=tuple(bad),
        )
    if ended.stopped == "cancelled":
        return finished._replace(outcome="cancelled", error="cancelled", log=kept)
    if ended.stopped == "timeout":
        return finished._replace(outcome="timeout", error=f"timed out after {duration(task.timeout or 0)}", log=kept)
    if ended.code != 0:
        error, hint = _failure(task, sandbox, log, ended.code, path)
        missing = missing_names(log.tail().decode("utf-8", "replace"), sandbox.work_paths())
        return finished._replace(outcome="failed", error=error, hint=hint, log=kept, missing=missing)
    if not _makes_outputs(task):
        return finished._replace(log=kept)
    try:
        measured = take_outputs(task.action.outputs, sandbox.work, services.store, taken)
    except GitmlError as error:
        where = f" ({neutral(error.where)})" if error.where and isinstance(error, InputError) else ""
        finished = finished._replace(left=_left_behind(task, sandbox))
        return finished._replace(outcome="failed", error=neutral(error.message) + where, hint=error.hint, log=kept)
    finished = finished._replace(left=_left_behind(task, sandbox))
    return finished._replace(outputs=tuple(taken), metrics=measured.numbers, log=kept, warnings=measured.remarks)


def _left_behind(task: WorkerTask, sandbox: Sandbox) -> tuple[str, ...]:
    """A few names of what the step made beside its outputs; nothing where it left its folder unreadable."""
    try:
        names = sandbox.left_behind(task.action)
    except OSError:
        return ()
    told = tuple([neutral(name, 60) for name in names[:_NAMED]])
    return told if len(names) <= _NAMED else (*told, f"{len(names) - _NAMED:,} more")


def _makes_outputs(task: WorkerTask) -> bool:
    """Whether outputs are taken here: of a gang on several machines only where rank 0 is."""
    if task.action.gang == ALONE:
        return True
    from gitml.execute.process_group import decode_rendezvous

    return GANG_VARIABLE not in task.lent or decode_rendezvous(task.lent[GANG_VARIABLE]).node in (0, None)


_UNDECLARED = (
    "a file of the repository: add it to `code:` or use it as ${{ inputs.… }}; another: copy it into the repository"
)


def _failure(task: WorkerTask, sandbox: Sandbox, log: Log, code: int, path: str) -> tuple[str, str | None]:
    tail = log.tail()
    hint: str | None = None
    if task.strict:
        # what was denied long before the end may have been borne, and is not what the step died of
        end = b"\n".join(tail.rstrip().split(b"\n")[-20:])
        denied = denied_name(end.decode("utf-8", "replace"), sandbox.seen + "/work")
        if denied is not None and not denied.startswith(sandbox.seen + "/"):
            return f"the step used {neutral(denied)}, which it does not declare", _UNDECLARED
        hidden = _hidden(end) if denied is None else None
        if hidden is not None:
            return f"the step used {neutral(hidden)}, which it does not declare", _UNDECLARED
        if denied is None and is_denial(end.decode("utf-8", "replace")):
            hint = f"`sandbox: strict` denies a step what it does not declare. {_UNDECLARED}"
    if code < 0:
        return _killed_by(-code), None
    said = relative_to(sandbox.work_paths(), error_line(tail, limit=300 + 2 * len(sandbox.work)))
    said = neutral(said, 300)
    if code > 128 and code - 128 == signal.SIGKILL:
        return f"exit status {code}: a process of it was {_killed_by(signal.SIGKILL)}", None
    if code == COMMAND_NOT_FOUND and (name := missing_command(tail.decode("utf-8", "replace"))) is not None:
        hint = missing_program_hint(name, path) if other_python(name, path) else None
    return f"exit status {code}" + (f": {said}" if said else ""), hint


def _imported(environment: Environment, tops: Iterable[str]) -> tuple[str, ...]:
    """The folders of work trees that the environment's Python imports code of this repository from."""
    imports = environment.description.get("repository", {}).get("imports", ())
    return tuple([os.path.normpath(os.path.join(top, path)) for top in tops for _, path in imports])


def _hidden(log_tail: bytes) -> str | None:
    """The file that the end of a log says is not there, and that is: a strict step sees folders of its own in its place."""
    from gitml.execute.sandbox.isolation import HIDDEN

    for name in missing_names(log_tail.decode("utf-8", "replace"), ()):
        if any(name.startswith(folder + "/") for folder in HIDDEN) and os.path.lexists(name):
            return name
    return None


def _killed_by(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"killed by {name}" + (" (out of memory?)" if number == signal.SIGKILL else "")


def _cannot_start(argv: tuple[str, ...], error: OSError | ValueError) -> InputError:
    name = neutral(argv[0], 100)
    if isinstance(error, ValueError):
        return InputError(f"can't run {name}: {error}")
    if isinstance(error, FileNotFoundError):
        hint = "if it is a file of the repository, name it in the command or under `code:`; see also the first line of a script"
        return InputError(f"command not found: {name}", hint=hint)
    if isinstance(error, PermissionError):
        return InputError(f"not executable: {name}", hint=f"git update-index --chmod=+x {name}")
    return InputError(f"can't run {name}: {error.strerror}")


def _unfinished(
    task: WorkerTask, outcome: str, error: str, hint: str | None, log: Log, services: WorkerServices
) -> TaskFinished:
    kept = _keep_log(log, services)
    return TaskFinished(task.attempt, outcome, None, neutral(error), hint, (), {}, Cost(), kept)


def _keep_log(log: Log, services: WorkerServices) -> LogRef | None:
    """The log in the Store. A log that can't be kept (the disk is full) is lost, and no reason to lose the result."""
    try:
        if not log.close():
            return None
        digest, size = services.store.ingest_file(log.path)
    except (OSError, GitmlError):
        return None
    return LogRef(digest, size, log.written)


def _own_roots(program: str) -> tuple[str, ...]:
    """A program outside the system's folders may be run, wherever PATH has it."""
    return (program, os.path.realpath(program)) if program.startswith("/") else ()


def duration(seconds: float) -> str:
    """``90s``, ``2h``, ``1h30m``: as a person writes it."""
    if seconds < 60 or seconds != int(seconds):
        return f"{seconds:g}s"
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if count)
