"""A program at the user's terminal in the sandbox of a step, in place of the step's command; nothing of it is kept.

It runs in gitml's own process group, so that the terminal's keys reach it, and a shell can give the terminal to its jobs and take
it back. Between the two stands a process that holds the sandbox, ends what the program leaves, and clears up when gitml is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NamedTuple, NoReturn

from gitml.core.model.protocols import Task
from gitml.core.model.step_settings import ALONE
from gitml.errors import GitmlError, InputError, IntegrityError, MachineError, RemoteError, machine_error
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.interfaces import WorkerServices
from gitml.execute.process import StopRequests
from gitml.execute.process_group import local_rendezvous, variables
from gitml.execute.sandbox.location import SandboxRoots, choose_root, sandbox_roots
from gitml.execute.sandbox.namespace import leave_shared
from gitml.execute.sandbox.removal import remove_tree
from gitml.execute.sandbox.sandbox import BlobMemory, Sandbox
from gitml.execute.step_process import StepProcess
from gitml.execute.supervisor import detach_from
from gitml.layout import COMMAND_VARIABLE
from gitml.platform.current import platform
from gitml.platform.linux import MOUNTED

_ERRORS = {kind.exit_code: kind for kind in (IntegrityError, MachineError, RemoteError)}
_BROKEN = 70
_KEYS = (signal.SIGINT, signal.SIGQUIT)  # what the terminal's keys send to the whole group
_ENDINGS = (signal.SIGHUP, signal.SIGTERM)


class TerminalRequest(NamedTuple):
    """The step, the program to start in its place (empty: the user's shell), and content for places of its outputs by path."""

    task: Task
    argv: tuple[str, ...]
    left: Mapping[str, str]


class _EndedError(Exception):
    """The terminal was closed, or gitml is to end."""

    def __init__(self, number: int) -> None:
        self.number = number


def attend_terminal(
    request: TerminalRequest, folder: str, make_services: Callable[[], WorkerServices], machine: Mapping[str, str]
) -> int:
    """Runs the program to its end; its exit status, as a shell gives it. `folder` is for the sandbox; it stays empty.

    A GitmlError when the sandbox can't be made, or the program not be started.
    """
    roots = sandbox_roots(folder, machine)
    reader, writer = os.pipe()
    with _terminal_kept():
        pid = os.fork()
        if pid == 0:
            try:
                _Host(request, roots, make_services, writer, machine).serve()
            finally:
                os._exit(_BROKEN)
        os.close(writer)
        for number in _ENDINGS:
            signal.signal(number, lambda _number, _frame: _send(pid, signal.SIGTERM))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with open(reader, "rb") as pipe:
        said = pipe.read()
    if status < 0:  # it was killed, and cleared up nothing
        for root in roots.roots():
            platform.end_strays(f"{root}/{request.task.attempt}")
            remove_tree(f"{root}/{request.task.attempt}")
    if said:
        code, message, where, hint = json.loads(said)
        raise _ERRORS.get(code, InputError)(message, where=where, hint=hint)
    return status if status >= 0 else 128 - status


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """The terminal and the signals as they were, afterwards; the terminal's keys pass this process by within."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [(number, signal.getsignal(number)) for number in (*_KEYS, *_ENDINGS, signal.SIGTTOU)]
    for number in (*_KEYS, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    saved = None
    with suppress(OSError, ValueError):
        import termios

        with suppress(termios.error):
            saved = termios.tcgetattr(0)
    try:
        yield
    finally:
        if saved is not None:
            with suppress(OSError):
                os.tcsetpgrp(0, os.getpgrp())
            with suppress(OSError, termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, saved)
        for number, handler in before:
            signal.signal(number, handler)


class _Host:
    """The process that holds the sandbox."""

    def __init__(
        self,
        request: TerminalRequest,
        roots: SandboxRoots,
        make_services: Callable[[], WorkerServices],
        report: int,
        machine: Mapping[str, str],
    ) -> None:
        self._request = request
        self._roots = roots
        self._make_services = make_services
        self._report = report
        self._machine = machine
        self._sandbox: Sandbox | None = None

    def serve(self) -> NoReturn:
        """Makes the sandbox, runs the program, removes the sandbox, and exits as the program did."""
        code = _BROKEN
        try:
            for number in _ENDINGS:
                signal.signal(number, self._end)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            detach_from([0, 1, 2, self._report])
            platform.deny_inspection()
            platform.adopt_orphans("gitml-shell", os.getppid(), signal.SIGTERM)
            code = self._work()
        except GitmlError as error:
            self._tell(error)
            code = error.exit_code
        except OSError as error:
            self._tell(machine_error(error, str(error.filename or self._roots.live)))
        except KeyboardInterrupt:
            code = 130
        except _EndedError as error:
            code = 128 + error.number
        finally:
            for number in (*_KEYS, *_ENDINGS):
                signal.signal(number, signal.SIG_IGN)
            platform.end_all()
            if self._sandbox is not None:
                self._sandbox.remove()
        os._exit(code)

    def _end(self, number: int, _: FrameType | None) -> None:
        for ending in _ENDINGS:
            signal.signal(ending, signal.SIG_IGN)
        raise _EndedError(number)

    def _tell(self, error: GitmlError) -> None:
        said = json.dumps([error.exit_code, error.message, error.where, error.hint])
        os.write(self._report, said.encode("ascii")[: 2**15])

    def _work(self) -> int:
        task = self._request.task
        root, _ = choose_root(self._roots)
        if root.path is None:
            hint = "name a folder for sandboxes in your own settings: sandboxes: /scratch/me"
            raise MachineError(f"every folder for sandboxes lies in a project: {root.problem}", hint=hint)
        if root.mounted:
            leave_shared()
        services = self._make_services()
        sandbox = self._sandbox = Sandbox(f"{root.path}/{task.attempt}", services, BlobMemory(), mounted=root.mounted)
        realized = services.environments.realize(
            task.environment, BuildControl(StopRequests(), from_source=not task.strict)
        )
        in_image = realized.root is not None
        if in_image:
            sandbox.seen = MOUNTED
        own_home = task.strict or in_image
        sandbox.build(task.action, own_home=own_home, caches=task.caches, caches_of=task.caches_of)
        for mount, path in self._request.left.items():
            shutil.move(path, sandbox.path_of(mount))
        process = StepProcess(task, sandbox, realized, services.environments.machine)
        more = {COMMAND_VARIABLE: process.command}
        if task.action.gang != ALONE:
            more |= variables(local_rendezvous(1, 1), {})[0][1]
        if "TERM" in self._machine and "TERM" not in dict(task.action.env):
            more["TERM"] = self._machine["TERM"]
        for number in _KEYS:
            signal.signal(number, signal.SIG_IGN)
        pid = process.start(self._request.argv, more)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code if code >= 0 else 128 - code
