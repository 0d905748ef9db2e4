"""`hooks:` of a `gitml.yaml`, read with every mistake in it."""

from __future__ import annotations

from typing import Any

from gitml.core.config.project import SENT, Hooks
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node

NAMES = ("pre-commit", "post-checkout", "post-merge", "pre-push", "post-receive")
LEAST_LARGE = 100 << 10
_KEYS = frozenset(("gate", "gate_branches", "large_file", "large_files", "send", "on_push", "skip"))


def read_hooks(fields: Fields, node: Node) -> Hooks:
    """The Hooks in a mapping; mistakes are reported to `fields`."""
    pairs = {name: value for name, (_, value) in fields.mapping(node, "hooks", _KEYS).items()}
    given: dict[str, Any] = {}
    if "gate" in pairs:
        given["gate"] = _gate(fields, pairs["gate"])
    if "large_file" in pairs:
        given["large_file"] = fields.bytes(pairs["large_file"], "large_file") or LEAST_LARGE
        if given["large_file"] < LEAST_LARGE:
            fields.report(pairs["large_file"], "large_file must be at least 100KiB")
    for key in ("gate_branches", "large_files", "on_push"):
        if key in pairs:
            texts = [fields.text_of(item, f"an entry of {key}") for item in fields.items(pairs[key], key)]
            given[key] = tuple([text for text in texts if text])
    for key, values in (("send", SENT), ("skip", NAMES)):
        if key in pairs:
            words = [fields.one_of(item, key, values) for item in fields.items(pairs[key], key)]
            given[key] = tuple([word for word in words if word])
    return Hooks(**given)


def _gate(fields: Fields, node: Node) -> str | None:
    if isinstance(node.value, bool):
        return "tips" if node.value else None
    if node.value == "every":
        return "every"
    fields.report(node, "gate must be true, false or every")
    return None
