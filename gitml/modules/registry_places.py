"""Where the registries of a project are: `registry` and `registries` in `gitml.yaml`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitml.git.command import Location
from gitml.git.worktree.status import read_worktree_file

if TYPE_CHECKING:
    from gitml.core.language.fields import Fields
    from gitml.core.language.yaml_document import Node

PATH = "gitml.yaml"
MODULE_FILE = "module.yaml"


def registries_in(data: bytes) -> dict[str, str]:
    """Name -> URL or path of each registry that a `gitml.yaml` names; the default one under the empty name."""
    if b"registr" not in data:
        return {}  # reading YAML costs more than resolving does
    from gitml.core.language.diagnostics import SpecError
    from gitml.core.language.fields import Fields
    from gitml.core.language.yaml_document import read_yaml

    root, text = read_yaml(data, PATH)
    fields = Fields(PATH, text)
    top = fields.mapping(root, PATH)
    found: dict[str, str] = {}
    if "registries" in top:
        for name, (_, node) in fields.named(top["registries"][1], "registries").items():
            found[name] = _place(fields, node, f"registry {name!r}")
    if "registry" in top:
        found[""] = _place(fields, top["registry"][1], "registry")
    if fields.diagnostics:
        raise SpecError(fields.diagnostics)
    return found


def registries_here(location: Location) -> dict[str, str]:
    """Those of the work tree's `gitml.yaml`; none in a bare repository."""
    data = read_worktree_file(location, PATH)
    return {} if data is None else registries_in(data)


def _place(fields: Fields, node: Node, what: str) -> str:
    text = fields.text_of(node, what)
    host = (text or "").partition("://")[2].partition("/")[0]
    confusing = re.search(r"[?#\\]|@.*@", host)  # of which programs disagree where the host begins
    if text is not None and (not text.strip() or text.startswith("-") or not text.isprintable() or confusing):
        fields.report(node, f"{what} is neither a URL nor a path")
    return text or ""
