"""The user's own settings: what holds for all repositories of one user on one machine, and is never in a tracked file."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.fields import Fields
from gitml.core.language.keys import TEXT, TRUTH, Key, keys_of, values_in
from gitml.core.language.yaml_document import Node, read_yaml


class Settings(NamedTuple):
    """`sandboxes` is the folder for sandboxes, None for the usual one; `mount` whether each is mounted at the fixed path."""

    sandboxes: str | None = None
    mount: bool = True


def parse_settings(data: bytes, path: str) -> Settings:
    """The Settings in a `config.yaml`; SpecError with every mistake."""
    root, text = read_yaml(data, path)
    fields = Fields(path, text)
    top = fields.mapping(root, "config.yaml", ("sandboxes",))
    found: dict[str, Any] = {}
    if "sandboxes" in top:
        node = top["sandboxes"][1]
        if node.is_mapping:
            found = values_in(fields, fields.mapping(node, "sandboxes", _SANDBOX_KEYS), _SANDBOX_KEYS.values())
        else:
            found = {"sandboxes": _folder(fields, node, "sandboxes")}
    if fields.diagnostics:
        raise SpecError(fields.diagnostics)
    return Settings(**found)


def _folder(fields: Fields, node: Node, what: str) -> str | None:
    text = fields.text_of(node, what)
    if text is None:
        return None
    if not os.path.isabs(text):
        fields.report(node, f"{what} must be the full path of a folder, such as /scratch/me, not {text[:60]!r}")
        return None
    return os.path.normpath(text)


_SANDBOX_KEYS = keys_of(
    Key("path", "the folder in which sandboxes lie", TEXT, read=_folder, setting="sandboxes"),
    Key("mount", "`false`: sandboxes are never mounted", TRUTH, read=Fields.truth),
)
