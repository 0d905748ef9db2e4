"""`remotes:` of `gitml.yaml`: the remote stores, in the order in which they are asked."""

from __future__ import annotations

from gitml.core.config.remotes import LFS, RemoteSpec, problem_with_option, problem_with_url
from gitml.core.language.expression import NAME
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node

_REMOTE_KEYS = frozenset(("name", "url", "push", "endpoint", "account", "remote"))
_OPTIONS = {"endpoint": "s3", "account": "az", "remote": LFS}  # which kind of remote each is for


def read_remotes(fields: Fields, node: Node) -> tuple[RemoteSpec, ...]:
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
