"""YAML read as plain data with places: no tags, no surprises of YAML 1.1, bounded in size, depth, aliases and digits.

Plain scalars mean what YAML 1.2 says: ``on`` and ``12:30`` and ``010`` are strings, ``1e-3`` is a float.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.core.text.strict_json import MAX_DEPTH, MAX_DIGITS

MAX_BYTES = 8 << 20
MAX_NODES = 400_000
_DEEP = "exceeded maximum nesting depth"  # of libyaml in PyYAML 6.0.4, which reads ahead of what is built here

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NUMBER_START = frozenset("-+.0123456789")
_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp", "value"))  # fmt: skip  # noqa: E501


class Node(NamedTuple):
    """A value at its place: a scalar, a list of Nodes, or a dict from key to (key's Node, value's Node).

    `line` and `column` count from 1; `start` and `end` are character offsets in the text. `style` is the mark of a scalar that
    is quoted or a block: one of ``'"|>``. `file` is the path of its file where that is another than the one that is read.
    """

    value: Any
    line: int
    column: int
    start: int
    end: int
    style: str = ""
    file: str = ""

    @property
    def is_mapping(self) -> bool:
        """A dict of (key Node, value Node)."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """A list of Nodes."""
        return isinstance(self.value, list)

    @property
    def is_scalar(self) -> bool:
        """A string, number, truth value or nothing."""
        return not isinstance(self.value, (dict, list))


FIRST = Node(None, 1, 1, 0, 0)
"""Nothing, at the beginning of a file."""


def read_yaml(data: bytes, path: str, of: str = "") -> tuple[Node, str]:
    """The document in `data`, with Nodes `of` that file, and its text; SpecError with the first that makes it unreadable."""
    text = _decode(data, path)
    import yaml  # 15 ms: not paid by a run whose pipeline was read before

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Events, not nodes: composing recurses, and in C a deep document overflows the stack.
        root = _Builder(path, yaml, of).build(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        first = error.context_mark.line if error.context_mark else line - 1
        what = error.problem or error.context or "not YAML"
        if what == _DEEP:
            raise SpecError([Diagnostic(path, line, column, f"nested deeper than {MAX_DEPTH} levels")]) from None
        mend = _mend(what, text.split("\n")[first:line], column)
        raise SpecError([Diagnostic(path, line, column, f"not YAML: {what}{mend}")]) from None
    except yaml.YAMLError as error:
        what = str(error).splitlines()[0]
        raise SpecError([Diagnostic(path, 1, 1, f"not YAML: {what}")]) from None
    return root, text


def _decode(data: bytes, path: str) -> str:
    if len(data) > MAX_BYTES:
        raise SpecError([Diagnostic(path, 1, 1, f"larger than {MAX_BYTES >> 20} MiB")])
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise SpecError([Diagnostic(path, line, 1, "holds a NUL byte")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SpecError([Diagnostic(path, line, 1, "is not UTF-8")]) from None


def _mend(what: str, lines: list[str], column: int) -> str:
    """How to fix the most frequent mistakes; `lines` lead up to where the last one was found, in its `column`."""
    last = lines[-1] if lines else ""
    at = last[column - 1 : column]
    if "\t" in last[: len(last) - len(last.lstrip())] and ("tab" in what or at == "\t"):
        return ": a tab, and YAML is indented by spaces: replace it by spaces"
    if what.startswith("did not find expected ',' or") and any("${{" in line for line in lines):
        return ": put quotes around an expression inside braces or brackets"
    if at and at in "@`%" and "cannot start" in what:
        return f": put quotes around text that starts with {at}"
    if what.startswith("did not find expected alphabetic"):
        return ": put quotes around text that starts with * or &"
    if what.startswith("mapping values are not allowed"):
        return ": put quotes around text that holds ': ', or fix the indentation"
    return ""


class _Builder:
    """Makes Nodes from the parser's events with a stack of its own. An alias counts as all that it stands for."""

    def __init__(self, path: str, yaml: Any, of: str) -> None:
        self.path = path
        self.of = of
        self.yaml = yaml
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.count = 0

    def fail(self, event: Any, message: str) -> SpecError:
        mark = event.start_mark
        return SpecError([Diagnostic(self.path, mark.line + 1, mark.column + 1, message)])

    def build(self, events: Any) -> Node:
        yaml = self.yaml
        stack: list[tuple[Any, list[Node], int]] = []  # (start event, children so far, count before)
        root: Node | None = None
        for event in events:
            kind = type(event)
            before = self.count
            if kind is yaml.ScalarEvent:
                node = self.scalar(event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if len(stack) >= MAX_DEPTH:
                    raise self.fail(event, f"nested deeper than {MAX_DEPTH} levels")
                stack.append((event, [], before))
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                start, children, before = stack.pop()
                node = self.collection(start, event, children, kind is yaml.MappingEndEvent)
                event = start
            elif kind is yaml.AliasEvent:
                if event.anchor not in self.anchors:
                    raise self.fail(
                        event, f"unknown alias {event.anchor[:60]!r}: put quotes around text that starts with *"
                    )
                node, weight = self.anchors[event.anchor]
                self.count += weight - 1
            elif kind is yaml.DocumentStartEvent and root is not None:
                raise self.fail(event, "more than one document")
            else:
                continue
            self.count += 1
            if self.count > MAX_NODES:
                raise self.fail(event, f"more than {MAX_NODES:,} values, aliases counted each time they are used")
            if kind is not yaml.AliasEvent:
                if event.tag is not None and event.tag not in _TAGS:
                    raise self.fail(event, f"tags such as {event.tag[:60]!r} are not allowed")
                if event.anchor is not None:
                    self.anchors[event.anchor] = (node, self.count - before)
            if stack:
                stack[-1][1].append(node)
            else:
                root = node
        return root or FIRST

    def scalar(self, event: Any) -> Node:
        start = event.start_mark
        text: str = event.value
        value: object = text
        if event.implicit[0] and not event.style:
            if not text or text[0] not in _NUMBER_START:
                value = _WORDS.get(text, text)
            elif _INT.match(text) or _FLOAT.match(text):
                if len(text) > MAX_DIGITS:
                    raise self.fail(event, f"a number of {len(text):,} digits")
                value = int(text) if _INT.match(text) else float(text)
        return Node(
            value, start.line + 1, start.column + 1, start.index, event.end_mark.index, event.style or "", self.of
        )

    def collection(self, start: Any, end: Any, children: list[Node], mapping: bool) -> Node:
        value = self.mapping(start, children) if mapping else children
        mark = start.start_mark
        return Node(value, mark.line + 1, mark.column + 1, mark.index, end.end_mark.index, "", self.of)

    def mapping(self, start: Any, children: list[Node]) -> dict[str, tuple[Node, Node]]:
        found: dict[str, tuple[Node, Node]] = {}
        merged: list[Node] = []
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not key.is_scalar or key.value is None:
                raise self.at(key, "a key must be a name")
            name = key.value if isinstance(key.value, str) else str(key.value)
            if name == "<<":
                merged.extend(value.value if value.is_list else [value])
            elif name in found:
                raise self.at(key, f"duplicate key {name[:60]!r}, first on line {found[name][0].line}")
            else:
                found[name] = (key, value)
        for source in merged:
            if not source.is_mapping:
                raise self.at(source, "<< takes a mapping or a list of mappings")
            for name, pair in source.value.items():
                found.setdefault(name, pair)
        return found

    def at(self, node: Node, message: str) -> SpecError:
        return SpecError([Diagnostic(self.path, node.line, node.column, message)])
