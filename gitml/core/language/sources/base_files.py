"""``extends``: a pipeline file with what its base files say, as one document whose Nodes know the files in which they stand."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import NamedTuple

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node, read_yaml
from gitml.core.model import paths
from gitml.errors import InputError

KEY = "extends"
DEEPEST = 8  # base files of base files
MOST = 100  # base files of one pipeline
_OWN = (KEY, "name")  # what a base file says of itself alone
_REMOVED = ("params", "inputs", "steps", "outputs")  # what null removes something from

_EMPTY: dict[str, tuple[Node, Node]] = {}


class _Base(NamedTuple):
    """A base file with its own base files below it: its pairs, and how many of those are in one another."""

    pairs: dict[str, tuple[Node, Node]]
    height: int


def with_base_files(fields: Fields, root: Node, read: Callable[[str], bytes]) -> Node:
    """The document `root` over the base files that it names; mistakes are noted in `fields`, which gets their texts.

    Mappings are merged key by key, and `root` counts before its base files, a later one before an earlier. Null in the place of a
    parameter, input, step or output removes it.
    """
    if not root.is_mapping or KEY not in root.value:
        return root
    project = paths.project_of_file(fields.path)
    own = posixpath.relpath(fields.path, project) if project else fields.path
    pairs = _BaseFiles(fields, read, project).merged(root, [own]).pairs
    return root._replace(value={key: pair for key, pair in pairs.items() if key != KEY})


class _BaseFiles:
    def __init__(self, fields: Fields, read: Callable[[str], bytes], project: str) -> None:
        self.fields = fields
        self.read = read
        self.project = project
        self.known: dict[str, _Base] = {}

    def merged(self, root: Node, trail: list[str]) -> _Base:
        """A document over its base files; `trail` are the files that lead to it, and itself."""
        pairs: dict[str, tuple[Node, Node]] = {}
        height = 0
        for item in self.named(root):
            base = self.base(item, item.value, trail)
            if base is None:
                continue
            height = max(height, base.height + 1)
            pairs = _over(base.pairs, pairs)
        if height + len(trail) - 1 > DEEPEST:
            self.fields.report(root.value[KEY][1], f"extends: more than {DEEPEST} base files in one another")
        return _Base(_over(root.value, pairs), height)

    def named(self, root: Node) -> list[Node]:
        """The places where a document names its base files."""
        if KEY not in root.value:
            return []
        node = root.value[KEY][1]
        found = []
        for item in self.fields.items(node, KEY):
            text = self.fields.text_of(item, KEY)
            if text is None:
                continue
            path, problem = paths.from_project(text, self.project)
            folder = posixpath.dirname(path)
            beside = paths.is_beside(path) and posixpath.basename(folder) == paths.PIPELINES
            if problem is None and (folder == paths.PIPELINES or beside):
                problem = "directly in pipelines/, where every file is a pipeline: move it, to pipelines/base/ say"
            if problem:
                self.fields.report(item, f"extends: {text[:60]!r} is {problem}")
            else:
                found.append(item._replace(value=path))
        return found

    def base(self, item: Node, path: str, trail: list[str]) -> _Base | None:
        """A base file; None for a mistake, which is noted."""
        if path in trail:
            cycle = " -> ".join([*trail[trail.index(path) :], path])
            self.fields.report(item, f"extends: files extend each other: {cycle}")
            return None
        if path in self.known:
            return self.known[path]
        if len(self.known) >= MOST or len(trail) > DEEPEST:
            limit = f"{MOST} base files" if len(self.known) >= MOST else f"{DEEPEST} base files in one another"
            self.fields.report(item, f"extends: more than {limit}")
            return None
        shown = paths.from_top(path, self.project)
        self.known[path] = _Base({}, 0)
        try:
            root, self.fields.others[shown] = read_yaml(self.read(path), shown, of=shown)
        except SpecError as error:
            self.fields.diagnostics += error.diagnostics
            return None
        except InputError as error:
            self.fields.report(item, f"extends: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            return None
        if not root.is_mapping:
            if root.value is not None:
                self.fields.report(root, "a base file is a mapping, as a pipeline is")
            return None
        found = self.merged(root, [*trail, path])
        found = self.known[path] = _Base(
            {key: pair for key, pair in found.pairs.items() if key not in _OWN}, found.height
        )
        return found


def _over(
    upper: dict[str, tuple[Node, Node]], lower: dict[str, tuple[Node, Node]], removes: bool = False, deep: int = 0
) -> dict[str, tuple[Node, Node]]:
    """Two mappings as one; where it `removes`, null in the upper takes a name out."""
    found = dict(lower)
    for key, (place, value) in upper.items():
        below = lower.get(key)
        if below is not None and value.value is None and value.style == "" and removes:
            del found[key]
        elif below is not None and value.is_mapping and below[1].is_mapping:
            merged = _over(value.value, below[1].value, key in _REMOVED and not removes, deep + 1)
            found[key] = (place, value._replace(value=merged))
        else:
            found[key] = (place, value)
    return found
