"""What a step that executes a notebook is made of: the words of its command, and where the executed notebook goes."""

from __future__ import annotations

import keyword
import posixpath
from collections.abc import Sequence

from gitml.core.language.spec import Port
from gitml.core.model.step_settings import TOP

ENDING = ".ipynb"
PROGRAM = ".gitml/execute_notebook.py"
"""Where a sandbox has the program that executes notebooks."""
PAGE = "notebook"
"""The output that the executed notebook goes to, where one is called so."""
FIXED_WORDS = 4  # the interpreter, the program, the notebook, where the executed one goes; then one for each parameter
NOWHERE = "-"


def is_variable(name: str) -> bool:
    """Whether a parameter can be set under this name."""
    return name.isidentifier() and not keyword.iskeyword(name)


def words_from(workdir: str, words: tuple[str, ...], notebook: str) -> tuple[str, ...]:
    """The command with the program and the notebook as seen from the folder in which it runs."""
    if workdir == TOP:
        return words
    seen = [posixpath.relpath(path, workdir) for path in (PROGRAM, notebook)]
    return (words[0], *seen, *words[FIXED_WORDS - 1 :])


def pages_among(outputs: Sequence[Port]) -> list[str]:
    """The outputs that the executed notebook may go to: the one that is called so, else those with such a path."""
    files = [port for port in outputs if port.kind == "file"]
    if any(port.name == PAGE for port in files):
        return [PAGE]
    return [
        port.name for port in files if port.path and isinstance(port.path[-1], str) and port.path[-1].endswith(ENDING)
    ]
