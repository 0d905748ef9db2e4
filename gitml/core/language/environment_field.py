"""Reading ``environment:``: text by which its kind is known, or a mapping of one kind and its options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gitml.core.kinds.environment_kinds import ENVIRONMENT_KINDS, IMAGE, kind_told_by, parse_environment
from gitml.core.language.diagnostics import nearest
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node
from gitml.core.model import paths
from gitml.core.model.environment import HOST, ON_HOST, PACKAGES, EnvironmentSpec, package_name

_VERSION = re.compile(r"3\.[0-9]{1,3}(?:\.[0-9]{1,3})?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST = 1000


def read_environment(fields: Fields, node: Node, what: str) -> EnvironmentSpec:
    """The environment that a node names, of one of ENVIRONMENT_KINDS; mistakes are noted in `fields`."""
    if node.is_mapping:
        return _of_mapping(fields, node, what)
    if not isinstance(node.value, (str, int, float)) or isinstance(node.value, bool):
        fields.report(node, f"{what} must be text, as uv.lock, or a mapping of one kind, as {{uv: uv.lock}}")
        return ON_HOST
    text = fields.text_of(node, what)
    if text is None:
        return ON_HOST
    spec, mistake = parse_environment(text)
    if mistake is not None:
        fields.report(node, mistake)
    return spec


def _of_mapping(fields: Fields, node: Node, what: str) -> EnvironmentSpec:
    pairs: Mapping[str, tuple[Node, Node]] = node.value
    kinds = [name for name in pairs if name in ENVIRONMENT_KINDS]
    if len(kinds) == 2 and IMAGE in kinds:  # a lock of Python within an image: both count
        kinds.remove(IMAGE)
    if not kinds and list(pairs) == ["install"]:  # beside all that the machine has installed
        kinds = [HOST]
    if len(kinds) != 1:
        _report_kinds(fields, node, what, kinds)
        return ON_HOST
    kind = kinds[0]
    allowed = ENVIRONMENT_KINDS[kind].options | {"install"}
    options: dict[str, Any] = {}
    name = ""
    for key, (at, value) in pairs.items():
        if key == kind:
            name = _name_of(fields, value, what, kind, options)
        elif key in allowed:
            given = OPTIONS[key](fields, value, f"{key} of {what}")
            if given:
                options[key] = given
        else:
            known = ", ".join(sorted(allowed))
            mend = nearest(key, sorted(allowed)) or f" (it takes {known})"
            fields.report(at, f"{key!r} is no option of an environment of kind {kind}{mend}")
    if IMAGE in options and "python" not in options:
        fields.report(
            node, f'{what} has a lock of Python within an image: say which Python the image has, python: "3.12"'
        )
    return EnvironmentSpec(kind, name, tuple(sorted(options.items())))


def _report_kinds(fields: Fields, node: Node, what: str, kinds: list[str]) -> None:
    if kinds:
        fields.report(node, f"{what} is of one kind, not {' and '.join(kinds)}")
        return
    names = sorted(ENVIRONMENT_KINDS)
    mend = next((hint for key in node.value if (hint := _FOREIGN.get(key) or nearest(key.lower(), names))), "")
    fields.report(node, f"{what} names no kind of environment: one of {', '.join(names)}{mend}")


_FOREIGN = {"docker": " (write image)", "container": " (write image)", "file": " (write the path alone)"}


def _name_of(fields: Fields, node: Node, what: str, kind: str, options: dict[str, Any]) -> str:
    """The value at the kind's own key; distributions of the host go to the options."""
    if kind == HOST:
        packages = _names(fields, node, what)
        if not packages:
            fields.report(node, f"{what} names no distributions: host: [torch, numpy], or `host` alone for all of them")
        options[PACKAGES] = tuple(sorted({package_name(name) for name in packages}))
        return ""
    text = fields.text_of(node, what)
    if text is None:
        return ""
    told = kind_told_by(text)
    if told not in (None, kind):
        fields.report(node, f"{what} {text[:80]!r} is a file of kind {told}, not {kind}: {{{told}: {text[:80]}}}")
        return ""
    name, mistake = ENVIRONMENT_KINDS[kind].parse(text)
    if mistake is not None:
        fields.report(node, mistake)
    return name


def _names(fields: Fields, node: Node, what: str) -> tuple[str, ...]:
    found = fields.texts(node, what)
    for name in found:
        if not _NAME.fullmatch(name) or len(name) > _LONGEST:
            fields.report(node, f"{what} has {name[:60]!r}, which is not a name")
    return found


def _python(fields: Fields, node: Node, what: str) -> str | None:
    if isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        written = fields.text_at(node)
        fields.report(node, f'{what} must be text, as 3.10 is the number 3.1: python: "{written}"')
        return None
    text = fields.text_of(node, what)
    if text is not None and not _VERSION.fullmatch(text):
        fields.report(node, f'{what} must be a version such as "3.12" or "3.12.4", not {text[:60]!r}')
        return None
    return text


def _path(fields: Fields, node: Node, what: str) -> str | None:
    text = fields.text_of(node, what)
    problem = None if text is None else paths.problem_with_named(text)
    if problem:
        fields.report(node, f"{what} is {problem}")
        return None
    return None if text is None else paths.clean(text)


def _image(fields: Fields, node: Node, what: str) -> str | None:
    text = fields.text_of(node, what)
    if text is None:
        return None
    name, mistake = ENVIRONMENT_KINDS[IMAGE].parse(text)
    if mistake is not None:
        fields.report(node, mistake)
    return name


def _option_name(fields: Fields, node: Node, what: str) -> str | None:
    found = _names(fields, node, what)
    return found[0] if found else None


OPTIONS: Mapping[str, Callable[[Fields, Node, str], Any]] = {
    "python": _python,
    "groups": _names,
    "extras": _names,
    "name": _option_name,
    "image": _image,
    "install": _path,
}
"""How each option of an environment is read; which kinds take it is in ENVIRONMENT_KINDS. All take `install`."""
