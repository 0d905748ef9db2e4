"""The projection of a config file: the text that a step finds in its place, with the keys that it declares and the run's values.

What is kept stands byte for byte as in the file, comments in it and directly above it included; values of the run are written
in the place of those of the file. Where one place of a YAML file stands for several values (``*alias``, ``<<``) and not all is
kept as it is, the text is written from its values, with the same values and no comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.core.language.yaml_document import Node
from gitml.core.parameters.config_file import ConfigFile
from gitml.core.parameters.value_path import Path, Value, with_part
from gitml.core.parameters.yaml_values import yaml_text, yaml_text_like

if TYPE_CHECKING:
    from tomlkit.container import Container

_ANCHOR = re.compile(r"&[A-Za-z0-9_-]+\s+")  # as libyaml has them
_PROPERTIES = re.compile(r"(?:&[A-Za-z0-9_-]+\s+|![^\s,\[\]{}]*\s+)*")
_LINE_END = re.compile("[\r\n\x85\u2028\u2029]")  # as YAML 1.1 has them
_ODD_END = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
_PLAIN_ANYWHERE = re.compile(r"[A-Za-z0-9_.+/-](?:[A-Za-z0-9_.+/ -]*[A-Za-z0-9_.+/-])?\Z|[0-9]+(?::[0-9]+)+\Z")
_COLON = re.compile(r"[ \t]*:")
_BLOCK_SCALARS = ("|", ">")


class KeySelection(NamedTuple):
    """Which keys are kept: all, or those at these paths, with all below them."""

    everything: bool = False
    paths: frozenset[Path] = frozenset()

    def keeps(self, path: Path) -> bool:
        """Whether what lies at `path` is kept whole."""
        return self.everything or any(path[: len(kept)] == kept for kept in self.paths)

    def reaches(self, path: Path) -> bool:
        """Whether something at or below `path` is kept."""
        return self.keeps(path) or any(kept[: len(path)] == path for kept in self.paths)


ALL = KeySelection(everything=True)


def projected(file: ConfigFile, selection: KeySelection, changes: Sequence[tuple[Path, Value]] = ()) -> str:
    """The text of a config file with what `selection` keeps, and with `changes` in the place of the file's values.

    Each change is at the path of something that the file has; changes of what is not kept are left out.
    """
    changes = [(path, value) for path, value in changes if selection.keeps(path)]
    if all(selection.keeps((key,)) for key in file.values) and not changes:
        return file.text
    if file.format == "yaml":
        return _projected_yaml(file, selection, changes)
    if file.format == "toml":
        return _projected_toml(file, selection, changes)
    values = _changed_values(selected_values(file.values, selection), changes)
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def selected_values(values: Mapping[str, Value], selection: KeySelection, at: Path = ()) -> dict[str, Value]:
    """What a selection keeps of the values of a config file, of those `at` a path in it."""
    kept: dict[str, Value] = {}
    for key, value in values.items():
        path = (*at, key)
        if selection.keeps(path):
            kept[key] = value
        elif isinstance(value, Mapping) and selection.reaches(path):
            kept[key] = selected_values(value, selection, path)
    return kept


def _changed_values(values: dict[str, Value], changes: Iterable[tuple[Path, Value]]) -> dict[str, Value]:
    for path, value in changes:
        values = with_part(values, path, value)
    return values


# YAML


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def _projected_yaml(file: ConfigFile, selection: KeySelection, changes: Sequence[tuple[Path, Value]]) -> str:
    writer = _YamlWriter(file.text)
    whole = all(selection.keeps((key,)) for key in file.values)
    shared = _shared_places(file.root)
    simple = not shared or (whole and all(_is_alone(file.root, path, shared) for path, _ in changes))
    if not simple or not _has_plain_form(file.text, file.root):
        nodes = writer.lines_of(file.root, selection, dict(changes))
        return "".join(f"{line}{writer.end_of_line}" for line in nodes)
    edits = sorted(writer.edit(_node_at(file.root, path), value) for path, value in changes)
    pieces = [(0, len(file.text), "")] if whole else list(writer.kept(file.root, selection))
    text = "".join(before + _edited(file.text, start, end, edits) for start, end, before in pieces)
    return text or "{}" + writer.end_of_line


def _edited(text: str, start: int, end: int, edits: Sequence[_Edit]) -> str:
    found = ""
    for edit in edits:
        if start <= edit.start and edit.end <= end:
            found += text[start : edit.start] + edit.text
            start = edit.end
    return found + text[start:end]


def _shared_places(root: Node) -> set[tuple[int, int]]:
    """The places of the text that stand for more than one value, by start and end."""
    seen: set[int] = set()
    shared: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            shared.add((node.start, node.end))
            continue
        seen.add(id(node))
        waiting += _parts(node)
    return shared


def _has_plain_form(text: str, root: Node) -> bool:
    """Whether lines end as everybody ends them, and every key has its colon right behind it.

    None is written with ``?`` then, or without a value in braces.
    """
    if _ODD_END.search(text):
        return False
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_mapping and not all(_COLON.match(text, key.end) for key, _ in node.value.values()):
            return False
        waiting += [value for _, value in node.value.values()] if node.is_mapping else _parts(node)
    return True


def _is_alone(root: Node, path: Path, shared: set[tuple[int, int]]) -> bool:
    """Whether what lies at a path of mappings stands at a place of its own."""
    node = root
    for part in path:
        node = node.value[part][1]
        if (node.start, node.end) in shared:
            return False
    return True


def with_values(text: str, root: Node, values: Sequence[tuple[Path, Value]]) -> str:
    """The text of a YAML document, whose `root` that is, with other values at some paths of mappings; all else stays as it is.

    The last key of a path may be a new one of its mapping. KeyError where another is not there, or is not at a place of its own.
    """
    writer, shared, edits = _YamlWriter(text), _shared_places(root), []
    for path, value in values:
        *above, last = path
        parent = root
        for part in above:
            parent = parent.value[part][1]
        known = last in parent.value
        alone = _is_alone(root, path if known else tuple(above), shared)
        if not alone or not parent.value or not _has_plain_form(text, root):
            raise KeyError(path)
        edits.append(writer.edit(parent.value[last], value) if known else writer.insertion(parent, str(last), value))
    return _edited(text, 0, len(text), sorted(edits))


def _parts(node: Node) -> list[Node]:
    if node.is_mapping:
        return [part for pair in node.value.values() for part in pair]
    return list(node.value) if node.is_list else []


def _node_at(root: Node, path: Path) -> tuple[Node, Node]:
    """The key and the value at a path of mappings."""
    key = value = root
    for part in path:
        key, value = value.value[part]
    return key, value


class _YamlWriter:
    """Writes parts of one document in the form in which its text has them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end_of_line = "\r\n" if "\r\n" in text else "\n"

    def kept(self, node: Node, selection: KeySelection, at: Path = ()) -> Iterable[tuple[int, int, str]]:
        """The pieces of the text that are kept of a mapping: start, end, and what is written before each."""
        if self.is_flow(node):
            yield from self._kept_flow(node, selection, at)
            return
        for name, (key, value) in node.value.items():
            path = (*at, name)
            if selection.keeps(path):
                yield self.first_line(key), self.line_end(self.last(key, value)), ""
            elif value.is_mapping and value.value and selection.reaches(path):
                colon = self.text.index(":", key.end) + 1
                if self.is_flow(value):
                    yield self.line_start(key.start), colon, ""
                    yield from self._kept_flow(value, selection, path)
                    yield 0, 0, self.end_of_line
                else:
                    yield self.line_start(key.start), colon, ""
                    yield 0, 0, self.end_of_line
                    yield from self.kept(value, selection, path)

    def _kept_flow(self, node: Node, selection: KeySelection, at: Path) -> Iterable[tuple[int, int, str]]:
        before = " {" if at else "{"
        for name, (key, value) in node.value.items():
            path = (*at, name)
            if selection.keeps(path):
                yield key.start, max(key.end, value.end), before
                before = ", "
            elif value.is_mapping and selection.reaches(path):
                yield key.start, self.text.index(":", key.end) + 1, before
                yield from self._kept_flow(value, selection, path)
                before = ", "
        yield 0, 0, "}" if at else "}" + self.end_of_line

    def is_flow(self, node: Node) -> bool:
        return self.text[self.begin(node, _PROPERTIES) : node.end][:1] in ("{", "[")

    def begin(self, node: Node, before: re.Pattern[str] = _ANCHOR) -> int:
        """Where a value begins behind what names it: an anchor, which stays where the value is changed."""
        match = before.match(self.text, node.start, node.end)
        return match.end() if match else node.start

    def edit(self, place: tuple[Node, Node], value: Value) -> _Edit:
        """What writes another value in the place of one."""
        found = self._edit(place, value)
        comment = (
            self.text[found.end : found.end + 1] == "#"
        )  # right behind a brace or a quote, as behind no plain text
        return found._replace(text=found.text + " ") if comment else found

    def _edit(self, place: tuple[Node, Node], value: Value) -> _Edit:
        key, node = place
        if node.start == node.end and not node.style:  # nothing stands there
            colon = self.text.index(":", key.end) + 1
            return _Edit(colon, colon, " " + yaml_text(value))
        end = self.last(key, node)
        line = self.end_of_line if self.text[end - 1 : end] == "\n" else ""  # behind the last text of a block
        if node.style in _BLOCK_SCALARS:
            return _Edit(self.begin(node), end, yaml_text_like(value, "", node.style, node.value) + line)
        if not node.is_scalar and not self.is_flow(node):
            # a list of lines may stand as far left as its key, where nothing else may
            return _Edit(self.begin(node), end, "  " + yaml_text(value) + line)
        if node.is_scalar:
            begin = self.begin(node)
            return _Edit(begin, end, yaml_text_like(value, self.text[begin : node.end], node.style, node.value))
        return _Edit(self.begin(node), end, yaml_text(value))

    def insertion(self, parent: Node, name: str, value: Value) -> _Edit:
        """What writes a new first entry of a mapping that has others."""
        first = next(iter(parent.value.values()))[0]
        if self.is_flow(parent):
            return _Edit(first.start, first.start, f"{name}: {yaml_text(value)}, ")
        indent = self.text[self.line_start(first.start) : first.start]
        return _Edit(first.start, first.start, f"{name}: {yaml_text(value)}{self.end_of_line}{indent}")

    def last(self, key: Node, node: Node) -> int:
        """Where the text of an entry ends: the parser has what is in lines end where the next thing begins."""
        end = key.end
        waiting = [node]
        while waiting:
            part = waiting.pop()
            if part.is_scalar or self.is_flow(part):
                end = max(end, part.end)
            else:
                waiting += _parts(part)
        return end

    def line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def line_end(self, at: int) -> int:
        """The end of the line on which the text before `at` ends, its line end included."""
        if self.text[at - 1 : at] == "\n":
            return at
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1

    def first_line(self, key: Node) -> int:
        """Where an entry begins, with the lines of comment directly above it."""
        start = self.line_start(key.start)
        while start:
            above = self.line_start(start - 1)
            if not self.text[above:start].lstrip().startswith("#"):
                break
            start = above
        return start

    def lines_of(
        self, node: Node, selection: KeySelection, changes: Mapping[Path, Value], at: Path = ()
    ) -> Iterable[str]:
        """A mapping in lines of its own, one an entry that is no mapping; scalars as they stand in the text."""
        indent = "  " * len(at)
        for name, (key, value) in node.value.items():
            path = (*at, name)
            if not selection.reaches(path):
                continue
            label = f"{indent}{self.flow(key)}:"
            if path in changes:
                written = self.text[self.begin(value) : value.end]
                plain = yaml_text_like(changes[path], written, value.style, value.value) if value.is_scalar else ""
                yield f"{label} {plain or yaml_text(changes[path])}"
            elif value.is_mapping and value.value:
                yield label
                yield from self.lines_of(value, selection, changes, path)
            else:
                yield f"{label} {self.flow(value)}"

    def flow(self, node: Node) -> str:
        """A value in one line, its scalars as they stand in the text."""
        if node.is_mapping:
            return "{" + ", ".join(f"{self.flow(key)}: {self.flow(value)}" for key, value in node.value.values()) + "}"
        if node.is_list:
            return "[" + ", ".join(map(self.flow, node.value)) + "]"
        written = self.text[self.begin(node) : node.end]
        if node.style:
            is_line = written[:1] in ("'", '"') and not _LINE_END.search(written)
            return written if is_line else yaml_text(node.value)
        is_plain = not isinstance(node.value, str) or _PLAIN_ANYWHERE.match(written)
        return written if written and written[0] != "!" and is_plain else yaml_text(node.value)


# TOML


def _projected_toml(file: ConfigFile, selection: KeySelection, changes: Sequence[tuple[Path, Value]]) -> str:
    import tomlkit  # only where a file is written otherwise than it stands in the commit

    document = tomlkit.parse(file.text)
    _drop(document, selection, ())
    for path, value in changes:
        *above, last = path
        table: Any = document
        for part in above:
            table = table[part]
        table[last] = value
    return tomlkit.dumps(document)


def _drop(table: Container | Any, selection: KeySelection, at: Path) -> None:
    for key in list(table):
        path = (*at, key)
        if selection.keeps(path):
            continue
        if isinstance(table[key], Mapping) and selection.reaches(path):
            _drop(table[key], selection, path)
        else:
            table.remove(key)
