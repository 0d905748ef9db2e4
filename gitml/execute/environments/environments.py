"""Environments: what the programs of a step are, named for its key, and made real where it runs."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml import layout
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.environment import FORMAT, Environment, encode_description, environment_of
from gitml.core.model.protocols import Facts
from gitml.errors import InputError
from gitml.execute.environments.import_redirect import Redirect
from gitml.execute.environments.interpreter_packages import Packages, packages_of
from gitml.execute.environments.interpreters import PythonInterpreter, interpreter_at
from gitml.execute.environments.variables import find_program, search_path

if TYPE_CHECKING:
    from gitml.execute.process import StopRequests

_BUILTINS = frozenset(
    ("cd", "source", ".", "export", "set", "unset", "alias", "eval", "exec", "umask", "ulimit", "if", "for")
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OTHER_NAMES = {"python": "python3", "python3": "python"}
_PYTHON = re.compile(r"^(?:python|pypy)[0-9.]*$")


class NotInspectedError(InputError):
    """What must be asked of a place, or looked at on this machine, is not known, and this command does not ask or look."""


class RealizedEnvironment(NamedTuple):
    """An environment on this machine: folders to put first on PATH, folders a strict step may read, its Python.

    `redirect` is there when its Python would import code of this repository from a work tree.
    """

    path_prepend: tuple[str, ...]
    read_roots: tuple[str, ...]
    python: str | None
    redirect: Redirect | None = None


class Environments:
    """The environments of this machine; built ones lie in ``<cache_dir>/envs``.

    `machine` is the environment of the gitml process, read once, and `cwd` where it was called. `tops` are the work trees of the
    repository whose steps run: code in them never counts as installed. What is installed is looked at once for each object of
    this class: make one for each run. A Python of which `is_strange` is true is not started.
    """

    def __init__(
        self,
        facts: Facts,
        cache_dir: str,
        machine: Mapping[str, str],
        cwd: str | None = None,
        tops: Iterable[str] = (),
        is_strange: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self.machine = machine
        self._facts = facts
        self._cache_dir = cache_dir
        self._cwd = cwd or os.getcwd()
        self._is_strange = is_strange
        self._tops = tuple(dict.fromkeys([os.path.realpath(top) for top in tops]))
        self._packages: dict[tuple[PythonInterpreter, str], Packages] = {}
        self._python: PythonInterpreter | None = None
        self._looked = False
        self._hosts: dict[tuple[tuple[str, ...], str], Environment] = {}
        self._realised: dict[Digest, RealizedEnvironment] = {}

    def host(self, programs: tuple[str, ...] = (), path: str = "") -> Environment:
        """What is installed here: the Python first on PATH with its distributions, and each of `programs` (argv[0] of a step).

        A program with a relative path is the commit's own and is left out. `path` is the PYTHONPATH of a step that is passed the
        machine's: what it leads to counts as installed. InputError for a program that is not found, NotInspectedError for a
        Python that is not to be started.
        """
        known = self._hosts.get((programs, path))
        if known is None:
            known = self._hosts[programs, path] = self._describe_host(programs, path)
        return known

    def locked(self, path_in_repo: str, text: bytes, programs: tuple[str, ...] = ()) -> Environment:
        """The isolated environment that a requirements file names; InputError with its line when it is not locked.

        Of `programs` those that this machine has, other than Python, count as well.
        """
        from gitml.execute.environments.requirements import parse_requirements

        locked = parse_requirements(path_in_repo, text)
        python = self._interpreter_to_build_with()
        description: dict[str, Any] = {
            "kind": "requirements",
            "format": FORMAT,
            "platform": _platform(),
            "python": f"{python.implementation} {'.'.join(python.version.split('.')[:2])}",
            "requirements": digest_of("\n".join(locked.lines).encode("utf-8")),
        }
        hashes = {}
        for program in programs:
            found = find_program(program, self._path()) if not _is_relative(program) else None
            if found is not None and not _is_python(program):
                hashes[program] = self._hash_of(found)
        if hashes:
            description["programs"] = hashes
        return environment_of(description, text, locked.packages())

    def is_realized(self, environment: Environment) -> bool:
        """Whether steps can run in it without anything being built."""
        if environment.description["kind"] == "host":
            return True
        from gitml.execute.environments.venvs import built_at

        return built_at(self._place_of(environment)) is not None

    def path_of(self, environment: Environment) -> str | None:
        """The PATH of steps in it; None while it is not built, as nobody knows which programs it will have."""
        if environment.description["kind"] == "host":
            return self._path()
        if not self.is_realized(environment):
            return None
        return search_path(self.machine, (f"{self._place_of(environment)}/bin",))

    def realize(
        self, environment: Environment, stop: StopRequests | None = None, say: Callable[[str], None] | None = None
    ) -> RealizedEnvironment:
        """Makes `environment` real, building it when no one has; to be called in a worker, which may be stopped by `stop`.

        `say` is told when there is something to wait for. InputError with the builder's words when it can't be built.
        """
        known = self._realised.get(environment.digest)
        if known is None:
            known = self._realised[environment.digest] = self._make_real(environment, stop, say)
        return known

    def _make_real(
        self, environment: Environment, stop: StopRequests | None, say: Callable[[str], None] | None
    ) -> RealizedEnvironment:
        if environment.description["kind"] == "host":
            python = self._default_python()
            if python is None:
                return RealizedEnvironment((), (), None)
            redirect = self._redirect(environment, python)
            return RealizedEnvironment(self._prepend(), self._readable(python), python.executable, redirect)
        from gitml.execute.environments.venvs import build
        from gitml.execute.process import StopRequests

        place = self._place_of(environment)
        base = build(
            place,
            environment.requirements or b"",
            self._interpreter_to_build_with(),
            self.machine,
            stop or StopRequests(),
            say,
        )
        return RealizedEnvironment((f"{place}/bin",), (place, *base), f"{place}/bin/python")

    def _describe_host(self, programs: tuple[str, ...], path: str) -> Environment:
        python = self._default_python()
        described: dict[str, Any] = {}
        for program in programs:
            if _is_relative(program):
                continue
            found = find_program(program, self._path())
            if found is None or not os.path.exists(found):
                raise InputError(f"command not found: {program}", hint=missing_program_hint(program, self._path()))
            if not _is_python(program):
                described[program] = self._hash_of(found)
                continue
            other = self._interpreter_at(found)
            if python is None or (other.prefix, other.version) != (python.prefix, python.version):
                described[program] = {"python": other.name, **self._described(other, path)}
        return environment_of(
            {
                "kind": "host",
                "format": FORMAT,
                "platform": _platform(),
                "python": python.name if python else None,
                **(self._described(python, path) if python else {"distributions": ()}),
                "programs": described,
            }
        )

    def _described(self, python: PythonInterpreter, path: str) -> dict[str, Any]:
        found = self._installed(python, path)
        described: dict[str, Any] = {"distributions": found.distributions, "contents": found.contents}
        if found.repository:
            described["repository"] = {"imports": [list(item) for item in found.repository], "commands": found.scripts}
        return described

    def _installed(self, python: PythonInterpreter, path: str = "") -> Packages:
        known = self._packages.get((python, path))
        if known is None:
            known = self._packages[python, path] = packages_of(python, self._facts, self._tops, path)
        return known

    def _redirect(self, environment: Environment, python: PythonInterpreter) -> Redirect | None:
        if not leads_into_repository(environment):
            return None
        found = self._installed(python)
        return Redirect(self._tops, found.outside, found.links)

    def _default_python(self) -> PythonInterpreter | None:
        """The Python that a step's ``python``, or else ``python3``, is; None when there is none."""
        if not self._looked:
            path = search_path(self.machine)
            found = find_program("python", path) or find_program("python3", path)
            if found is not None:
                self._python = self._interpreter_at(found)
            self._looked = True
        return self._python

    def _interpreter_at(self, path: str) -> PythonInterpreter:
        if self._is_strange(path):
            raise NotInspectedError(
                f"{path} comes with this repository, and is not started before its steps may run",
                hint="gitml trust allow run",
            )
        return interpreter_at(path, self.machine, self._cwd, self._facts)

    def _interpreter_to_build_with(self) -> PythonInterpreter:
        found = self._default_python()
        if found is None:
            import sys

            found = interpreter_at(sys.executable, self.machine, self._cwd, self._facts)
        return found

    def _prepend(self) -> tuple[str, ...]:
        """The folder of the real interpreter, where PATH has a script that chooses one by where it is called."""
        python = self._default_python()
        if python is None:
            return ()
        folder = os.path.dirname(python.executable)
        path = search_path(self.machine)
        on_path = find_program("python", path) or find_program("python3", path)
        return () if on_path is None or os.path.dirname(on_path) == folder else (folder,)

    def _path(self) -> str:
        return search_path(self.machine, self._prepend())

    def _readable(self, python: PythonInterpreter) -> tuple[str, ...]:
        # the system's own prefix would open all of /, and is readable anyway
        roots = [root for root in (*python.roots, *python.sites) if root not in ("/", "/usr", "/usr/local")]
        return (*roots, *self._installed(python).outside, python.executable)

    def _hash_of(self, path: str) -> str:
        stat = os.stat(path)
        if not S_ISREG(stat.st_mode):
            raise InputError(f"{path} is no program: it is not a file", hint="mend the path")
        id = f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\0{stat.st_ctime_ns}"
        known = self._facts.fact("program", id)
        if known is None:
            with open(path, "rb") as file:
                known = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            self._facts.remember("program", id, known)
        return str(known)

    def _place_of(self, environment: Environment) -> str:
        # programs of the machine and the format are part of its name, not of what is built
        of_the_name = ("programs", "format")
        built = {name: value for name, value in environment.description.items() if name not in of_the_name}
        return os.path.join(
            self._cache_dir, layout.ENVIRONMENTS, hashlib.sha256(encode_description(built)).hexdigest()[:32]
        )


def leads_into_repository(environment: Environment) -> bool:
    """Whether an import in it would take code of the repository from a work tree."""
    programs = environment.description.get("programs") or {}
    described = [environment.description, *[one for one in programs.values() if isinstance(one, Mapping)]]
    return any("repository" in one for one in described)


def missing_program_hint(program: str, path: str) -> str:
    """What to do about a command that is not found on the search path `path`."""
    if program in _BUILTINS:
        return "it is a command of shells: add `shell: bash` to the step"
    if _ASSIGNMENT.match(program):
        return "set variables under `env:` of the step"
    other = other_python(program, path)
    if other is not None:
        return f"this machine has {other}: write {other}, or give the step a locked environment, which has {program}"
    return "install it, or name a file of the repository"


def other_python(program: str, path: str) -> str | None:
    """The name by which `path` does have the Python that a command calls by a name that is not there."""
    other = _OTHER_NAMES.get(program)
    return other if other is not None and find_program(other, path) is not None else None


def _is_relative(program: str) -> bool:
    return "/" in program and not program.startswith("/")


def _is_python(program: str) -> bool:
    return _PYTHON.match(os.path.basename(program)) is not None


def _platform() -> str:
    system = os.uname()
    return f"{system.sysname.lower()}-{system.machine}"
