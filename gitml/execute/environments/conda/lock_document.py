"""A lock that is YAML, read as text with places; of what it has, only what is asked for must be as expected."""

from __future__ import annotations

from collections.abc import Iterator

from gitml.core.language.yaml_document import Node, read_yaml
from gitml.errors import InputError


class LockDocument:
    """The document in `content`; InputError with the line of `path` for one that can't be read, or has a part of another type."""

    def __init__(self, path: str, content: bytes) -> None:
        self.path = path
        self.root, self._text = read_yaml(content, path)

    def error(self, node: Node, message: str, hint: str | None = "make the lock again") -> InputError:
        """An error at a part of the file."""
        return InputError(message, where=self.where(node), hint=hint)

    def where(self, node: Node) -> str:
        """The place of a part of the file."""
        return f"{self.path}:{node.line}"

    def has(self, node: Node, key: str) -> bool:
        """Whether a mapping has a key."""
        return node.is_mapping and key in node.value

    def keys(self, node: Node) -> list[str]:
        """The keys of a mapping."""
        return list(node.value) if node.is_mapping else []

    def child(self, node: Node, key: str) -> Node:
        """What a mapping has at a key."""
        if not self.has(node, key):
            raise self.error(node, f"there is no {key!r}")
        found: Node = node.value[key][1]
        return found

    def items(self, node: Node) -> Iterator[Node]:
        """The items of a list."""
        if not node.is_list:
            raise self.error(node, "this is not a list")
        return iter(node.value)

    def text(self, node: Node, key: str, otherwise: str | None = None) -> str:
        """The text at a key, a number as it is written; `otherwise` where it is not there, and an error without that."""
        if otherwise is not None and (not self.has(node, key) or self.child(node, key).value is None):
            return otherwise
        return self.written(self.child(node, key))

    def written(self, node: Node) -> str:
        """A scalar as text, as it is written: 1.10 is a version."""
        if not node.is_scalar or node.value is None:
            raise self.error(node, "this is not text")
        return node.value if isinstance(node.value, str) else self._text[node.start : node.end]

    def number(self, node: Node, key: str) -> int:
        """The number at a key, 0 where there is none."""
        value = self.child(node, key).value if self.has(node, key) else 0
        return value if isinstance(value, int) and 0 <= value < 1 << 63 else 0
