"""A virtual environment that the project has in its work tree, as the environment of a step.

gitml neither makes nor changes it: it is identified by the content of what can be imported, wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gitml.core.kinds.environment_kinds import VENV
from gitml.core.model.environment import FORMAT, Environment, environment_of
from gitml.errors import InputError
from gitml.execute.environments.import_redirect import is_python
from gitml.execute.environments.installed.host import others_among, programs_on, read_roots
from gitml.execute.environments.site_files import only_files
from gitml.execute.environments.software import (
    EnvironmentProvider,
    EnvironmentQuery,
    MachineSoftware,
    RealizedEnvironment,
    platform_name,
)
from gitml.execute.environments.variables import search_path

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.environments.interpreters import PythonInterpreter

_LARGEST_SCRIPT = 2**20  # bytes
_FIRST_LINE = 400  # bytes of a script in which the Python is named that starts it


class VenvProvider(EnvironmentProvider):
    """A virtual environment in the work tree, or in the repository's main one where a linked work tree has none."""

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        place = _place(here, query.source.spec.name)
        python = _python_of(here, place, query.source.spec.name)
        found = programs_on(_path(here, place), query.programs)
        described: dict[str, Any] = {
            program: _hash_of(here, path, place) for program, path in found.items() if not is_python(program)
        }
        for program, other in others_among(here, found, python).items():
            described[program] = {"python": other.name, **here.described(other, query.python_path)}
        return environment_of(
            {
                "kind": VENV,
                "format": FORMAT,
                "platform": platform_name(),
                "python": python.name,
                **here.described(python, query.python_path),
                "programs": described,
            },
            query.source,
        )

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        return (f"{_place(here, environment.source.spec.name)}/bin",)

    def place_of(self, here: MachineSoftware, environment: Environment) -> str | None:
        return None

    def realize(self, here: MachineSoftware, environment: Environment, control: BuildControl) -> RealizedEnvironment:
        """InputError when it is no longer what it was when it was identified."""
        name = environment.source.spec.name
        place = _place(here, name)
        python = _python_of(here, place, name)
        _check_unchanged(here, environment, python)
        readable = (place, *read_roots(here, python))
        return RealizedEnvironment((f"{place}/bin",), readable, python.executable, here.redirect(environment, python))


def _place(here: MachineSoftware, name: str) -> str:
    """The folder of the venv `name`; InputError where there is none, or one that lies elsewhere."""
    if not here.tops:
        raise InputError(
            f"environment venv: {name} is in a work tree, and this repository has none", hint="run it in a clone"
        )
    make = f"make it: uv venv {name}, or python3 -m venv {name}; then install what the project needs"
    top = next((top for top in _own_work_trees(here.tops) if os.path.lexists(f"{top}/{name}")), None)
    if top is None:
        raise InputError(f"there is no virtual environment {name} in the work tree", hint=make)
    place = os.path.realpath(f"{top}/{name}")
    if not place.startswith(f"{top}/"):
        raise InputError(
            f"environment venv: {name} is a link out of the project, to {place}",
            hint=f"name one that lies in the project: uv venv {name}; or have it first on PATH, and say environment: host",
        )
    if not os.path.isfile(f"{place}/pyvenv.cfg"):
        raise InputError(f"{name} is no virtual environment: it has no pyvenv.cfg", hint=make)
    return place


def _own_work_trees(tops: Iterable[str]) -> list[str]:
    """The work tree in use, which comes first, and the main one, which has the repository in it."""
    return [top for number, top in enumerate(tops) if number == 0 or os.path.isdir(f"{top}/.git")]


def _path(here: MachineSoftware, place: str) -> str:
    return search_path(here.machine, (f"{place}/bin",))


def _python_of(here: MachineSoftware, place: str, name: str) -> PythonInterpreter:
    """The Python of the venv at `place`; InputError for one that is gone, and for a venv that was moved."""
    again = f"make it again: uv venv --clear {name}; then install what the project needs"
    path = f"{place}/bin/python"
    if not os.path.exists(path):
        leads = f", as it leads to {os.path.realpath(path)}" if os.path.islink(path) else ""
        raise InputError(f"the Python of the virtual environment {name} is not there{leads}", hint=again)
    python = here.interpreter_at(path)
    if os.path.realpath(python.prefix) != place:
        raise InputError(f"the Python of the virtual environment {name} is that of {python.prefix}", hint=again)
    moved = _foreign_script(place)
    if moved is not None:
        raise InputError(
            f"the virtual environment {name} was moved or copied: {name}/bin/{moved[0]} starts {moved[1]}", hint=again
        )
    return python


def _foreign_script(place: str) -> tuple[str, str] | None:
    """(name, Python) of a script in the venv that is started by the Python of another one."""
    folder = f"{place}/bin"
    for name in sorted(os.listdir(folder)):
        try:
            with open(f"{folder}/{name}", "rb", opener=only_files) as file:
                first = file.read(_FIRST_LINE)
        except OSError:
            continue
        words = first[2:].split(maxsplit=1)
        started = os.fsdecode(words[0]) if first.startswith(b"#!/") and words else ""
        other, _, program = started.rpartition("/bin/")
        if is_python(program) and os.path.realpath(other) != place and _was_of_venv(other):
            return name, started
    return None


def _was_of_venv(prefix: str) -> bool:
    """Whether a prefix is that of a virtual environment, or of nothing that is still there."""
    return os.path.exists(f"{prefix}/pyvenv.cfg") or not os.path.exists(prefix)


def _hash_of(here: MachineSoftware, path: str, place: str) -> str:
    """The digest of a program; scripts of the venv are hashed without the place where it lies."""
    if os.path.dirname(path) != f"{place}/bin":
        return here.hash_of(path)
    try:
        with open(path, "rb", opener=only_files) as file:
            content = file.read(_LARGEST_SCRIPT + 1)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}", hint="see who may read it") from error
    if not content.startswith(b"#!") or len(content) > _LARGEST_SCRIPT:
        return here.hash_of(path)
    return "sha256:" + hashlib.sha256(content.replace(os.fsencode(place), b"")).hexdigest()


def _check_unchanged(here: MachineSoftware, environment: Environment, python: PythonInterpreter) -> None:
    wanted = environment.description
    now = here.described(python)
    gone = set(wanted.get("distributions", ())) ^ set(now["distributions"])
    contents = wanted.get("contents", {})
    other = {name for name, content in now["contents"].items() if contents.get(name) != content}
    if wanted.get("python") != python.name or gone or other:
        changed = ", ".join(sorted(gone | other)[:3]) or f"its Python is {python.name} now"
        raise InputError(
            f"the virtual environment {environment.source.spec.name} changed since this run looked at it: {changed}",
            hint="run it again",
        )
