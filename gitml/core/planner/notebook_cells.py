"""The code cells of a Jupyter notebook, read from its text; nothing is executed.

Only these decide what a notebook computes: what it saved, its prose and its metadata are left out. The canonical notebook has
nothing else, so that its bytes are those of what counts, and it is what a step that executes a notebook is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gitml.core.model.action import CodeFile
from gitml.core.model.protocols import Entry
from gitml.core.planner.python_imports import Import, imports_of
from gitml.errors import InputError

ENDING = ".ipynb"
CANONICAL_ID = "notebook-1"  # a fact of a notebook; a new number whenever it would become another canonical one
LARGEST = 64 << 20  # bytes of a notebook: pictures that it saved are in them
_MOST = 100_000  # cells
_TAGS = frozenset(
    ("parameters", "injected-parameters", "raises-exception", "skip-execution")
)  # that change what is computed
_POINTER = b"version https://git-lfs.github.com/"
_PYTHON = "python"
_MAGIC = re.compile(
    r"(?m)^([ \t]*+)(?:(?:\w[\w., \t]{0,200}=[ \t]*+)?[!%?].*|[\w.]{1,200}\?{1,2}[ \t]*+)$"
)  # of IPython: ``%time f()``, ``files = !ls``, ``f?``
_OF_PYTHON = re.compile(r"%%(?:time|timeit|capture|prun|python3?|pypy|memit|mprun|debug)\b")


class CodeCell(NamedTuple):
    """The text of a code cell, and those of its tags that change what is computed."""

    source: str
    tags: tuple[str, ...] = ()


class NotebookCode(NamedTuple):
    """The code cells in order, the name of the kernel that runs them, and their language; empty where it does not say."""

    cells: tuple[CodeCell, ...]
    kernel: str = ""
    language: str = ""

    @property
    def is_python(self) -> bool:
        """Whether they are in Python, as they are where nothing says otherwise."""
        return self.language == _PYTHON or not (self.language or self.kernel.removeprefix(_PYTHON).strip("0123456789."))


def notebook_code(content: bytes, where: str) -> NotebookCode:
    """What the content of an ``.ipynb`` runs; InputError for what is no notebook. Formats 3 and 4 of Jupyter are read."""
    if len(content) > LARGEST:
        raise InputError(f"the notebook has {len(content):,} bytes", where=where, hint="clear its outputs")
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        hint = "resolve the conflict in it" if b"<<<<<<< " in content else "save it again with Jupyter"
        if content.startswith(_POINTER):
            hint = "it is kept by Git LFS: keep it in Git itself"
        raise InputError("the notebook is not JSON", where=where, hint=hint) from None
    written = _list(raw, "cells") if isinstance(raw, dict) and "worksheets" not in raw else _older(raw)
    if written is None:
        raise InputError("not a notebook: it has no list of cells", where=where, hint="save it again with Jupyter")
    if len(written) > _MOST:
        raise InputError(f"the notebook has more than {_MOST:,} cells", where=where, hint="split it")
    cells = []
    for number, cell in enumerate(written, 1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = _source(cell.get("source", cell.get("input", "")))
        if source is None:
            raise InputError(
                f"cell {number} of the notebook has no text", where=where, hint="save it again with Jupyter"
            )
        tags = {tag for tag in _list(_table(cell, "metadata"), "tags") or () if isinstance(tag, str)}
        cells.append(CodeCell(source, tuple(sorted(tags & _TAGS))))
    while cells and not cells[-1].source.strip():  # the one that Jupyter adds for who goes on
        del cells[-1]
    about = _table(raw, "metadata")
    kernel = _table(about, "kernelspec")
    language = _text(kernel, "language") or _text(_table(about, "language_info"), "name")
    return NotebookCode(tuple(cells), _text(kernel, "name"), language.lower())


def canonical_notebook(code: NotebookCode, where: str) -> bytes:
    """The notebook of format 4 that has these cells alone; InputError for text that is no Unicode."""
    cells = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": str(number),
            "metadata": {"tags": list(cell.tags)} if cell.tags else {},
            "outputs": [],
            "source": cell.source.splitlines(keepends=True),
        }
        for number, cell in enumerate(code.cells, 1)
    ]
    # any Python is executed by the kernel of its environment, under whatever name its author had one
    kernel, language = ("python3", _PYTHON) if code.is_python else (code.kernel, code.language)
    about = {"kernelspec": {"display_name": kernel, "language": language, "name": kernel}}
    document = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("the notebook has half a character", where=where, hint="save it again with Jupyter") from None


def with_file(
    code: Iterable[CodeFile], path: str, oid: str, children: Callable[[str], Mapping[str, Entry]]
) -> tuple[CodeFile, ...]:
    """The `code` with the blob `oid` at `path` in place of what it has there; a folder around that is spread out."""
    found: dict[str, CodeFile] = {}
    waiting = list(code)
    while waiting:
        file = waiting.pop()
        if file.mode == "40000" and path.startswith(file.path + "/"):
            inside = children(file.oid).items()
            waiting += [CodeFile(f"{file.path}/{name}", entry.mode, entry.oid) for name, entry in inside]
        elif file.path != path:
            found[file.path] = file
    found[path] = CodeFile(path, "100644", oid)
    return tuple([found[place] for place in sorted(found)])


def imports_of_notebook(content: bytes) -> list[Import]:
    """The imports of its code cells, each once; empty for what is no notebook, or of another language than Python."""
    try:
        code = notebook_code(content, "")
    except InputError:
        return []
    if not code.is_python:
        return []
    found: dict[Import, None] = {}
    for cell in code.cells:
        source = cell.source.encode("utf-8", "replace")
        found.update(dict.fromkeys(imports_of(source) or imports_of(_without_magics(cell.source))))
    return list(found)


def _without_magics(source: str) -> bytes:
    """The Python of a cell: the lines that IPython alone understands do nothing."""
    first = source.lstrip()
    if first.startswith("%%") and not _OF_PYTHON.match(first):
        return b""
    return _MAGIC.sub(lambda match: f"{match[1]}pass", source).encode("utf-8", "replace")


def _older(raw: Any) -> list[Any] | None:
    """The cells of format 3, which had them in worksheets."""
    sheets = _list(raw, "worksheets")
    if sheets is None:
        return None
    return [cell for sheet in sheets for cell in _list(sheet, "cells") or ()]


def _source(raw: Any) -> str | None:
    """The text of a cell, which is written whole or as a list of lines."""
    if isinstance(raw, list) and all(isinstance(line, str) for line in raw):
        return "".join(raw)
    return raw if isinstance(raw, str) else None


def _table(raw: Any, name: str) -> dict[str, Any]:
    found = raw.get(name) if isinstance(raw, dict) else None
    return found if isinstance(found, dict) else {}


def _list(raw: Any, name: str) -> list[Any] | None:
    found = raw.get(name) if isinstance(raw, dict) else None
    return found if isinstance(found, list) else None


def _text(raw: dict[str, Any], name: str) -> str:
    found = raw.get(name)
    return found if isinstance(found, str) else ""
