"""``environment.yml``: what somebody wants installed, without saying what exactly; to be solved, and then locked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gitml.core.language.yaml_document import Node
from gitml.errors import InputError
from gitml.execute.environments.conda.lock_document import LockDocument

_CHANNELS = {"defaults": ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r"), "nodefaults": ()}
_LONGEST, _MOST = 500, 2_000
_KNOWN = ("name", "channels", "dependencies", "platforms", "prefix", "category")
_PIP_OPTIONS = re.compile(r"-e|--|-[a-z]\b|\.|/|file:")


class LooseEnvironment(NamedTuple):
    """`specs` are of conda, `pip` requirements of pip, `platforms` subdirs, where the file has any.

    `left_out` names parts of the file that are not packages.
    """

    channels: tuple[str, ...]
    specs: tuple[str, ...]
    pip: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_environment_file(path: str, content: bytes) -> LooseEnvironment:
    """What an environment.yml asks for; InputError with its line for what can't be solved."""
    document = LockDocument(path, content)
    root = document.root
    if not document.has(root, "dependencies"):
        raise document.error(root, "it names no packages", "list them under dependencies")
    specs: list[str] = []
    pip: list[str] = []
    for item in document.items(document.child(root, "dependencies")):
        if document.has(item, "pip"):
            pip.extend(_requirement(document, one) for one in document.items(document.child(item, "pip")))
        else:
            specs.append(_text(document, item))
    if not document.has(root, "channels"):
        raise document.error(root, "it has no channels", "add them: channels: [conda-forge]")
    channels = dict.fromkeys(_channels(document, document.child(root, "channels")))
    platforms = document.items(document.child(root, "platforms")) if document.has(root, "platforms") else iter(())
    left_out = tuple(key for key in document.keys(root) if key not in _KNOWN)
    if not specs:
        raise document.error(root, "it names no packages", "list them under dependencies")
    if len(specs) + len(pip) > _MOST:
        raise document.error(root, f"more than {_MOST:,} packages", "split the environment")
    return LooseEnvironment(
        tuple(channels), tuple(specs), tuple(pip), tuple(_text(document, one) for one in platforms), left_out
    )


def _channels(document: LockDocument, node: Node) -> Iterator[str]:
    for item in document.items(node):
        channel = _text(document, item)
        if "@" in channel or "/t/" in channel:
            hint = "keep it in rattler's settings: `rattler auth login HOST`, or in ~/.netrc"
            raise document.error(item, "a channel with a password or a token", hint)
        yield from _CHANNELS.get(channel, (channel,))


def _text(document: LockDocument, node: Node) -> str:
    text = document.written(node).strip()
    if not text or len(text) > _LONGEST or re.search(r"[\x00-\x1f\x7f]", text):
        raise document.error(node, f"{text[:60]!r} names nothing", "fix the line")
    return text


def _requirement(document: LockDocument, node: Node) -> str:
    text = _text(document, node)
    if _PIP_OPTIONS.match(text):
        hint = "list its requirements one by one; of the project itself: install: ."
        raise document.error(node, f"{text[:60]!r} under pip is no package of an index", hint)
    return text


def no_pip(path: str, subdir: str) -> InputError:
    """The error for requirements of pip without a Python."""
    return InputError(
        f"it has requirements of pip and no Python for {subdir}", where=path, hint="add python to its dependencies"
    )
