"""From the bytes of a `gitml.yaml` to a Config, or every mistake in it at once."""

from __future__ import annotations

from typing import Any

from gitml.core.config.parse_hooks import read_hooks
from gitml.core.config.parse_remotes import read_remotes
from gitml.core.config.parse_targets import read_targets
from gitml.core.config.project import HOST, PATH, Config, Defaults
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.fields import Fields
from gitml.core.language.parse_confinement import network_in, sandbox_in
from gitml.core.language.parse_environment import environment_in
from gitml.core.language.yaml_document import Node, read_yaml
from gitml.core.model.guarantees import FULL

# `registry` and `registries` are read where registries are (gitml.modules.registry_places)
_KEYS = frozenset(("defaults", "targets", "records", "registry", "registries", "hooks", "remotes"))
_DEFAULT_KEYS = frozenset(("pipeline", "experiment", "environment", "sandbox", "network"))
_RECORD_KEYS = frozenset(("inline_file", "inline_run"))


def parse_config(data: bytes, path: str = PATH) -> Config:
    """The Config in a `gitml.yaml`; SpecError with every mistake."""
    root, text = read_yaml(data, path)
    fields = Fields(path, text)
    top = fields.mapping(root, "gitml.yaml", _KEYS)
    given: dict[str, Any] = {}
    if "defaults" in top:
        given.update(_defaults(fields, top["defaults"][1]))
    if "targets" in top:
        given.update(read_targets(fields, top["targets"][1]))
    if "records" in top:
        for name, (_, node) in fields.mapping(top["records"][1], "records", _RECORD_KEYS).items():
            if name in _RECORD_KEYS:
                given[name] = fields.bytes(node, name)
    if "hooks" in top:
        given["hooks"] = read_hooks(fields, top["hooks"][1])
    if "remotes" in top:
        given["remotes"] = read_remotes(fields, top["remotes"][1])
    if fields.diagnostics:
        raise SpecError(fields.diagnostics)
    return Config(**given)


def _defaults(fields: Fields, node: Node) -> dict[str, Any]:
    pairs = fields.mapping(node, "defaults", _DEFAULT_KEYS)
    given: dict[str, Any] = {}
    for name in ("pipeline", "experiment"):
        if name in pairs:
            given[name] = fields.text_of(pairs[name][1], name)
    environment = HOST
    if "environment" in pairs:
        environment = environment_in(fields, pairs["environment"][1])
    strict = sandbox_in(fields, pairs["sandbox"][1]) if "sandbox" in pairs else False
    network = network_in(fields, pairs["network"][1]) if "network" in pairs else FULL
    given["defaults"] = Defaults(environment, strict, network)
    return given
