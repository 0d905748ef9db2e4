"""The `targets` of a `gitml.yaml`: what this machine is said to have, and the clusters."""

from __future__ import annotations

import re
from typing import Any

from gitml.core.config.project import LOCAL, Target
from gitml.core.language.diagnostics import nearest
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node
from gitml.core.model.resources import Resources

_MACHINE_KEYS = frozenset(("cpus", "gpus", "memory", "labels", "custom"))
_CLUSTER_KEYS = frozenset(("ray", "token", "insecure", "cache", "dashboard", "resources"))
_WISH_KEYS = frozenset(("memory", "labels", "custom"))
_ADDRESS = re.compile(r"(?:ray://)?(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:]{2,45}\]):([0-9]{1,5})\Z")


def read_targets(fields: Fields, node: Node) -> dict[str, Any]:
    """``local`` and ``targets`` of a Config; every mistake is noted in `fields`."""
    given: dict[str, Any] = {}
    clusters = {}
    for name, (key, value) in fields.named(node, "targets").items():
        if name == LOCAL:
            given["local"] = _machine(fields, fields.mapping(value, "target 'local'", _MACHINE_KEYS))
        elif value.is_mapping and "ray" in value.value:
            clusters[name] = _cluster(fields, name, value)
        else:
            if value.is_mapping:
                fields.mapping(value, f"target {name!r}", _CLUSTER_KEYS)  # tells of a misspelt key
            fields.report(key, f"target {name!r} needs ray: host:port, ray://host:port, auto or local")
    if clusters:
        given["targets"] = clusters
    return given


def _machine(fields: Fields, pairs: dict[str, tuple[Node, Node]]) -> dict[str, Any]:
    """What a machine is said to have; unknown keys are told already."""
    given: dict[str, Any] = {}
    for name, (_, value) in pairs.items():
        if name in ("cpus", "gpus"):
            given[name] = fields.number(value, name, least=1 if name == "cpus" else 0)
        elif name == "memory":
            given[name] = fields.bytes(value, name)
        elif name == "labels":
            given[name] = {k: fields.text_of(v, f"label {k!r}") for k, (_, v) in fields.mapping(value, name).items()}
        elif name == "custom":
            given[name] = {
                k: fields.number(v, f"custom resource {k!r}", least=0)
                for k, (_, v) in fields.mapping(value, name).items()
            }
    return given


def _cluster(fields: Fields, name: str, node: Node) -> Target:
    pairs = fields.mapping(node, f"target {name!r}")
    address = _address(fields, name, pairs["ray"][1])
    own = address == "local"
    known = _CLUSTER_KEYS | (_MACHINE_KEYS if own else frozenset())
    for word, (key, _) in pairs.items():
        if word in known:
            continue
        if word in _MACHINE_KEYS:
            where = (
                "say what steps ask for under resources" if word in _WISH_KEYS else "its machines say what they have"
            )
            fields.report(key, f"{word} is for ray: local; {where}")
        else:
            fields.report(key, f"unknown key {word!r} in target {name!r}{nearest(word, sorted(known))}")
    has = {word: pair for word, pair in pairs.items() if word in _MACHINE_KEYS} if own else {}
    return Target(
        name,
        address,
        token=_token(fields, pairs["token"][1]) if "token" in pairs else None,
        insecure="insecure" in pairs and fields.truth(pairs["insecure"][1], "insecure") is True,
        cache=fields.bytes(pairs["cache"][1], "cache") if "cache" in pairs else None,
        dashboard=_dashboard(fields, pairs["dashboard"][1]) if "dashboard" in pairs else None,
        wishes=_wishes(fields, name, pairs["resources"][1]) if "resources" in pairs else Resources(),
        has=_machine(fields, has),
    )


def _address(fields: Fields, name: str, node: Node) -> str:
    text = fields.text_of(node, f"ray of target {name!r}")
    if text is None or text in ("auto", "local"):
        return text or ""
    match = _ADDRESS.match(text)
    if match is None or not 0 < int(match[1]) < 65536:
        fields.report(node, f"ray must be host:port, ray://host:port, auto or local, not {text[:60]!r}")
    return text


def _dashboard(fields: Fields, node: Node) -> str | None:
    text = fields.text_of(node, "dashboard")
    match = _ADDRESS.match(text or "")
    if text is not None and (match is None or "/" in text or not 0 < int(match[1]) < 65536):
        fields.report(node, f"dashboard must be host:port, not {text[:60]!r}")
    return text


def _token(fields: Fields, node: Node) -> str | None:
    text = fields.text_of(node, "token")
    if text is not None and not text.startswith(("/", "~/")):
        what = "token is the path of a file outside the repository: write it with / or ~/ in front"
        fields.report(node, f"{what}; the token itself never belongs here")
        return None
    return text


def _wishes(fields: Fields, name: str, node: Node) -> Resources:
    pairs = fields.mapping(node, f"resources of target {name!r}")
    for word, (key, _) in pairs.items():
        if word in ("cpus", "gpus"):
            fields.report(key, f"{word} are said by steps: one that says nothing asks for one CPU and no GPU")
        elif word not in _WISH_KEYS:
            fields.report(
                key, f"unknown key {word!r} in resources of target {name!r}{nearest(word, sorted(_WISH_KEYS))}"
            )
    said = _machine(fields, {word: pair for word, pair in pairs.items() if word in _WISH_KEYS})
    return Resources(memory=said.get("memory") or 0, labels=said.get("labels", {}), custom=said.get("custom", {}))
