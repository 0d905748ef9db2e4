"""From the bytes of a `gitml.yaml` to a Config, or every mistake in it at once."""

from __future__ import annotations

from typing import Any

from gitml.core import paths
from gitml.core.config import HOST, PATH, Config, Defaults
from gitml.core.diagnostics import SpecError
from gitml.core.expression import NAME
from gitml.core.fields import Fields
from gitml.core.remotes import LFS, RemoteSpec, problem_with_option, problem_with_url
from gitml.core.yamldoc import Node, read_yaml

# `registry` and `registries` are read where registries are (gitml.modules.places)
_KEYS = frozenset(("defaults", "targets", "records", "registry", "registries", "remotes"))
_DEFAULT_KEYS = frozenset(("pipeline", "experiment", "environment", "sandbox"))
_TARGET_KEYS = frozenset(("cpus", "gpus", "memory", "labels", "custom"))
_RECORD_KEYS = frozenset(("inline_file", "inline_run"))
_REMOTE_KEYS = frozenset(("name", "url", "push", "endpoint", "account", "remote"))
_OPTIONS = {"endpoint": "s3", "account": "az", "remote": LFS}  # which kind of remote each is for


def parse_config(data: bytes, path: str = PATH) -> Config:
    """The Config in a `gitml.yaml`; SpecError with every mistake."""
    root, text = read_yaml(data, path)
    fields = Fields(path, text)
    top = fields.mapping(root, "gitml.yaml", _KEYS)
    given: dict[str, Any] = {}
    if "defaults" in top:
        given.update(_defaults(fields, top["defaults"][1]))
    if "targets" in top:
        targets = fields.mapping(top["targets"][1], "targets", frozenset(("local",)))
        if "local" in targets:
            given["local"] = _target(fields, targets["local"][1])
    if "records" in top:
        for name, (_, node) in fields.mapping(top["records"][1], "records", _RECORD_KEYS).items():
            if name in _RECORD_KEYS:
                given[name] = fields.bytes(node, name)
    if "remotes" in top:
        given["remotes"] = _remotes(fields, top["remotes"][1])
    if fields.diagnostics:
        raise SpecError(fields.diagnostics)
    return Config(**given)


def _defaults(fields: Fields, node: Node) -> dict[str, Any]:
    pairs = fields.mapping(node, "defaults", _DEFAULT_KEYS)
    given: dict[str, Any] = {}
    for name in ("pipeline", "experiment"):
        if name in pairs:
            given[name] = fields.text_of(pairs[name][1], name)
    environment, strict = HOST, False
    if "environment" in pairs:
        said = fields.text_of(pairs["environment"][1], "environment") or HOST
        problem = None if said == HOST else paths.problem_with(said)
        if problem:
            fields.report(pairs["environment"][1], f"environment is {problem}")
        environment = HOST if said == HOST else paths.clean(said)
    if "sandbox" in pairs:
        strict = fields.one_of(pairs["sandbox"][1], "sandbox", ("strict", "normal")) == "strict"
    given["defaults"] = Defaults(environment, strict)
    return given


def _target(fields: Fields, node: Node) -> dict[str, Any]:
    pairs = fields.mapping(node, "target 'local'", _TARGET_KEYS)
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


def _remotes(fields: Fields, node: Node) -> tuple[RemoteSpec, ...]:
    """Remote stores in order: each ``lfs``, a URL, or a mapping with more to say. A name not given is that of the kind."""
    found: dict[str, RemoteSpec] = {}
    for item in fields.items(node, "remotes"):
        remote = _remote(fields, item)
        if remote is None:
            continue
        if remote.name in found:
            fields.report(item, f"two remotes are called {remote.name!r}: give one a name of its own (name: …)")
        found[remote.name] = remote
    return tuple(found.values())


def _remote(fields: Fields, node: Node) -> RemoteSpec | None:
    pairs = fields.mapping(node, "a remote", _REMOTE_KEYS) if node.is_mapping else {"url": (node, node)}
    if "url" not in pairs:
        fields.report(node, "a remote needs a url")
        return None
    url = fields.text_of(pairs["url"][1], "url")
    if url is None:
        return None
    problem = problem_with_url(url)
    if problem is not None:
        fields.report(pairs["url"][1], problem)
        return None
    remote = RemoteSpec(url.partition(":")[0], url.rstrip("/"))
    if "name" in pairs:
        name = fields.text_of(pairs["name"][1], "name") or ""
        if not NAME.match(name) or len(name) > 100:
            fields.report(
                pairs["name"][1], f"{name[:60]!r} is not a name (letters, digits, '_' and '-', a letter first)"
            )
        remote = remote._replace(name=name)
    if "push" in pairs:
        remote = remote._replace(push=fields.truth(pairs["push"][1], "push") is not False)
    options = {}
    for option, scheme in _OPTIONS.items():
        if option in pairs:
            if remote.scheme != scheme:
                fields.report(pairs[option][0], f"{option!r} is for {scheme}{'' if scheme == LFS else '://'} only")
            options[option] = fields.text_of(pairs[option][1], option) or ""
            problem = problem_with_option(option, options[option])
            if problem is not None:
                fields.report(pairs[option][1], problem)
    return remote._replace(options=options)
