"""Preflight: what would keep a step from starting on this machine, found before hours of other steps have passed.

Only what is certain counts: a program that another step makes and an expression names, or that an environment has which is
not built yet, is no problem.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable

from gitml.core.model import paths
from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment
from gitml.core.model.graph import GraphStep
from gitml.core.model.guarantees import FULL, Network
from gitml.core.model.protocols import Source
from gitml.core.planner.plan import PartProblem
from gitml.errors import InputError
from gitml.execute.environments.programs import NOT_IN_IMAGE, missing_program_hint
from gitml.execute.environments.software import NotInspectedError
from gitml.execute.environments.variables import find_program, missing_variable_hint
from gitml.platform.current import platform
from gitml.workspace import Workspace

# Programs whose first word that is no option is a script, and those of their options that take no value.
_INTERPRETER = re.compile(r"(?:python|pypy)[0-9.]*|bash|sh|dash|zsh|perl|ruby|node|Rscript|julia")
_PLAIN_OPTIONS = {"python": frozenset("-u -B -E -s -S -I -O -OO -v -q -b -d -x -P".split())}
_FIRST_LINE = 200
_RUNNABLE = ("100755", "120000")


class Preflight:
    """The checks of steps at one commit; `why_missing` returns the hint for a path that is not in it."""

    def __init__(self, ws: Workspace, source: Source, why_missing: Callable[[str], str]) -> None:
        self.ws = ws
        self.source = source
        self.why_missing = why_missing
        self._unbuildable: dict[tuple[Digest, bool], PartProblem | None] = {}
        self._confines: str | None = None  # why this machine can't confine a step, "" when it can

    def check(self, step: GraphStep, environment: Environment, files: Source) -> PartProblem | None:
        """The first that there is for a step whose code comes from `files`."""
        return (
            self._variables(step)
            or self._program(step, environment, files)
            or self._script(step, environment, files)
            or (self._sandbox() if step.settings.strict else None)
            or self._image(environment)
            or self._buildable(environment, strict=step.settings.strict)
            or (_network(step.settings.network) if step.settings.network != FULL else None)
            or (self._caches(step, environment, files) if step.settings.caches else None)
        )

    def _variables(self, step: GraphStep) -> PartProblem | None:
        unset = [name for name, value in step.env if value is None and name not in self.ws.environ]
        if not unset:
            return None
        what = f"variable {unset[0]}, which is" if len(unset) == 1 else f"variables {', '.join(unset)}, which are"
        return PartProblem(f"the step needs the environment {what} not set here", missing_variable_hint(unset))

    def _program(self, step: GraphStep, environment: Environment, files: Source) -> PartProblem | None:
        program = step.shell or step.argv[0]
        if "/" in program and not program.startswith("/"):
            return self._program_of_commit(step, environment, files, program)
        if program.startswith("/"):
            found = self._exists(environment, program)
        else:
            found = self._finds(environment, program, self._path(step, environment))
        if found or _is_of_project(program, environment):
            return None
        return self._not_found(environment, program, self._path(step, environment))

    def _program_of_commit(
        self, step: GraphStep, environment: Environment, files: Source, program: str
    ) -> PartProblem | None:
        path = posixpath.normpath(step.settings.from_top(program))
        if _is_given(step, path):
            return None
        entry = files.lookup(path)
        if entry is None:
            if _leads_through_link(files, path):
                return None
            hint = self._venv_hint(path) or self._mend(step, path)
            return PartProblem(f"command not found: {program} is not in the commit", hint)
        if entry.is_tree or entry.is_submodule:
            return PartProblem(f"can't run {program}: it is a directory", "name a file in it")
        if entry.mode not in _RUNNABLE:
            return PartProblem(f"not executable: {program}", f"git update-index --chmod=+x {path}")
        return None if entry.is_link else self._first_line(step, environment, program, files.read(entry.oid))

    def _first_line(
        self, step: GraphStep, environment: Environment, program: str, content: bytes
    ) -> PartProblem | None:
        """A script that names on its first line what is not there."""
        if not content.startswith(b"#!"):
            return None
        line = content[2:_FIRST_LINE].partition(b"\n")[0]
        if line.endswith(b"\r"):
            hint = "its lines must end as on Unix: *.sh text eol=lf in .gitattributes, git add --renormalize, commit"
            return PartProblem(f"the first line of {program} ends in a carriage return, so no program runs it", hint)
        words = os.fsdecode(line).split()
        if not words or not words[0].startswith("/"):
            return None
        if not self._exists(environment, words[0]):
            return PartProblem(f"command not found: {words[0]}, which the first line of {program} names", "install it")
        if posixpath.basename(words[0]) != "env" or len(words) != 2 or "=" in words[1] or words[1].startswith("-"):
            return None
        path = self._path(step, environment)
        if path is None or self._finds(environment, words[1], path):
            return None
        wanted = f"command not found: {words[1]}, which the first line of {program} names"
        return PartProblem(wanted, self._hint(environment, words[1], path))

    def _script(self, step: GraphStep, environment: Environment, files: Source) -> PartProblem | None:
        if step.shell or step.notebook or len(step.argv) < 2:
            return None
        program = posixpath.basename(step.argv[0])
        if _INTERPRETER.fullmatch(program) is None:
            return None
        plain = _PLAIN_OPTIONS.get(program.rstrip("0123456789.").replace("pypy", "python"), frozenset())
        script = next((word for word in step.argv[1:] if word not in plain), "")
        if not script or script.startswith("-"):
            return None
        if script.startswith("/"):
            if self._exists(environment, script):
                return None
            where = "on this machine" if self.ws.environments.sees_machine(environment) else "in the image"
            return PartProblem(f"no such file {where}: {script}", "name a file of the repository")
        path = paths.clean(step.settings.from_top(script))
        if paths.problem_with(path) is not None or _is_given(step, path):
            return None
        if files.lookup(path) is not None or _leads_through_link(files, path):
            return None
        return PartProblem(f"{script} is not in the commit", self._mend(step, path))

    def _sandbox(self) -> PartProblem | None:
        if self._confines is None:
            self._confines = platform.confinement_refusal()
        if not self._confines:
            return None
        return PartProblem(
            f"sandbox: strict can't be kept here: {self._confines}", "run it elsewhere, or with sandbox: normal"
        )

    def _image(self, environment: Environment) -> PartProblem | None:
        if self.ws.environments.sees_machine(environment):
            return None
        from gitml.execute.sandbox.isolation import image_refusal

        why = image_refusal()
        if not why:
            return None
        hint = "run it elsewhere, or in an environment of another kind"
        return PartProblem(f"steps can't run in an image here: {why}", hint)

    def _caches(self, step: GraphStep, environment: Environment, files: Source) -> PartProblem | None:
        """A cache whose place the commit has, so that the step would see other files than without it, or that can't be kept."""
        for cache in step.settings.caches:
            taken = _in_the_way(files, cache.path) if cache.path else None
            if taken is not None:
                hint = "give it another path: what the commit has there would be hidden from the step"
                return PartProblem(f"the cache {cache.name} ({cache.path}) lies where the commit has {taken}", hint)
        image = not self.ws.environments.sees_machine(environment)
        if step.settings.strict or image or not any(cache.readonly for cache in step.settings.caches):
            return None
        from gitml.execute.sandbox.isolation import image_refusal

        why = image_refusal()
        if not why:
            return None
        hint = "run it elsewhere, with sandbox: strict, or without readonly"
        return PartProblem(f"a read-only cache can't be kept here: {why}", hint)

    def _buildable(self, environment: Environment, *, strict: bool) -> PartProblem | None:
        """What keeps the environment from being built; nothing is started to find out before steps may run."""
        if not self.ws.consent.may_run():
            return None
        asked = environment.digest, strict
        if asked not in self._unbuildable:
            try:
                self.ws.environments.check_buildable(environment, from_source=not strict)
                self._unbuildable[asked] = None
            except NotInspectedError:
                return None
            except InputError as error:
                self._unbuildable[asked] = PartProblem(error.message, error.hint)
        return self._unbuildable[asked]

    def _exists(self, environment: Environment, path: str) -> bool:
        """Whether the absolute path is there for steps in `environment`, or may be in an image that is not here yet."""
        environments = self.ws.environments
        if environments.sees_machine(environment):
            return os.path.exists(path)
        root = environments.root_of(environment)
        return root is None or root.exists(path)

    def _finds(self, environment: Environment, program: str, path: str | None) -> bool:
        """Likewise whether a program is on the search path, None for one that is not known."""
        if path is None:
            return True
        environments = self.ws.environments
        if environments.sees_machine(environment):
            return find_program(program, path) is not None
        root = environments.root_of(environment)
        return root is None or root.find_program(program, path) is not None

    def _venv_hint(self, path: str) -> str | None:
        """What to write for a program of a virtual environment in the work tree, which no commit holds."""
        folder, _, name = path.rpartition("/bin/")
        top = self.ws.location.worktree
        if not folder or "/" in name or top is None or not os.path.isfile(os.path.join(top, folder, "pyvenv.cfg")):
            return None
        return f"name the virtual environment, environment: {{venv: {folder}}}, and the program alone: {name}"

    def _not_found(self, environment: Environment, program: str, path: str | None) -> PartProblem:
        return PartProblem(f"command not found: {program}", self._hint(environment, program, path))

    def _hint(self, environment: Environment, program: str, path: str | None) -> str:
        if not self.ws.environments.sees_machine(environment):
            return NOT_IN_IMAGE
        return "install it, or fix the path" if program.startswith("/") else missing_program_hint(program, path or "")

    def _path(self, step: GraphStep, environment: Environment) -> str | None:
        """The PATH of the step; None while it is not known."""
        own = dict(step.env).get("PATH")
        return own if own is not None else self.ws.environments.path_of(environment)

    def _mend(self, step: GraphStep, path: str) -> str:
        if step.module is not None:
            return "publish a version of the module that has it"
        return self.why_missing(path)


def _network(network: Network) -> PartProblem | None:
    from gitml.execute.sandbox.isolation import refusal  # only who asks for it waits for it to be tried

    why = refusal(network)
    if not why:
        return None
    return PartProblem(f"network: {network} can't be kept here: {why}", "run it elsewhere, or with network: full")


def _is_of_project(program: str, environment: Environment) -> bool:
    """Whether a program is a command of the project's own package, which the environment installs."""
    if "project" not in environment.description:
        return False
    from gitml.core.planner.project_package import package_in

    package = package_in(environment.description)
    return package is not None and program in package.commands()


def _is_given(step: GraphStep, path: str) -> bool:
    """Whether an input, or what the step itself makes, lies at `path`, above or below it."""
    mounts = [*(binding.mount for binding in step.inputs), *(output.mount for output in step.outputs)]
    return any(mount in ("", ".") or paths.overlaps(path, mount) for mount in mounts)


def _in_the_way(files: Source, path: str) -> str | None:
    """What is there at a path, or above it and no folder; None when it is free."""
    above = posixpath.dirname(path)
    while above:
        entry = files.lookup(above)
        if entry is not None:
            if not entry.is_tree:
                return above
            break
        above = posixpath.dirname(above)
    return None if files.lookup(path) is None else path


def _leads_through_link(files: Source, path: str) -> bool:
    """Whether a folder on the way is a link, which only the sandbox follows."""
    above = posixpath.dirname(path)
    while above:
        entry = files.lookup(above)
        if entry is not None:
            return entry.is_link or not entry.is_tree
        above = posixpath.dirname(above)
    return False
