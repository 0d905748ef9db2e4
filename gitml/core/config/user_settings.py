"""The user's own settings: what holds for all repositories of one user on one machine, and is never in a tracked file."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node, read_yaml

_KEYS = frozenset(("sandboxes",))
_SANDBOX_KEYS = frozenset(("path", "mount"))


class Settings(NamedTuple):
    """`sandboxes` is the folder for sandboxes, None for the usual one; `mount` whether each is mounted at the fixed path."""

    sandboxes: str | None = None
    mount: bool = True


def parse_settings(data: bytes, path: str) -> Settings:
    """The Settings in a `config.yaml`; SpecError with every mistake."""
    root, text = read_yaml(data, path)
    fields = Fields(path, text)
    top = fields.mapping(root, "config.yaml", _KEYS)
    found = Settings()
    if "sandboxes" in top:
        found = _sandboxes(fields, top["sandboxes"][1])
    if fields.diagnostics:
        raise SpecError(fields.diagnostics)
    return found


def _sandboxes(fields: Fields, node: Node) -> Settings:
    if not node.is_mapping:
        return Settings(_folder(fields, node, "sandboxes"))
    pairs = fields.mapping(node, "sandboxes", _SANDBOX_KEYS)
    folder = _folder(fields, pairs["path"][1], "path") if "path" in pairs else None
    mount = fields.truth(pairs["mount"][1], "mount") if "mount" in pairs else True
    return Settings(folder, mount is not False)


def _folder(fields: Fields, node: Node, what: str) -> str | None:
    said = fields.text_of(node, what)
    if said is None:
        return None
    if not os.path.isabs(said):
        fields.report(node, f"{what} must be the full path of a folder, such as /scratch/me, not {said[:60]!r}")
        return None
    return os.path.normpath(said)
