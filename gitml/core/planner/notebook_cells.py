"""The code cells of a Jupyter notebook, read from its text; nothing is executed.

Only these decide what a notebook computes: what it saved, its prose and its metadata are left out.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from gitml.core.planner.python_imports import Import, imports_of
from gitml.errors import InputError

ENDING = ".ipynb"
LARGEST = 64 << 20  # bytes of a notebook: pictures that it saved are in them
_MOST = 100_000  # cells
PARAMETERS = "parameters"  # the tag of the cell whose values can be replaced
_MAGIC = re.compile(
    r"(?m)^([ \t]*+)(?:(?:\w[\w., \t]{0,200}=[ \t]*+)?[!%?].*|[\w.]{1,200}\?{1,2}[ \t]*+)$"
)  # of IPython: ``%time f()``, ``files = !ls``, ``f?``
_OF_PYTHON = re.compile(r"%%(?:time|timeit|capture|prun|python3?|pypy|memit|mprun|debug)\b")


class CodeCell(NamedTuple):
    """The text of a code cell; `parameters` where it has the tag of that name."""

    source: str
    parameters: bool = False


class NotebookCode(NamedTuple):
    """The code cells in order, the name of the kernel that runs them, and their language; empty where it does not say."""

    cells: tuple[CodeCell, ...]
    kernel: str = ""
    language: str = ""


def notebook_code(content: bytes, where: str) -> NotebookCode:
    """What the content of an ``.ipynb`` runs; InputError for what is no notebook. Formats 3 and 4 of Jupyter are read."""
    if len(content) > LARGEST:
        raise InputError(f"the notebook has {len(content):,} bytes", where=where, hint="clear its outputs")
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        hint = "resolve the conflict in it" if b"<<<<<<< " in content else "save it again with Jupyter"
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
        tags = _list(_table(cell, "metadata"), "tags") or []
        cells.append(CodeCell(source, PARAMETERS in tags))
    about = _table(raw, "metadata")
    kernel = _table(about, "kernelspec")
    language = _text(kernel, "language") or _text(_table(about, "language_info"), "name")
    return NotebookCode(tuple(cells), _text(kernel, "name"), language.lower())


def imports_of_notebook(content: bytes) -> list[Import]:
    """The imports of its code cells, each once; empty for what is no notebook, or of another language than Python."""
    try:
        code = notebook_code(content, "")
    except InputError:
        return []
    if code.language not in ("", "python"):
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
