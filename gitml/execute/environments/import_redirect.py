"""Has the Python of a step import this repository's code from its sandbox: the project's own package, as if it were installed
there, and what an editable install would give from the work tree.

``sitecustomize``, which Python imports last of its own start, is put first on PYTHONPATH. By then all ``.pth`` files are
read, so that it finds all that leads into the repository: ``sys.path``, the finders of setuptools, links among the packages.

The folders of the project's own package come before the site folders, so that an older copy among the packages is not taken for
it, and behind the standard library. Where such a folder also has what is not the package's (the top of the repository), it comes
last, but for the modules that are the package's own: nothing beside these may stand in for a package that is installed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gitml.core.planner.project_package import ProjectPackage

_BETWEEN = re.compile(r"[\s;&|()<>'\"`]+")
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*$")

_TEMPLATE = '''\
"""Written by gitml: this repository's code comes from the commit that is run, not from the folders it is installed from."""

import os
import site
import sys
from importlib.machinery import PathFinder

TOPS, KEPT, LINKS = {tops!r}, {kept!r}, {links!r}
HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(os.path.dirname(HERE), "work")
OWN = [os.path.realpath(place) for place in (sys.prefix, sys.base_prefix)]  # an environment may lie in the work tree
ROOTS, NAMES, MAPPED, METADATA = {roots!r}, {names!r}, {mapped!r}, {metadata!r}
SITES = [os.path.abspath(place) for place in (*site.getsitepackages(), site.getusersitepackages())]
STAY = [place for place in (*KEPT, *OWN) if any(place.startswith(top + "/") for top in TOPS)]


def moved(path):
    if not isinstance(path, str):
        return path
    real = os.path.realpath(path)
    if any(real == place or real.startswith(place + "/") for place in STAY):
        return path
    for top in TOPS:
        if real == top or real.startswith(top + "/"):
            return WORK + real[len(top):]
    return path


class Links:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is not None or name not in LINKS:
            return None
        spec = PathFinder.find_spec(name, [os.path.dirname(os.path.join(WORK, LINKS[name]))])
        if spec is None:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
        return spec


def first_site():
    places = (at for at, path in enumerate(sys.path) if isinstance(path, str) and os.path.abspath(path) in SITES)
    return next(places, len(sys.path))


class Project:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in MAPPED:
            return Project.placed(name, os.path.join(WORK, MAPPED[name]))
        if path is not None or name not in NAMES:
            return None
        spec = PathFinder.find_spec(name, sys.path[: first_site()] + ROOTS)
        return None if spec is None or spec.loader is None else spec

    @staticmethod
    def placed(name, place):
        from importlib.machinery import ModuleSpec
        from importlib.util import spec_from_file_location

        module = place if os.path.isfile(place) else os.path.join(place, "__init__.py")
        if os.path.isfile(module):
            inner = None if module == place else [place]
            return spec_from_file_location(name, module, submodule_search_locations=inner)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [place]
        return spec


sys.path[:] = [moved(path) for path in sys.path if not (isinstance(path, str) and os.path.abspath(path) == HERE)]
if ROOTS:
    ROOTS[:] = [os.path.normpath(os.path.join(WORK, root)) for root in ROOTS]
    at = len(sys.path) if NAMES else first_site()
    sys.path[at:at] = [root for root in ROOTS if root not in sys.path[:at]]
for name, module in list(sys.modules.items()):
    if name.startswith("__editable___") and name.endswith("_finder"):
        for value in (getattr(module, "MAPPING", {{}}), getattr(module, "NAMESPACES", {{}})):
            for key, places in value.items():
                value[key] = moved(places) if isinstance(places, str) else [moved(place) for place in places]
    elif moved(getattr(module, "__file__", None)) != getattr(module, "__file__", None):
        del sys.modules[name]
if LINKS:
    sys.meta_path.insert(0, Links)
if NAMES or MAPPED:
    sys.meta_path.insert(sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0, Project)
if METADATA:
    sys.path.insert(0, os.path.join(HERE, METADATA))
sys.path_importer_cache.clear()
spec = PathFinder.find_spec("sitecustomize", sys.path)
if spec is not None:
    from importlib.util import module_from_spec

    sys.modules["sitecustomize"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["sitecustomize"])
'''


class Redirect(NamedTuple):
    """`tops` are the work trees, `kept` the folders in them whose code counts as installed, `links` modules by path."""

    tops: tuple[str, ...]
    kept: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


NO_REDIRECT = Redirect((), (), ())
FOLDER = "python"
_METADATA = "metadata"


def write_redirect(redirect: Redirect, root: str, project: ProjectPackage | None = None) -> None:
    """Writes the redirection to ``<root>/work`` into FOLDER of `root`, which is to be first on PYTHONPATH.

    With `project` its package is importable from there; and its metadata is found.
    """
    folder = f"{root}/{FOLDER}"
    os.mkdir(folder)
    imports = () if project is None else project.imports
    with open(f"{folder}/sitecustomize.py", "w", encoding="utf-8") as file:
        file.write(
            _TEMPLATE.format(
                tops=redirect.tops,
                kept=redirect.kept,
                links=dict(redirect.links),
                roots=[path for module, path in imports if not module],
                names=() if project is None else project.modules,
                mapped={module: path for module, path in imports if module},
                metadata="" if project is None else _METADATA,
            )
        )
    if project is not None:
        from gitml.execute.environments.project.install import write_metadata

        write_metadata(project, f"{folder}/{_METADATA}")


def is_python(program: str) -> bool:
    """Whether a program is a Python by its name."""
    return _PYTHON.match(os.path.basename(program)) is not None


def isolated(command: str | Sequence[str]) -> str | None:
    """The words of a command, or of a script, that start a Python which ignores PYTHONPATH; None where there are none."""
    words = _BETWEEN.split(command) if isinstance(command, str) else command
    for number, word in enumerate(words):
        if is_python(word):
            for option in words[number + 1 :]:
                if not option.startswith("-") or option[1:2] in ("", "-", "c", "m", "W", "X"):
                    break
                if "I" in option or "E" in option:
                    return f"{word} {option}"
    return None
