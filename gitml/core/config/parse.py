"""From the bytes of a `gitml.yaml` to a Config, or every mistake in it at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gitml.core.config.project import LOCAL, PATH, SENT_ON_PUSH, TARGET_PARSERS, Config, Hooks, RayTarget, Target
from gitml.core.config.remotes import RemoteSpec, problem_with_url
from gitml.core.kinds.remote_kinds import LFS, REMOTE_KINDS
from gitml.core.language.diagnostics import SpecError, nearest
from gitml.core.language.expression import NAME
from gitml.core.language.fields import Fields
from gitml.core.language.keys import (
    ENVIRONMENT,
    MACHINE_KEYS,
    NETWORK,
    SANDBOX,
    SIZE,
    TEXT,
    TRUTH,
    WORD,
    Key,
    Pairs,
    at_least,
    by_name,
    document,
    keys_of,
    listed,
    mapping,
    one_of,
    settings_in,
    values_in,
)
from gitml.core.language.yaml_document import Node, read_yaml
from gitml.core.model.resources import Resources

_ADDRESS = re.compile(r"(?:ray://)?(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:]{2,45}\]):([0-9]{1,5})\Z")
_HOOK_NAMES = ("pre-commit", "post-checkout", "post-merge", "pre-push", "post-receive")
_LEAST_LARGE = 100 << 10


def _dashboard(fields: Fields, node: Node, what: str) -> str | None:
    text = fields.text_of(node, what)
    match = _ADDRESS.match(text or "")
    if text is not None and (match is None or "/" in text or not 0 < int(match[1]) < 65536):
        fields.report(node, f"{what} must be host:port, not {text[:60]!r}")
    return text


def _token(fields: Fields, node: Node, what: str) -> str | None:
    text = fields.text_of(node, what)
    if text is not None and not text.startswith(("/", "~/")):
        mend = f"{what} is the path of a file outside the repository: write it with / or ~/ in front"
        fields.report(node, f"{mend}; the token itself never belongs here")
        return None
    return text


def _gate(fields: Fields, node: Node, what: str) -> str | None:
    if isinstance(node.value, bool):
        return "tips" if node.value else None
    if node.value == "every":
        return "every"
    fields.report(node, f"{what} must be true, false or every")
    return None


def _large_file(fields: Fields, node: Node, what: str) -> int | None:
    size = fields.bytes(node, what)
    if size is not None and size < _LEAST_LARGE:
        fields.report(node, f"{what} must be at least 100KiB")
    return size


_DEFAULT_NAMES = keys_of(
    Key("pipeline", "what `gitml run` runs", TEXT, read=Fields.text_of),
    Key("experiment", "the name under which runs are compared", TEXT, read=Fields.text_of),
)
_DEFAULT_KEYS = {**_DEFAULT_NAMES, **keys_of(ENVIRONMENT, SANDBOX, NETWORK)}
_RECORD_KEYS = keys_of(
    Key("inline_file", "outputs up to this size are kept in the run's record, in Git", SIZE, read=Fields.bytes),
    Key("inline_run", "and all those of one run up to this size", SIZE, read=Fields.bytes),
)
_HAS_KEYS = {**MACHINE_KEYS, "cpus": MACHINE_KEYS["cpus"]._replace(read=at_least(1))}
_REQUEST_KEYS = keys_of(*(MACHINE_KEYS[name] for name in ("memory", "labels", "custom")))
_CLUSTER_KEYS = keys_of(
    Key("ray", "host:port, ray://host:port, auto or local", TEXT),
    Key("token", "the path of a file with the cluster's secret, outside the repository", TEXT, read=_token),
    Key("insecure", "`true`: a cluster without a token", TRUTH, read=Fields.truth),
    Key("cache", "the most bytes that a worker keeps", SIZE, read=Fields.bytes),
    Key("dashboard", "host:port of what takes submissions", TEXT, read=_dashboard),
    Key("resources", "what is asked for steps that ask for nothing themselves", mapping(_REQUEST_KEYS)),
)
_HOOK_KEYS = keys_of(
    Key(
        "gate",
        "`true`, `false` or `every`: which pushed commits must have run",
        {"enum": [True, False, "every"]},
        read=_gate,
    ),
    Key("gate_branches", "the branches that the gate guards", listed(TEXT), read=Fields.texts),
    Key("large_file", "the size from which on a file is refused in a commit", SIZE, read=_large_file),
    Key("large_files", "paths that may be larger", listed(TEXT), read=Fields.texts),
    Key(
        "send",
        "what goes along with a push",
        listed(one_of(SENT_ON_PUSH)),
        read=lambda fields, node, what: fields.words(node, what, SENT_ON_PUSH),
    ),
    Key("on_push", "the pipelines that a server may run", listed(TEXT), read=Fields.texts),
    Key(
        "skip",
        "hooks that are left out",
        listed(one_of(_HOOK_NAMES)),
        read=lambda fields, node, what: fields.words(node, what, _HOOK_NAMES),
    ),
)


def _remote_keys() -> Mapping[str, Key]:
    """The keys of a remote: those of all, and the options of each kind that there is."""
    return keys_of(
        Key("name", "what it is called", TEXT),
        Key("url", "`lfs` or a URL", TEXT),
        Key("push", "`false`: nothing is uploaded to it", TRUTH),
        *(Key(word, option.help, TEXT) for kind in REMOTE_KINDS.values() for word, option in kind.options.items()),
    )


_KEYS = keys_of(
    Key("defaults", "what holds for every pipeline that does not override it", mapping(_DEFAULT_KEYS)),
    Key(
        "targets",
        "where steps run: what this machine may use, and clusters",
        {
            **by_name(mapping({**_CLUSTER_KEYS, **MACHINE_KEYS}, "ray")),
            "properties": {LOCAL: mapping(MACHINE_KEYS)},
        },
    ),
    Key("records", "what runs keep in Git", mapping(_RECORD_KEYS)),
    # both are read where registries are (gitml.modules.registry_places)
    Key("registry", "where modules are, in place of this repository", TEXT),
    Key("registries", "other registries, by name", by_name(TEXT)),
    Key("hooks", "what Git's hooks do in this project", mapping(_HOOK_KEYS)),
    Key(
        "remotes",
        "where large outputs are shared, in the order in which they are asked",
        lambda: listed({"anyOf": [WORD, mapping(_remote_keys(), "url")]}),
    ),
)


def project_schema() -> dict[str, Any]:
    """The JSON Schema of `gitml.yaml`."""
    return document("A project of gitml", mapping(_KEYS))


def parse_config(data: bytes, path: str = PATH) -> Config:
    """The Config in a `gitml.yaml`; SpecError with every mistake."""
    root, text = read_yaml(data, path)
    fields = Fields(path, text)
    top = fields.mapping(root, "gitml.yaml", _KEYS)

    def section(name: str, keys: Mapping[str, Key]) -> Pairs:
        return fields.mapping(top[name][1], name, keys) if name in top else {}

    defaults = section("defaults", _DEFAULT_KEYS)
    given: dict[str, Any] = {
        "defaults": settings_in(fields, defaults, (ENVIRONMENT, SANDBOX, NETWORK)),
        "hooks": Hooks(**values_in(fields, section("hooks", _HOOK_KEYS), _HOOK_KEYS.values())),
        **values_in(fields, defaults, _DEFAULT_NAMES.values()),
        **values_in(fields, section("records", _RECORD_KEYS), _RECORD_KEYS.values()),
    }
    if "targets" in top:
        given.update(_targets(fields, top["targets"][1]))
    if "remotes" in top:
        given["remotes"] = _remotes(fields, top["remotes"][1])
    if fields.diagnostics:
        raise SpecError(fields.diagnostics)
    return Config(**given)


def _targets(fields: Fields, node: Node) -> dict[str, Any]:
    """``local`` and ``targets`` of a Config; every mistake is noted in `fields`."""
    given: dict[str, Any] = {}
    targets = {}
    parsers = {"ray": ray_target, **TARGET_PARSERS}
    for name, (key, value) in fields.named(node, "targets").items():
        if name == LOCAL:
            given["local"] = values_in(fields, fields.mapping(value, "target 'local'", _HAS_KEYS), _HAS_KEYS.values())
        elif value.is_mapping and (kind := next((kind for kind in parsers if kind in value.value), None)):
            pairs = fields.mapping(value, f"target {name!r}")
            options = parsers[kind](fields, name, pairs)
            requests = _requests(fields, name, pairs["resources"][1]) if "resources" in pairs else Resources()
            targets[name] = Target(name, kind, options, requests)
        else:
            if value.is_mapping:
                fields.mapping(value, f"target {name!r}", _CLUSTER_KEYS)  # reports a misspelt key
            fields.report(key, f"target {name!r} needs ray: host:port, ray://host:port, auto or local")
    if targets:
        given["targets"] = targets
    return given


def ray_target(fields: Fields, name: str, pairs: Pairs) -> RayTarget:
    """The options of a target with the key ``ray``; mistakes are reported to `fields`."""
    address = _address(fields, name, pairs["ray"][1])
    own = address == "local"
    known = {*_CLUSTER_KEYS, *(MACHINE_KEYS if own else ())}
    for word, (key, _) in pairs.items():
        if word in known:
            continue
        if word in MACHINE_KEYS:
            where = (
                "say what steps ask for under resources" if word in _REQUEST_KEYS else "its machines say what they have"
            )
            fields.report(key, f"{word} is for ray: local; {where}")
        else:
            fields.report(key, f"unknown key {word!r} in target {name!r}{nearest(word, sorted(known))}")
    return RayTarget(
        name,
        address,
        **values_in(fields, pairs, _CLUSTER_KEYS.values()),
        has=values_in(fields, pairs, _HAS_KEYS.values()) if own else {},
    )


def _address(fields: Fields, name: str, node: Node) -> str:
    text = fields.text_of(node, f"ray of target {name!r}")
    if text is None or text in ("auto", "local"):
        return text or ""
    match = _ADDRESS.match(text)
    if match is None or not 0 < int(match[1]) < 65536:
        fields.report(node, f"ray must be host:port, ray://host:port, auto or local, not {text[:60]!r}")
    return text


def _requests(fields: Fields, name: str, node: Node) -> Resources:
    pairs = fields.mapping(node, f"resources of target {name!r}")
    for word, (key, _) in pairs.items():
        if word in ("cpus", "gpus"):
            fields.report(key, f"{word} are said by steps: one that says nothing asks for one CPU and no GPU")
        elif word not in _REQUEST_KEYS:
            fields.report(
                key, f"unknown key {word!r} in resources of target {name!r}{nearest(word, sorted(_REQUEST_KEYS))}"
            )
    said = values_in(fields, pairs, _REQUEST_KEYS.values())
    return Resources(memory=said.get("memory") or 0, labels=said.get("labels", {}), custom=said.get("custom", {}))


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
    pairs = fields.mapping(node, "a remote", _remote_keys()) if node.is_mapping else {"url": (node, node)}
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
    for scheme, kind in REMOTE_KINDS.items():
        for word, option in kind.options.items():
            if word not in pairs:
                continue
            if remote.scheme != scheme:
                fields.report(pairs[word][0], f"{word!r} is for {scheme}{'' if scheme == LFS else '://'} only")
            options[word] = fields.text_of(pairs[word][1], word) or ""
            problem = option.check(options[word])
            if problem is not None:
                fields.report(pairs[word][1], problem)
    return remote._replace(options=options)
