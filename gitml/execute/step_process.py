"""The process that a step becomes: its program, variables and folder, and what it is cut off from."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from gitml.core.model.action import Action
from gitml.core.model.environment import Environment
from gitml.core.model.guarantees import FULL
from gitml.core.model.protocols import Task
from gitml.core.model.step_settings import ALONE
from gitml.core.secrets.seals import opened
from gitml.errors import InputError
from gitml.execute.environments.import_redirect import is_python
from gitml.execute.environments.programs import NOT_IN_IMAGE, missing_program_hint
from gitml.execute.environments.software import RealizedEnvironment
from gitml.execute.environments.variables import command_line, find_program, search_path, variables_of
from gitml.execute.log import mask_of
from gitml.execute.log_text import neutral
from gitml.execute.process import NotConfinedError, ProcessExit, StopRequests, run, start_attached
from gitml.execute.sandbox.sandbox import CACHES, Sandbox
from gitml.layout import GANG_VARIABLE
from gitml.platform.linux import MOUNTED

if TYPE_CHECKING:
    from gitml.core.planner.project_package import ProjectPackage
    from gitml.execute.sandbox.caches import OpenedCache
    from gitml.execute.sandbox.image_view import ShownFolder

_WITHOUT_SETTINGS = {"bash": ("--noprofile", "--norc"), "zsh": ("-f",), "fish": ("--no-config",)}
_COMMANDS = "commands"  # the folder of a sandbox with those of the project's own package


class CommandMissingError(InputError):
    """The `command` of a step is not in its environment."""

    def __init__(self, command: str, hint: str) -> None:
        super().__init__(f"command not found: {neutral(command)}", hint=hint)
        self.command = command


class StepProcess:
    """The process of `task` in `sandbox`, which is built, and in an environment of the machine with the variables `machine`.

    Making one writes what it needs beside the files of the step: the commands of the project's own package, where Python
    finds code of the repository, and what leads to its caches. `path` is where its programs are looked for, `mask` hides what
    its log must not show.
    """

    def __init__(self, task: Task, sandbox: Sandbox, realized: RealizedEnvironment, machine: Mapping[str, str]) -> None:
        self._task = task
        self._sandbox = sandbox
        self._realized = realized
        self._machine = machine
        project = _project_of(task.environment)
        self._commands = self._write_commands(project)
        self._caches = self._place_caches()
        self.path = self._search_path(machine)
        self._argv = command_line(task.action)
        self._env = self._variables(project, machine)
        self.mask = mask_of(task.action, self._env, machine, (*task.secrets.values(), *task.masked))

    def run(
        self,
        write: Callable[[bytes], None],
        stop: StopRequests,
        grace: float,
        started: Callable[[int], None],
    ) -> ProcessExit:
        """Runs it to its end as `process.run` does; InputError when it can't be started, or not be cut off as is asked."""
        work = self._sandbox.work if self._realized.root is not None else f"{self._sandbox.seen}/work"
        os.chdir(os.path.join(work, self._task.action.workdir))
        try:
            return self._run(self._program(), write, stop, grace, started)
        finally:
            os.chdir("/")

    def start(self, argv: tuple[str, ...], more: Mapping[str, str]) -> int:
        """Starts another program in the place of the step's, with `more` variables, on the terminal and in the process group of
        this process; its process id. Without `argv` it is the user's shell. InputError when it can't be started."""
        argv = argv or self._shell(self._machine)
        env = {**self._env, **more}
        os.chdir(self._sandbox.work if self._realized.root is not None else f"{self._sandbox.seen}/work")
        try:
            program = self._find(argv[0])
            return start_attached(program, argv, env, self._confinement(program))
        except NotConfinedError as error:
            raise InputError(str(error.strerror), hint="run it elsewhere, or ask for less: network, sandbox") from None
        except (OSError, ValueError) as error:
            raise _cannot_start(argv, error) from error
        finally:
            os.chdir("/")

    @property
    def command(self) -> str:
        """The command line of the step, as a shell reads it."""
        return shlex.join(self._argv)

    def _shell(self, machine: Mapping[str, str]) -> tuple[str, ...]:
        """The user's shell, in an image bash or sh; without files of settings, which would change the variables of the step."""
        root = self._realized.root
        name = machine.get("SHELL") or "/bin/sh"
        if root is not None:
            name = "bash" if root.find_program("bash", self._env["PATH"]) else "sh"
        return (name, *_WITHOUT_SETTINGS.get(os.path.basename(name), ()))

    def _run(
        self,
        program: str,
        write: Callable[[bytes], None],
        stop: StopRequests,
        grace: float,
        started: Callable[[int], None],
    ) -> ProcessExit:
        try:
            return run(
                program,
                self._argv,
                self._env,
                write,
                stop,
                timeout=self._task.timeout,
                grace=grace,
                started=started,
                confine=self._confinement(program),
                launch=_group_launcher(program, self._argv, self._env, self._task.action),
            )
        except NotConfinedError as error:
            # without its cause: a limit of namespaces reads like a full disk
            raise InputError(str(error.strerror), hint="run it elsewhere, or ask for less: network, sandbox") from None
        except (OSError, ValueError) as error:
            raise _cannot_start(self._argv, error) from error

    def _write_commands(self, project: ProjectPackage | None) -> Collection[str]:
        """The names of the commands of the project's own package, written into the sandbox."""
        if project is None or not project.commands():
            return ()
        from gitml.execute.environments.project.install import write_commands

        write_commands(project, f"{self._sandbox.root}/{_COMMANDS}", self._realized.python)
        return project.commands()

    def _place_caches(self) -> Mapping[str, str]:
        """Shows the step its caches by name, but for those that an image shows; the variables that lead it to them."""
        found: dict[str, str] = {}
        for cache, folder, lock in self._sandbox.caches:
            if lock >= 0 and self._realized.root is None:
                os.symlink(folder, f"{self._sandbox.root}/{CACHES}/{cache.name}")
            # a sandbox that lies elsewhere for each attempt is no path for a tool to write down
            stays = self._sandbox.seen == MOUNTED
            place = f"{self._sandbox.seen}/{CACHES}/{cache.name}" if stays else folder
            found |= dict.fromkeys(cache.variables, place)
        return found

    def _search_path(self, machine: Mapping[str, str]) -> str:
        realized = self._realized
        own = (f"{self._sandbox.seen}/{_COMMANDS}",) if self._commands else ()
        if realized.root is None:
            return ":".join((*own, search_path(machine, realized.path_prepend)))
        return ":".join((*own, *realized.path_prepend, realized.root.search_path()))

    def _variables(self, project: ProjectPackage | None, machine: Mapping[str, str]) -> Mapping[str, str]:
        task, seen, realized = self._task, self._sandbox.seen, self._realized
        root = realized.root
        env = variables_of(
            task.action,
            machine,
            path=self.path,
            tmp=f"{seen}/tmp",  # noqa: S108  the step's alone, in its sandbox
            ceiling=seen,
            home=f"{seen}/home" if task.strict or root is not None else None,
            devices=task.devices,
            lent={**dict(realized.variables), **task.lent, **self._caches},
            image=None if root is None else root.variables(),
        )
        if realized.redirect is not None or project is not None:
            from gitml.execute.environments.import_redirect import FOLDER, NO_REDIRECT, write_redirect

            write_redirect(realized.redirect or NO_REDIRECT, self._sandbox.root, project)
            first = f"{seen}/{FOLDER}"
            env["PYTHONPATH"] = f"{first}:{env['PYTHONPATH']}" if env.get("PYTHONPATH") else first
        if task.secrets:
            env = {name: opened(value, task.secrets) for name, value in env.items()}
        return env

    def _program(self) -> str:
        """Where the program of the step lies, as the step sees it; InputError for none, and for one that is not counted."""
        name = self._argv[0]
        program = self._find(name)
        if name not in self._commands:
            self._refuse_uncounted(name, program)
        return program

    def _find(self, name: str) -> str:
        root, path = self._realized.root, self._env["PATH"]
        if name in self._commands:
            return f"{self._sandbox.seen}/{_COMMANDS}/{name}"
        program = find_program(name, path) if root is None else root.find_program(name, path)
        if program is None:
            hint = missing_program_hint(name, path) if root is None else NOT_IN_IMAGE
            raise CommandMissingError(name, hint)
        return program

    def _refuse_uncounted(self, name: str, program: str) -> None:
        """InputError for a program of the machine that was taken for one of the environment, so that it is not in the key."""
        counted = self._task.environment.description.get("programs") or {}
        own = tuple([f"{folder}/" for folder in self._realized.path_prepend])
        chosen = any(variable == "PATH" for variable, _ in self._task.action.env)
        if not self._realized.by_package or "/" in name or name in counted or chosen or is_python(name):
            return
        if not program.startswith(own):
            what = f"{neutral(name)} is no program of the environment, although a package is called so"
            raise InputError(what, hint="name the package that has it, or call the machine's by its whole path")

    def _confinement(self, program: str) -> Callable[[], None] | None:
        """What cuts the step off; None for a step that is cut off from nothing."""
        task, sandbox, realized = self._task, self._sandbox, self._realized
        image = realized.root
        kept = [opened for opened in sandbox.caches if opened.lock >= 0]
        fixed = [folder for cache, folder, _ in kept if cache.readonly and not task.strict and image is None]
        if not task.strict and task.network == FULL and image is None and not fixed:
            return None
        from gitml.execute.sandbox.isolation import Isolation

        # a program outside the system's folders may be run, wherever PATH has it
        own = (program, os.path.realpath(program)) if program.startswith("/") and image is None else ()
        folders = [folder for _, folder, _ in kept] if image is None else []
        roots = (*realized.read_roots, *own, *folders)
        named = () if realized.redirect is None else _imported(task.environment, realized.redirect.tops)
        view = ("", ()) if image is None else (image.folder, (*image.shown, *_shown(kept)))
        return Isolation(
            *(task.strict, task.network, roots, sandbox.seen, sandbox.root, named), *view, fixed=tuple(fixed)
        ).enter


def _project_of(environment: Environment) -> ProjectPackage | None:
    """The project's own package, where the environment installs it."""
    if "project" not in environment.description:
        return None
    from gitml.core.planner.project_package import package_in

    return package_in(environment.description)


def _group_launcher(
    program: str, argv: tuple[str, ...], env: Mapping[str, str], action: Action
) -> Callable[[], int] | None:
    """What starts the processes of a gang that are to run here; None for a step of one process."""
    if action.gang == ALONE:
        return None
    from gitml.execute.process_group import decode_rendezvous, launch, local_rendezvous, variables

    rendezvous = decode_rendezvous(env[GANG_VARIABLE]) if GANG_VARIABLE in env else local_rendezvous(*action.gang)
    return partial(launch, program, argv, variables(rendezvous, env))


def _shown(caches: Iterable[OpenedCache]) -> tuple[ShownFolder, ...]:
    """The caches as a step in an image sees them."""
    from gitml.execute.sandbox.image_view import ShownFolder

    return tuple(
        [ShownFolder(folder, f"{CACHES}/{cache.name}", writable=not cache.readonly) for cache, folder, _ in caches]
    )


def _imported(environment: Environment, tops: Iterable[str]) -> tuple[str, ...]:
    """The folders of work trees that the environment's Python imports code of this repository from."""
    imports = environment.description.get("repository", {}).get("imports", ())
    return tuple([os.path.normpath(os.path.join(top, path)) for top in tops for _, path in imports])


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
