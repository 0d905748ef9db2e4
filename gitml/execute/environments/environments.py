"""Environments: what the programs of a step are, identified by content for its key, and realized on the machine where it runs.

What differs between kinds of environments is in ENVIRONMENT_PROVIDERS, one for each of `core.kinds.environment_kinds`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gitml import layout
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.environment import FORMAT, Environment, EnvironmentSource, encode_description, environment_of
from gitml.core.model.protocols import Facts
from gitml.core.model.step_settings import HOST, REQUIREMENTS
from gitml.errors import InputError
from gitml.execute.environments.import_redirect import Redirect, is_python
from gitml.execute.environments.interpreters import Packages, PythonInterpreter, interpreter_at, packages_of
from gitml.execute.environments.variables import find_program, search_path

if TYPE_CHECKING:
    from gitml.execute.process import StopRequests

_BUILTINS = frozenset(
    ("cd", "source", ".", "export", "set", "unset", "alias", "eval", "exec", "umask", "ulimit", "if", "for")
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OTHER_NAMES = {"python": "python3", "python3": "python"}


class NotInspectedError(InputError):
    """What must be asked of a place, or looked at on this machine, is not known, and this command does not ask or look."""


class EnvironmentQuery(NamedTuple):
    """Which environment is asked for: its `source`, the `programs` that a step starts, and the PYTHONPATH it is passed."""

    source: EnvironmentSource
    programs: tuple[str, ...] = ()
    python_path: str = ""


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
        self._identified: dict[EnvironmentQuery, Environment] = {}
        self._realized: dict[Digest, RealizedEnvironment] = {}

    def identify(self, source: EnvironmentSource, programs: tuple[str, ...] = (), path: str = "") -> Environment:
        """The Environment that an EnvironmentQuery with these fields means here.

        A program with a relative path is the commit's own and is left out. InputError for a program that is not found and for a
        source that can't be used, NotInspectedError for a Python that is not to be started.
        """
        query = EnvironmentQuery(source, programs, path)
        known = self._identified.get(query)
        if known is None:
            from gitml.core.kinds.environment_kinds import environment_kind  # what only lists does without

            provider = ENVIRONMENT_PROVIDERS[environment_kind(source.name)]
            known = self._identified[query] = provider.identify(self, query)
        return known

    def path_of(self, environment: Environment) -> str | None:
        """The PATH of steps in it; None while it is not built, as nobody knows which programs it will have."""
        folders = _provider_of(environment).path_folders(self, environment)
        return None if folders is None else search_path(self.machine, folders)

    def realize(
        self,
        environment: Environment,
        stop: StopRequests | None = None,
        report: Callable[[str], None] = lambda what: None,
    ) -> RealizedEnvironment:
        """Makes `environment` real, building it when no one has; to be called in a worker, which may be stopped by `stop`.

        `report` is called when there is something to wait for. InputError with the builder's words when it can't be built.
        """
        known = self._realized.get(environment.digest)
        if known is None:
            from gitml.execute.process import StopRequests

            known = _provider_of(environment).realize(self, environment, stop or StopRequests(), report)
            self._realized[environment.digest] = known
        return known

    def described(self, python: PythonInterpreter, path: str = "") -> dict[str, Any]:
        """What is installed for `python`, as a part of a description."""
        found = self.installed(python, path)
        described: dict[str, Any] = {"distributions": found.distributions, "contents": found.contents}
        if found.repository:
            described["repository"] = {"imports": [list(item) for item in found.repository], "commands": found.scripts}
        return described

    def installed(self, python: PythonInterpreter, path: str = "") -> Packages:
        """What is installed for `python`, looked at once."""
        known = self._packages.get((python, path))
        if known is None:
            known = self._packages[python, path] = packages_of(python, self._facts, self._tops, path)
        return known

    def redirect(self, environment: Environment, python: PythonInterpreter) -> Redirect | None:
        """What keeps `python` from importing this repository's code from a work tree; None where it would not."""
        if not leads_into_repository(environment):
            return None
        found = self.installed(python)
        return Redirect(self._tops, found.outside, found.links)

    @cached_property
    def default_python(self) -> PythonInterpreter | None:
        """The Python that a step's ``python``, or else ``python3``, is; None when there is none."""
        found = self._default_on_path()
        return None if found is None else self.interpreter_at(found)

    def python_to_build_with(self) -> PythonInterpreter:
        """The Python that environments are made from: the default one, or else gitml's own."""
        if self.default_python is not None:
            return self.default_python
        import sys

        return interpreter_at(sys.executable, self.machine, self._cwd, self._facts)

    def interpreter_at(self, path: str) -> PythonInterpreter:
        """The Python at `path`; NotInspectedError when it comes with a repository whose steps may not run yet."""
        if self._is_strange(path):
            raise NotInspectedError(
                f"{path} comes with this repository, and is not started before its steps may run",
                hint="gitml trust allow run",
            )
        return interpreter_at(path, self.machine, self._cwd, self._facts)

    def python_folder(self) -> tuple[str, ...]:
        """The folder of the real interpreter, where PATH has a script that chooses one by where it is called."""
        python = self.default_python
        if python is None:
            return ()
        folder = os.path.dirname(python.executable)
        on_path = self._default_on_path()
        return () if on_path is None or os.path.dirname(on_path) == folder else (folder,)

    def host_path(self) -> str:
        """The PATH of steps that use what the machine has."""
        return search_path(self.machine, self.python_folder())

    def hash_of(self, path: str) -> str:
        """The digest of a program, remembered by its stats."""
        stat = os.stat(path)
        if not S_ISREG(stat.st_mode):
            raise InputError(f"{path} is no program: it is not a file", hint="fix the path")
        id = f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\0{stat.st_ctime_ns}"
        known = self._facts.fact("program", id)
        if known is None:
            with open(path, "rb") as file:
                known = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            self._facts.remember("program", id, known)
        return str(known)

    def folder_of(self, environment: Environment) -> str:
        """Where an environment that is built on this machine lies."""
        # programs of the machine and the format are part of its name, not of what is built
        of_the_name = ("programs", "format")
        built = {name: value for name, value in environment.description.items() if name not in of_the_name}
        return os.path.join(
            self._cache_dir, layout.ENVIRONMENTS, hashlib.sha256(encode_description(built)).hexdigest()[:32]
        )

    def _default_on_path(self) -> str | None:
        path = search_path(self.machine)
        return find_program("python", path) or find_program("python3", path)


class EnvironmentProvider(Protocol):
    """Identifies and realizes the environments of one kind; `here` is the machine."""

    def identify(self, here: Environments, query: EnvironmentQuery) -> Environment:
        """See `Environments.identify`: all that can decide of a result must be in the description, by content."""

    def path_folders(self, here: Environments, environment: Environment) -> tuple[str, ...] | None:
        """The folders that are first on the PATH of its steps; None while it is not built."""

    def realize(
        self, here: Environments, environment: Environment, stop: StopRequests, report: Callable[[str], None]
    ) -> RealizedEnvironment:
        """See `Environments.realize`."""


class HostProvider(EnvironmentProvider):
    """What the machine has installed: the Python first on PATH with its distributions, and each program."""

    def identify(self, here: Environments, query: EnvironmentQuery) -> Environment:
        python = here.default_python
        described: dict[str, Any] = {}
        for program in query.programs:
            if _is_relative(program):
                continue
            found = find_program(program, here.host_path())
            if found is None or not os.path.exists(found):
                raise InputError(f"command not found: {program}", hint=missing_program_hint(program, here.host_path()))
            if not is_python(program):
                described[program] = here.hash_of(found)
                continue
            other = here.interpreter_at(found)
            if python is None or (other.prefix, other.version) != (python.prefix, python.version):
                described[program] = {"python": other.name, **here.described(other, query.python_path)}
        return environment_of(
            {
                "kind": HOST,
                "format": FORMAT,
                "platform": _platform(),
                "python": python.name if python else None,
                **(here.described(python, query.python_path) if python else {"distributions": ()}),
                "programs": described,
            },
            query.source,
        )

    def path_folders(self, here: Environments, environment: Environment) -> tuple[str, ...] | None:
        return here.python_folder()

    def realize(
        self, here: Environments, environment: Environment, stop: StopRequests, report: Callable[[str], None]
    ) -> RealizedEnvironment:
        python = here.default_python
        if python is None:
            return RealizedEnvironment((), (), None)
        # the system's own prefix would open all of /, and is readable anyway
        roots = [root for root in (*python.roots, *python.sites) if root not in ("/", "/usr", "/usr/local")]
        readable = (*roots, *here.installed(python).outside, python.executable)
        redirect = here.redirect(environment, python)
        return RealizedEnvironment(here.python_folder(), readable, python.executable, redirect)


class RequirementsProvider(EnvironmentProvider):
    """An isolated environment with what a locked requirements file names, and of the programs those of the machine."""

    def identify(self, here: Environments, query: EnvironmentQuery) -> Environment:
        """InputError with its line for a file that is not locked."""
        from gitml.execute.environments.requirements import parse_requirements

        locked = parse_requirements(query.source.name, query.source.content or b"")
        python = here.python_to_build_with()
        description: dict[str, Any] = {
            "kind": REQUIREMENTS,
            "format": FORMAT,
            "platform": _platform(),
            "python": f"{python.implementation} {'.'.join(python.version.split('.')[:2])}",
            "requirements": digest_of("\n".join(locked.lines).encode("utf-8")),
        }
        hashes = {}
        for program in query.programs:
            found = find_program(program, here.host_path()) if not _is_relative(program) else None
            if found is not None and not is_python(program):
                hashes[program] = here.hash_of(found)
        if hashes:
            description["programs"] = hashes
        return environment_of(description, query.source, locked.packages())

    def path_folders(self, here: Environments, environment: Environment) -> tuple[str, ...] | None:
        from gitml.execute.environments.venvs import built_at

        folder = here.folder_of(environment)
        return None if built_at(folder) is None else (f"{folder}/bin",)

    def realize(
        self, here: Environments, environment: Environment, stop: StopRequests, report: Callable[[str], None]
    ) -> RealizedEnvironment:
        from gitml.execute.environments.venvs import build

        folder = here.folder_of(environment)
        content = environment.source.content or b""
        base = build(folder, content, here.python_to_build_with(), here.machine, stop, report)
        return RealizedEnvironment((f"{folder}/bin",), (folder, *base), f"{folder}/bin/python")


ENVIRONMENT_PROVIDERS: dict[str, EnvironmentProvider] = {HOST: HostProvider(), REQUIREMENTS: RequirementsProvider()}
"""By the names of `core.kinds.environment_kinds.ENVIRONMENT_KINDS`."""


def _provider_of(environment: Environment) -> EnvironmentProvider:
    kind = environment.description["kind"]
    provider = ENVIRONMENT_PROVIDERS.get(kind)
    if provider is None:
        raise InputError(f"this gitml knows no environment of kind {kind!r}", hint="install the gitml that planned it")
    return provider


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


def _platform() -> str:
    system = os.uname()
    return f"{system.sysname.lower()}-{system.machine}"
