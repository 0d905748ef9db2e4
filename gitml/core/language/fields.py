"""Reading the fields of a YAML mapping with diagnostics: unknown keys, wrong types, bad values, each at its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from gitml.core.language.diagnostics import Diagnostic, nearest
from gitml.core.language.expression import NAME, ExpressionError, Ref, Template, parse_template
from gitml.core.language.yaml_document import Node
from gitml.core.model import paths
from gitml.core.model.guarantees import NETWORKS, Network, network_of

DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|d)?\Z")
_SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|[KMGT]i?B)?\Z")
_BYTES = {None: 1, "B": 1} | {
    f"{p}{i}B": (1024 if i else 1000) ** n for n, p in enumerate("KMGT", 1) for i in ("i", "")
}
_Value = TypeVar("_Value")

LARGEST = 1.7976931348623157e308
MAX_SECONDS = 1e9  # thirty years; more overflows the clocks that wait
MAX_BYTES = 1 << 63


def seconds_of(text: str) -> float | None:
    """Seconds from ``90``, ``90s``, ``10m``, ``2h`` or ``1d``; None for anything else, for nothing and for too much."""
    match = DURATION.match(text)
    if match and 0 < (seconds := float(match[1]) * _SECONDS[match[2]]) <= MAX_SECONDS:
        return seconds
    return None


class Fields:
    """One file being read: its text for places within scalars, and the mistakes found so far."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.others: dict[str, str] = {}  # of other files whose Nodes are read, too
        self.diagnostics: list[Diagnostic] = []

    def report(self, node: Node, message: str) -> None:
        """Notes a mistake at the node's place."""
        self.diagnostics.append(Diagnostic(node.file or self.path, node.line, node.column, message))

    def mapping(
        self, node: Node, what: str, known: Iterable[str] | None = None, kind: str = ""
    ) -> dict[str, tuple[Node, Node]]:
        """The node as a mapping, unknown keys reported; else empty. `kind`: whose keys, to know those of other tools."""
        if node.value is None:
            return {}
        if not node.is_mapping:
            self.report(node, f"{what} must be a mapping (name: value)")
            return {}
        pairs: dict[str, tuple[Node, Node]] = node.value
        if known is not None:
            names = known if isinstance(known, (frozenset, set)) else frozenset(known)
            for name, (key, _) in pairs.items():
                if name not in names:
                    from gitml.core.language import foreign_syntax

                    hint = foreign_syntax.key_hint(name, kind) if kind else None
                    mend = f" ({hint})" if hint else nearest(name, sorted(names))
                    self.report(key, f"unknown key {name!r} in {what}{mend}")
        return pairs

    def named(self, node: Node, what: str) -> dict[str, tuple[Node, Node]]:
        """A mapping whose keys are names of the user's choice, the bad ones reported and left out."""
        good = {}
        for name, (key, value) in self.mapping(node, what).items():
            if not NAME.match(name) or len(name) > 100:
                self.report(key, f"{name[:60]!r} is not a name (letters, digits, '_' and '-', a letter or '_' first)")
            else:
                good[name] = (key, value)
        return good

    def each(
        self, pairs: Mapping[str, tuple[Node, Node]], key: str, read: Callable[[str, Node], _Value]
    ) -> dict[str, _Value]:
        """What `read` makes of each entry of the mapping at `key`, by name; nothing without that key."""
        named = self.named(pairs[key][1], key) if key in pairs else {}
        return {name: read(name, node) for name, (_, node) in named.items()}

    def text_of(self, node: Node, what: str) -> str | None:
        """A string; numbers are accepted as written."""
        if isinstance(node.value, str):
            if "\0" in node.value:
                self.report(node, f"{what} holds a NUL character")
                return None
            return node.value
        if isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return self.text_at(node)
        self.report(node, f"{what} must be text")
        return None

    def items(self, node: Node, what: str) -> list[Node]:
        """A list; a single value counts as a list of one."""
        if node.is_list:
            return list(node.value)
        if node.is_mapping or node.value is None:
            self.report(node, f"{what} must be a list")
            return []
        return [node]

    def texts(self, node: Node, what: str) -> tuple[str, ...]:
        """A list of texts, those that are empty left out."""
        found = [self.text_of(item, f"an entry of {what}") for item in self.items(node, what)]
        return tuple([text for text in found if text])

    def words(self, node: Node, what: str, values: Collection[str]) -> tuple[str, ...]:
        """A list of some of these words."""
        found = [self.one_of(item, what, values) for item in self.items(node, what)]
        return tuple([word for word in found if word])

    def truth(self, node: Node, what: str) -> bool | None:
        """true or false."""
        if isinstance(node.value, bool):
            return node.value
        self.report(node, f"{what} must be true or false")
        return None

    def number(self, node: Node, what: str, *, least: float | None = None, whole: bool = False) -> float | None:
        """A finite number."""
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (whole and not isinstance(value, int)):
            self.report(node, f"{what} must be a {'whole ' if whole else ''}number")
            return None
        if not abs(value) <= LARGEST:
            self.report(node, f"{what} must be finite")
            return None
        if least is not None and value < least:
            self.report(node, f"{what} must be at least {least:g}")
            return None
        return value

    def whole(self, node: Node, what: str, *, least: int = 0, most: int | None = None) -> int | None:
        """A whole number within bounds."""
        value = self.number(node, what, least=least, whole=True)
        if value is not None and most is not None and value > most:
            self.report(node, f"{what} must be at most {most:,}")
        return None if value is None else int(value)

    def duration(self, node: Node, what: str) -> float | None:
        """Seconds from ``90``, ``90s``, ``10m``, ``2h`` or ``1d``."""
        if not isinstance(node.value, bool) and isinstance(node.value, (int, float, str)):
            seconds = seconds_of(str(node.value))
            if seconds is not None:
                return seconds
        self.report(node, f"{what} must be a time such as 90s, 10m or 2h")
        return None

    def bytes(self, node: Node, what: str) -> int | None:
        """A number of bytes from ``512``, ``256KiB`` or ``8GiB``."""
        if not isinstance(node.value, bool) and isinstance(node.value, (int, float, str)):
            match = SIZE.match(str(node.value))
            if match and (size := float(match[1]) * _BYTES[match[2]]) < MAX_BYTES:
                return int(size)
        self.report(node, f"{what} must be a size such as 512MiB or 8GiB")
        return None

    def one_of(self, node: Node, what: str, values: Iterable[str]) -> str | None:
        """One of these words."""
        names = list(values)
        if isinstance(node.value, str) and node.value in names:
            return node.value
        self.report(node, f"{what} must be {' or '.join(names)}, not {str(node.value)[:60]!r}")
        return None

    def sandbox(self, node: Node, what: str) -> bool:
        """Whether a strict one is asked for."""
        return self.one_of(node, what, ("strict", "normal")) == "strict"

    def network(self, node: Node, what: str) -> Network:
        """How much of the network is asked for."""
        return network_of(self.one_of(node, what, NETWORKS) or "")

    def target(self, node: Node, what: str) -> str:
        """The name of a target; whether there is such a target is known where `gitml.yaml` is."""
        text = self.text_of(node, what) or ""
        if text and not NAME.match(text):
            self.report(node, f"{what} must be the name of a target, not {text[:60]!r}")
        return text

    def template(self, node: Node, text: str) -> Template:
        """`text` with its expressions; mistakes, and what can only be another tool's expression, are reported at their place."""
        try:
            template = parse_template(text)
        except ExpressionError as error:
            from gitml.core.language import foreign_syntax

            guess = foreign_syntax.translation_inside(error.inner) if error.inner else None
            known = "params.x, inputs.x, outputs.x, matrix.x or steps.x.outputs.y"
            mend = f"did you mean {guess}?" if guess and guess != f"params.{error.inner}" else known
            self.report(self.expression_place(node, error.number), f"{error} ({mend})" if error.inner else str(error))
            return ()
        return template

    def plain_template(self, node: Node, text: str) -> Template:
        """A template that no shell and no quotes surround: what can only be another tool's expression is a mistake."""
        from gitml.core.language import foreign_syntax

        other = foreign_syntax.expression_in(text)
        if other is not None:
            written, meant, start = other
            self.report(self.place_of(node, text, written, start), foreign_syntax.no_expression(written, meant))
            return ()
        return self.template(node, text)

    def path_template(
        self, node: Node, text: str, what: str, spaces: tuple[str, ...], *, named: bool = False
    ) -> Template:
        """A path, with expressions of these spaces in it; one that is `named` may count from the top of the repository."""
        template = self.plain_template(node, text)
        if text and not template:
            return ()
        literal = "".join(part if isinstance(part, str) else "x" for part in template)
        problem = paths.problem_with_named(literal) if named else paths.problem_with(literal)
        if problem:
            self.report(node, f"{what} is {problem}")
        for part in template:
            if isinstance(part, Ref) and part.space not in spaces:
                self.report(node, f"{what} can use {' and '.join(f'{s}.x' for s in spaces)}, not {part}")
        return template

    def expression_place(self, node: Node, number: int) -> Node:
        """The place of the `number`-th expression written in a scalar node."""
        offset = node.start - 1
        text = self.others.get(node.file, self.text)
        while number >= 0:
            offset = text.find("${{", offset + 1, max(node.end, node.start + 1))
            if offset < 0:
                return node
            number -= text[offset - 1 : offset] != "$"
        return self._at(node, offset)

    def place_of(self, node: Node, text: str, part: str, start: int) -> Node:
        """The place of `part`, which begins at `start` of the node's `text`; the node itself where the file has it otherwise."""
        word = part.split("\n", 1)[0]
        number = text[:start].count(word) if word else -1
        offset = node.start - 1
        whole = self.others.get(node.file, self.text)
        if node.style in ("|", ">"):
            offset = whole.find("\n", node.start, node.end)
        while number >= 0:
            offset = whole.find(word, offset + 1, node.end)
            if offset < 0:
                return node
            number -= 1
        return self._at(node, offset) if word else node

    def _at(self, node: Node, offset: int) -> Node:
        text = self.others.get(node.file, self.text)
        line = text.count("\n", 0, offset) + 1
        column = offset - text.rfind("\n", 0, offset)
        return Node(node.value, line, column, offset, node.end, file=node.file)

    def text_at(self, node: Node) -> str:
        """A value as it is written."""
        return self.others.get(node.file, self.text)[node.start : node.end]
