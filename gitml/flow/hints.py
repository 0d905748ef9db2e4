"""How to mend a failed step, where its log shows that it looked for something that is here but not in its sandbox."""

from __future__ import annotations

import posixpath

from gitml.core import paths
from gitml.core.graph import GraphStep
from gitml.core.protocols import Source, Store
from gitml.core.record import LogRef
from gitml.errors import IntegrityError
from gitml.execute.lines import missing_name
from gitml.repo.snapshot import WorkTree

TAIL = 8192


def hint_for(source: Source, step: GraphStep, store: Store, log: LogRef | None) -> str | None:
    """What to declare, in words; None when the log tells nothing."""
    if log is None:
        return None
    try:
        with store.open(log.digest) as file:
            file.seek(max(0, log.size - TAIL))
            tail = file.read().decode("utf-8", "replace")
    except IntegrityError:
        return None
    name = missing_name(tail)
    if name is None:
        return None
    candidates = [candidate for candidate in _candidates(name, step) if paths.problem_with(candidate) is None]
    made = {output.mount for output in step.outputs}
    for candidate in candidates:
        if candidate in made:
            return f"{candidate} is where the step makes an output, so what the commit has there is hidden from it"
        if source.lookup(candidate) is not None:
            return f"{candidate} is in the commit but not declared: add it to code: of step {step.base}, or use it as an input"
    if isinstance(source, WorkTree):
        for candidate in candidates:
            if source.ignored(candidate):
                return f"{candidate} is there, but Git ignores it, so no step gets it: mend .gitignore or git add -f it"
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
