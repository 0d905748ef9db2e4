"""What the script of a step names in its text, paths and keys: so one failure shows more than the first of what to declare."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from gitml.core.model.graph import GraphStep
from gitml.core.model.paths import clean, problem_with
from gitml.core.model.protocols import Source

_LARGEST = 256 << 10  # bytes of a script that is read
_TEXT = re.compile(r"""(['"])([^'"\n\\\x00-\x1f\x7f]{2,200})\1""")
_KEY = r"""(?:\[|\.get\()\s*(?:'[^'"\n\\]{1,100}'|"[^'"\n\\]{1,100}")"""
_KEYS = re.compile(rf"{_KEY}(?:\s*[\])]{_KEY}){{0,7}}")
_QUOTED = re.compile(r"""(?:\[|\.get\()\s*['"]([^'"\n\\]{1,100})['"]""")
_WORD = re.compile(r"[^\s;&|()<>'\"]{1,300}")


class ScriptNames(NamedTuple):
    """Texts of a script that may be `paths`, and the `keys` by which it takes values out of mappings: ``["train"]["lr"]``."""

    paths: tuple[str, ...] = ()
    keys: tuple[tuple[str, ...], ...] = ()


def names_in_scripts(source: Source, step: GraphStep, code: dict[str, str]) -> ScriptNames:
    """What those of the files in `code` (path: id) name that the step's command starts."""
    paths: dict[str, None] = {}
    keys: dict[tuple[str, ...], None] = {}
    for path in _started(step):
        oid = code.get(path)
        content = b"" if oid is None else source.read(oid)
        if not content or len(content) > _LARGEST:
            continue
        text = content.decode("utf-8", "replace")
        found = [match[2] for match in _TEXT.finditer(text)]
        paths.update(dict.fromkeys([one for one in found if "/" in one.strip("./") or "." in one.strip("./")]))
        keys.update(dict.fromkeys([tuple(_QUOTED.findall(match[0])) for match in _KEYS.finditer(text)]))
    return ScriptNames(tuple(paths), tuple(keys))


def _started(step: GraphStep) -> list[str]:
    """The files of the commit that the command may start: its words, and the module behind ``-m``."""
    words = [word for text in step.argv for word in (_WORD.findall(text) if step.shell else [text])]
    modules = [word.replace(".", "/") for before, word in pairwise(words) if before == "-m"]
    files = [*words, *(f"{module}{ending}" for module in modules for ending in (".py", "/__main__.py"))]
    places = [step.settings.from_top(file) for file in files if len(file) < 300]
    return [clean(place) for place in dict.fromkeys(places) if problem_with(place) is None]
