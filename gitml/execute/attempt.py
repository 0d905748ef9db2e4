"""Performs one attempt in a worker: sandbox, process, outputs; whatever happens, one report comes of it."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING

from gitml.core.model.action import Action
from gitml.core.model.environment import Environment
from gitml.core.model.guarantees import FULL
from gitml.core.model.protocols import Task, TaskFinished
from gitml.core.model.result import OutputRef
from gitml.core.model.step_settings import ALONE
from gitml.core.records.record import MACHINE
from gitml.core.secrets.mask import Mask
from gitml.core.secrets.seals import opened
from gitml.errors import GitmlError, Guard, InputError, how_to_mend
from gitml.execute.environments.import_redirect import is_python
from gitml.execute.environments.programs import NOT_IN_IMAGE, missing_program_hint, other_python
from gitml.execute.environments.software import RealizedEnvironment
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
from gitml.execute.process import (
    NONE,
    NOW,
    NotConfinedError,
    ProcessExit,
    StoppedError,
    StopRequests,
    killed_by,
    run,
)
from gitml.execute.sandbox.outputs import keep_partial, take_outputs
from gitml.execute.sandbox.sandbox import BadInputError, Sandbox
from gitml.layout import GANG_VARIABLE
from gitml.platform.current import platform
from gitml.platform.linux import MOUNTED

if TYPE_CHECKING:
    from gitml.core.planner.project_package import ProjectPackage

COMMANDS = "commands"  # the folder of a sandbox with those of the project's own package
_NAMED = 3  # of what a step made beside its outputs
COMMAND_NOT_FOUND = 127  # POSIX: what shells and env exit with


def is_of_disk(error: BaseException | None) -> bool:
    """Whether a disk or the system refused something, which no step can be blamed for."""
    return isinstance(error, OSError) and error.errno in _OF_DISK


_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)


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
        kept = keep_partial(self.task.action.outputs, self.sandbox.work, self.services.store, self.taken)
        return finished._replace(partial=kept.outputs, warnings=kept.notes)

    def _outcome(self) -> TaskFinished:
        try:
            self._heed_stop()
            try:
                self.realized = self.services.environments.realize(
                    self.task.environment,
                    self.stop,
                    partial(self.report, "prepares"),
                    from_source=not self.task.strict,
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
            return finished._replace(retry=self.realized is None or not isinstance(error, InputError))
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
        task, action, sandbox = self.task, self.task.action, self.sandbox
        machine = self.services.environments.machine
        root = realized.root
        if root is not None:
            sandbox.seen = MOUNTED
        sandbox.build(action, own_home=task.strict or root is not None)
        self._heed_stop()
        prepend = realized.path_prepend
        path = search_path(machine, prepend) if root is None else ":".join((*prepend, root.search_path()))
        commands = self._commands(realized)
        if commands:
            path = f"{sandbox.seen}/{COMMANDS}:{path}"
        env = variables_of(
            action,
            machine,
            path=path,
            tmp=sandbox.seen + "/tmp",  # noqa: S108  the step's alone, in its sandbox
            ceiling=sandbox.seen,
            home=sandbox.seen + "/home" if task.strict or root is not None else None,
            devices=task.devices,
            lent={**dict(realized.variables), **task.lent},
            image=None if root is None else root.variables(),
        )
        if realized.redirect is not None or self.project is not None:
            from gitml.execute.environments.import_redirect import FOLDER, NO_REDIRECT, write_redirect

            write_redirect(realized.redirect or NO_REDIRECT, sandbox.root, self.project)
            first = f"{sandbox.seen}/{FOLDER}"
            env["PYTHONPATH"] = f"{first}:{env['PYTHONPATH']}" if env.get("PYTHONPATH") else first
        argv = command_line(action)
        if task.secrets:
            env = {name: opened(value, task.secrets) for name, value in env.items()}
        self.log.mask = self.mask = mask_of(action, env, machine, (*task.secrets.values(), *task.masked))
        os.chdir(sandbox.work if root is not None else sandbox.seen + "/work")
        try:
            program: str | None
            if argv[0] in commands:
                program = f"{sandbox.seen}/{COMMANDS}/{argv[0]}"
            else:
                program = (find_program if root is None else root.find_program)(argv[0], env["PATH"])
            if program is None:
                hint = missing_program_hint(argv[0], env["PATH"]) if root is None else NOT_IN_IMAGE
                raise InputError(f"command not found: {neutral(argv[0])}", hint=hint)
            if argv[0] not in commands:
                self._refuse_uncounted(argv[0], program, realized)
            try:
                ended = run(
                    program,
                    argv,
                    env,
                    self._write,
                    self.stop,
                    timeout=task.timeout,
                    grace=self.grace,
                    started=self._started,
                    confine=self._confinement(realized, program),
                    launch=_group_launcher(program, argv, env, action),
                )
            except NotConfinedError as error:
                # without its cause: a limit of namespaces reads like a full disk
                raise InputError(
                    str(error.strerror), hint="run it elsewhere, or ask for less: network, sandbox"
                ) from None
            except (OSError, ValueError) as error:
                raise _cannot_start(argv, error) from error
            self.log.end()
        finally:
            os.chdir("/")
        return self._conclude(ended, path)

    @cached_property
    def project(self) -> ProjectPackage | None:
        """The project's own package, where the step's environment installs it."""
        if "project" not in self.task.environment.description:
            return None
        from gitml.core.planner.project_package import package_in

        return package_in(self.task.environment.description)

    def _commands(self, realized: RealizedEnvironment) -> Collection[str]:
        """The names of the commands of the project's own package, which are written into the sandbox."""
        if self.project is None or not self.project.commands():
            return ()
        from gitml.execute.environments.project.install import write_commands

        write_commands(self.project, f"{self.sandbox.root}/{COMMANDS}", realized.python)
        return self.project.commands()

    def _refuse_uncounted(self, name: str, program: str, realized: RealizedEnvironment) -> None:
        """InputError for a program of the machine that was taken for one of the environment, so that it is not in the key."""
        counted = self.task.environment.description.get("programs") or {}
        own = tuple([f"{folder}/" for folder in realized.path_prepend])
        chosen = any(variable == "PATH" for variable, _ in self.task.action.env)
        if not realized.by_package or "/" in name or name in counted or chosen or is_python(name):
            return
        if not program.startswith(own):
            what = f"{neutral(name)} is no program of the environment, although a package is called so"
            raise InputError(what, hint="name the package that has it, or call the machine's by its whole path")

    def _write(self, chunk: bytes) -> None:
        with Guard(self.task.log, "its log can't be written"):
            line = self.log.write(chunk)
        if line is not None:
            self.report("output", line)

    def _started(self, pid: int) -> None:
        platform.note_group(self.sandbox.root, pid)
        self.report("started")

    def _confinement(self, realized: RealizedEnvironment, program: str) -> Callable[[], None] | None:
        """What cuts the step off; None for a step that is cut off from nothing."""
        task, sandbox = self.task, self.sandbox
        if not task.strict and task.network == FULL and realized.root is None:
            return None
        from gitml.execute.sandbox.isolation import Isolation

        # a program outside the system's folders may be run, wherever PATH has it
        own = (program, os.path.realpath(program)) if program.startswith("/") and realized.root is None else ()
        roots = (*realized.read_roots, *own)
        named = () if realized.redirect is None else _imported(task.environment, realized.redirect.tops)
        image = realized.root
        view = () if image is None else (image.folder, image.shown)
        return Isolation(task.strict, task.network, roots, sandbox.seen, sandbox.root, named, *view).enter

    def _conclude(self, ended: ProcessExit, path: str) -> TaskFinished:
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
            error, hint = self._failure(ended.code, path)
            missing = missing_names(self.log.tail().decode("utf-8", "replace"), sandbox.work_paths())
            return finished._replace(outcome="failed", error=error, hint=hint, missing=missing)
        if not self._makes_outputs():
            return finished
        try:
            measured = take_outputs(task.action.outputs, sandbox.work, self.services.store, self.taken)
        except GitmlError as error:
            where = f" ({neutral(error.where)})" if error.where and isinstance(error, InputError) else ""
            finished = finished._replace(left=self._left_behind())
            return finished._replace(outcome="failed", error=neutral(error.message) + where, hint=error.hint)
        finished = finished._replace(left=self._left_behind())
        return finished._replace(outputs=tuple(self.taken), metrics=measured.numbers, warnings=measured.remarks)

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

    def _failure(self, code: int, path: str) -> tuple[str, str | None]:
        sandbox, tail = self.sandbox, self.log.tail()
        in_image = self.realized.root if self.realized else None
        hint: str | None = None
        if self.task.strict:
            # what was denied long before the end may have been borne, and is not what the step died of
            end = b"\n".join(tail.rstrip().split(b"\n")[-20:])
            denied = denied_name(end.decode("utf-8", "replace"), sandbox.seen + "/work")
            if denied is not None and not denied.startswith(sandbox.seen + "/"):
                return f"the step used {neutral(denied)}, which it does not declare", _UNDECLARED
            hidden = _hidden(end) if denied is None and in_image is None else None
            if hidden is not None:
                return f"the step used {neutral(hidden)}, which it does not declare", _UNDECLARED
            if denied is None and is_denial(end.decode("utf-8", "replace")):
                hint = f"`sandbox: strict` denies a step what it does not declare. {_UNDECLARED}"
        if code < 0:
            return killed_by(-code), None
        said = relative_to(sandbox.work_paths(), error_line(tail, limit=300 + 2 * len(sandbox.work)))
        said = neutral(said, 300)
        if code > 128 and code - 128 == signal.SIGKILL:
            return f"exit status {code}: a process of it was {killed_by(signal.SIGKILL)}", None
        if code == COMMAND_NOT_FOUND and (name := missing_command(tail.decode("utf-8", "replace"))) is not None:
            if in_image is not None:
                hint = NOT_IN_IMAGE
            elif other_python(name, path):
                hint = missing_program_hint(name, path)
        return f"exit status {code}" + (f": {said}" if said else ""), hint


_UNDECLARED = (
    "a file of the repository: add it to `code:` or use it as ${{ inputs.… }}; another: copy it into the repository"
)


def _masked(finished: TaskFinished, mask: Mask) -> TaskFinished:
    """The end of an attempt without what is secret in its words."""
    error, hint = (None if text is None else mask.text(text) for text in (finished.error, finished.hint))
    lists = (finished.warnings, finished.missing, finished.left)
    warnings, missing, left = (tuple([mask.text(text) for text in texts]) for texts in lists)
    return finished._replace(error=error, hint=hint, warnings=warnings, missing=missing, left=left)


def _group_launcher(
    program: str, argv: tuple[str, ...], env: Mapping[str, str], action: Action
) -> Callable[[], int] | None:
    """What starts the processes of a gang that are to run here; None for a step of one process."""
    if action.gang == ALONE:
        return None
    from gitml.execute.process_group import decode_rendezvous, launch, local_rendezvous, variables

    rendezvous = decode_rendezvous(env[GANG_VARIABLE]) if GANG_VARIABLE in env else local_rendezvous(*action.gang)
    return partial(launch, program, argv, variables(rendezvous, env))


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


def duration(seconds: float) -> str:
    """``90s``, ``2h``, ``1h30m``: as a person writes it."""
    if seconds < 60 or seconds != int(seconds):
        return f"{seconds:g}s"
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if count)
