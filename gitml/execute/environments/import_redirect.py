"""Has the Python of a step import this repository's code from its sandbox where an editable install would give the work tree's.

``sitecustomize``, which Python imports last of its own start, is put first on PYTHONPATH. By then all ``.pth`` files are
read, so that it finds all that leads into the repository: ``sys.path``, the finders of setuptools, links among the packages.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

_BETWEEN = re.compile(r"[\s;&|()<>'\"`]+")
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*$")

_TEMPLATE = '''\
"""Written by gitml: this repository's code comes from the commit that is run, not from the folders it is installed from."""

import os
import sys
from importlib.machinery import PathFinder

TOPS, KEPT, LINKS = {tops!r}, {kept!r}, {links!r}
HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(os.path.dirname(HERE), "work")
OWN = [os.path.realpath(place) for place in (sys.prefix, sys.base_prefix)]  # an environment may lie in the work tree
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


sys.path[:] = [moved(path) for path in sys.path if not (isinstance(path, str) and os.path.abspath(path) == HERE)]
for name, module in list(sys.modules.items()):
    if name.startswith("__editable___") and name.endswith("_finder"):
        for value in (getattr(module, "MAPPING", {{}}), getattr(module, "NAMESPACES", {{}})):
            for key, places in value.items():
                value[key] = moved(places) if isinstance(places, str) else [moved(place) for place in places]
    elif moved(getattr(module, "__file__", None)) != getattr(module, "__file__", None):
        del sys.modules[name]
if LINKS:
    sys.meta_path.insert(0, Links)
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


def write_redirect(redirect: Redirect, root: str) -> str:
    """Writes the redirection to ``<root>/work``; gives the folder that is to be first on PYTHONPATH."""
    folder = f"{root}/python"
    os.mkdir(folder)
    with open(f"{folder}/sitecustomize.py", "w", encoding="utf-8") as file:
        file.write(_TEMPLATE.format(tops=redirect.tops, kept=redirect.kept, links=dict(redirect.links)))
    return folder


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
