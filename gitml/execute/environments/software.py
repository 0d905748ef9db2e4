"""What this machine has installed, and what a provider of environments is, which identifies and realizes those of one kind."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gitml import layout
from gitml.core.model.environment import Environment, EnvironmentSource, encode_description
from gitml.core.model.protocols import Facts
from gitml.errors import InputError
from gitml.execute.environments.import_redirect import Redirect, is_python
from gitml.execute.environments.installed.named_distributions import needed_by
from gitml.execute.environments.interpreters import Packages, PythonInterpreter, interpreter_at, packages_of
from gitml.execute.environments.programs import is_relative
from gitml.execute.environments.variables import find_program, search_path

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.environments.images.root import ImageRoot


class NotInspectedError(InputError):
    """What must be asked of a place, or looked at on this machine, is not known, and this command does not ask or look."""


class EnvironmentQuery(NamedTuple):
    """Which environment is asked for: its `source`, the `programs` that a step starts, and the PYTHONPATH it is passed.

    With a `platform`, such as ``linux-aarch64``, it is that of another machine, of which only what locks say is known.
    """

    source: EnvironmentSource
    programs: tuple[str, ...] = ()
    python_path: str = ""
    platform: str = ""


class RealizedEnvironment(NamedTuple):
    """An environment on this machine: folders to put first on PATH, folders a strict step may read, its Python.

    `redirect` is there when its Python would import code of this repository from a work tree. `variables` are lent to every
    step in it; they follow from what the environment is identified by. With a `root` the step sees the files of that image and
    none of the machine's. With `by_package` a program that a package is called by counts as that package's: so it must be there.
    """

    path_prepend: tuple[str, ...]
    read_roots: tuple[str, ...]
    python: str | None
    redirect: Redirect | None = None
    variables: tuple[tuple[str, str], ...] = ()
    root: ImageRoot | None = None
    by_package: bool = False


class MachineSoftware:
    """What is installed on this machine, looked at once for each object of this class.

    `machine` is the environment of the gitml process, read once, and `cwd` where it was called. `tops` are the work trees of the
    repository whose steps run: code in them never counts as installed. A Python of which `is_strange` is true is not started.
    Environments that are built lie in ``<cache_dir>/envs``. Registries are asked where it `may_fetch`.
    """

    def __init__(
        self,
        facts: Facts,
        cache_dir: str,
        machine: Mapping[str, str],
        cwd: str | None = None,
        tops: Iterable[str] = (),
        is_strange: Callable[[str], bool] = lambda path: False,
        *,
        may_fetch: bool = True,
    ) -> None:
        self.may_fetch = may_fetch
        self.stored_manifest: Callable[[str], bytes | None] = lambda digest: None
        """The manifest or index of an image, by its digest, of a place that is asked before its registry."""
        self.machine = machine
        self.facts = facts
        self.cache_dir = cache_dir
        self.tops = tuple(dict.fromkeys([os.path.realpath(top) for top in tops]))
        self._cwd = cwd or os.getcwd()
        self._is_strange = is_strange
        self._folders: dict[str, str] = {}  # by the digests of environments
        self._packages: dict[tuple[PythonInterpreter, str], Packages] = {}

    def described(self, python: PythonInterpreter, path: str = "", names: Sequence[str] = ()) -> dict[str, Any]:
        """What is installed for `python`, as a part of a description; with `names` these distributions and what they need."""
        found = self.installed(python, path)
        if names:
            found = needed_by(names, found, python, self.facts).packages
        described: dict[str, Any] = {"distributions": found.distributions, "contents": found.contents}
        if found.repository:
            described["repository"] = {"imports": [list(item) for item in found.repository], "commands": found.scripts}
        return described

    def missing(self, python: PythonInterpreter, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the distributions `names` of which nothing is installed for `python`."""
        return needed_by(names, self.installed(python), python, self.facts).missing

    def installed(self, python: PythonInterpreter, path: str = "") -> Packages:
        """What is installed for `python`, looked at once."""
        known = self._packages.get((python, path))
        if known is None:
            known = self._packages[python, path] = packages_of(python, self.facts, self.tops, path)
        return known

    def redirect(self, environment: Environment, python: PythonInterpreter) -> Redirect | None:
        """What keeps `python` from importing this repository's code from a work tree; None where it would not."""
        if not leads_into_repository(environment):
            return None
        found = self.installed(python)
        return Redirect(self.tops, found.outside, found.links)

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

        return interpreter_at(sys.executable, self.machine, self._cwd, self.facts)

    def interpreter_at(self, path: str) -> PythonInterpreter:
        """The Python at `path`; NotInspectedError when it comes with a repository whose steps may not run yet."""
        if self._is_strange(path):
            raise NotInspectedError(
                f"{path} comes with this repository, and is not started before its steps may run",
                hint="gitml trust allow run",
            )
        return interpreter_at(path, self.machine, self._cwd, self.facts)

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
        known = self.facts.fact("program", id)
        if known is None:
            with open(path, "rb") as file:
                known = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            self.facts.remember("program", id, known)
        return str(known)

    def folder_of(self, environment: Environment) -> str:
        """Where an environment that is built on this machine lies."""
        # programs of the machine, the format and the project's package are part of its name, not of what is built
        of_the_name = ("programs", "format", "project")
        found = self._folders.get(environment.digest)
        if found is None:
            built = {name: value for name, value in environment.description.items() if name not in of_the_name}
            name = hashlib.sha256(encode_description(built)).hexdigest()[:32]
            found = self._folders[environment.digest] = os.path.join(self.cache_dir, layout.ENVIRONMENTS, name)
        return found

    def _default_on_path(self) -> str | None:
        path = search_path(self.machine)
        return find_program("python", path) or find_program("python3", path)

    def program_hashes(self, programs: Iterable[str]) -> dict[str, str]:
        """The digests of those `programs` that this machine has, but for Pythons and programs of the commit."""
        hashes = {}
        for program in programs:
            found = find_program(program, self.host_path()) if not is_relative(program) else None
            if found is not None and not is_python(program):
                hashes[program] = self.hash_of(found)
        return hashes


def platform_name() -> str:
    """As in ``linux-x86_64``."""
    system = os.uname()
    return f"{system.sysname.lower()}-{system.machine}"


class EnvironmentProvider(Protocol):
    """Identifies and realizes the environments of one kind; `here` is the machine.

    Those of a kind that is PORTABLE can be identified for another platform too.
    """

    PORTABLE: bool = False

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        """See `environments.Environments.identify`: all that can decide of a result must be in the description, by content."""

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        """The folders that are first on the PATH of its steps; None while it is not built."""

    def realize(self, here: MachineSoftware, environment: Environment, control: BuildControl) -> RealizedEnvironment:
        """See `environments.Environments.realize`."""

    def check_buildable(self, here: MachineSoftware, environment: Environment, *, from_source: bool = True) -> None:
        """InputError for what is sure to keep it from being realized on this machine, as far as that is seen at once."""
        return

    def place_of(self, here: MachineSoftware, environment: Environment) -> str | None:
        """The folder that is built for it on this machine, whether it is there or not; None for what is never built."""
        return here.folder_of(environment)

    def sees_machine(self, environment: Environment) -> bool:
        """Whether its steps see the files of the machine, and not those of a root alone."""
        return True

    def root(self, here: MachineSoftware, environment: Environment) -> ImageRoot | None:
        """The files that its steps see; None where they see the machine's, and for an image that is not here."""
        return None


def leads_into_repository(environment: Environment) -> bool:
    """Whether an import in it would take code of the repository from a work tree."""
    programs = environment.description.get("programs") or {}
    described = [environment.description, *[one for one in programs.values() if isinstance(one, Mapping)]]
    return any("repository" in one for one in described)
