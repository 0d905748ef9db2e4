"""A project whose commands are forked from this process, where gitml is loaded already: for tests of thousands of commands."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path

from gitml.cli.table import COMMANDS
from tests.kit.projects.command_line import Done, Project

_LOADED = ("gitml.cli.main", "gitml.__main__", "gitml.engine.run", "gitml.maintenance.fsck", "gitml.core.config.parse")


class ForkedProject(Project):
    """As Project, but for what each command costs before it begins. Nothing of this process is seen by a command."""

    def do(
        self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, code: int | None = 0
    ) -> Done:
        """A command to its end; `code` is what it must end with (None: anything)."""
        _load(args)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                _be_gitml(args, str(cwd or self.path), {**self.env, **(env or {})}, out.fileno(), err.fileno())
            try:
                _, status = os.waitpid(pid, 0)
            except BaseException:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
            out.seek(0)
            err.seek(0)
            done = Done(os.waitstatus_to_exitcode(status), out.read().decode(), err.read().decode())
        assert code is None or done.code == code, f"gitml {' '.join(args)} gave {done.code}\n{done.out}\n{done.err}"
        return done


def _load(args: tuple[str, ...]) -> None:
    """Loads what most commands need, and the one that is asked for."""
    for name in _LOADED:
        importlib.import_module(name)
    entry = COMMANDS.get(next((word for word in args if not word.startswith("-")), ""))
    if entry is not None:
        importlib.import_module(f"gitml.cli.commands.{entry.module.partition(':')[0]}")


def _be_gitml(args: tuple[str, ...], cwd: str, env: Mapping[str, str], out: int, err: int) -> None:
    """What ``python -m gitml ARGS`` does, in a child that never returns."""
    # What is garbage of the process that was forked is not collected here: its files would close descriptors that are others' now.
    gc.freeze()
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, number in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(descriptor, number)
        os.closerange(3, 256)
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP) and callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - they stay open to the end
        sys.argv = ["gitml", *args]
        from gitml.__main__ import main

        main()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(70)
