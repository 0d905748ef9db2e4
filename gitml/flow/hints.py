"""How to mend a failed step, where its log shows that it looked for something that is in the commit but not in its sandbox."""

from __future__ import annotations

import os
import posixpath

from gitml.core import paths
from gitml.core.graph import GraphStep
from gitml.core.protocols import Source
from gitml.execute.lines import missing_name

TAIL = 8192


def hint_for(source: Source, step: GraphStep, log: str) -> str | None:
    """What to declare, in words; None when the log tells nothing."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            tail = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    name = missing_name(tail)
    if name is None:
        return None
    for candidate in _candidates(name, step):
        if paths.problem_with(candidate) is None and source.lookup(candidate) is not None:
            return f"{candidate} is in the commit but not declared: add it to code: of step {step.base}, or use it as an input"
    return None


def _candidates(name: str, step: GraphStep) -> list[str]:
    if name.startswith("/"):
        return []
    plain = posixpath.normpath(name)
    found = [plain] if "/" in name or "." in posixpath.basename(name)[1:] else []
    module = name.replace(".", "/")
    folders = [posixpath.dirname(word) for word in step.argv if word.endswith(".py")]
    for folder in [*folders, ""]:
        place = f"{folder}/{module}" if folder else module
        found += [f"{place}.py", f"{place}/__init__.py", place]
    return found
