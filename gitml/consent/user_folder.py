"""The user's own folder, ``$XDG_CONFIG_HOME/gitml`` or ``~/.config/gitml``: settings by place, and what was allowed."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gitml import layout
from gitml.errors import Guard, InputError, machine_error
from gitml.store.local import disk

_PLACE_KEYS = ("token", "endpoint", "account")
_LARGEST_TRUST = 8 << 20
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}\Z")


def place_settings(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What ``config.yaml`` says of places, by URL or host:port: ``token`` (a path), ``endpoint``, ``account``.

    InputError for a file that can't be read or says anything else.
    """
    folder = layout.settings_folder(environ)
    path = "" if folder is None else os.path.join(folder, layout.SETTINGS)
    if not path or not os.path.exists(path):
        return {}
    from gitml.core.language.diagnostics import SpecError
    from gitml.core.language.fields import Fields
    from gitml.core.language.yaml_document import MAX_BYTES, read_yaml  # 40 ms, for who has such a file

    content = _read(path, MAX_BYTES)

    root, text = read_yaml(content, path)
    fields = Fields(path, text)
    top = fields.mapping(root, layout.SETTINGS, frozenset(("places",)))
    found: dict[str, dict[str, str]] = {}
    if "places" in top:
        for url, (_, node) in fields.mapping(top["places"][1], "places").items():
            said = {}
            for word, (key, value) in fields.mapping(node, f"place {url!r}", frozenset(_PLACE_KEYS)).items():
                given = fields.text_of(value, word)
                if given is None or word not in _PLACE_KEYS:
                    continue
                problem = _problem(word, given)
                if problem is not None:
                    fields.report(key, problem)
                said[word] = given
            found[url.rstrip("/")] = said
    if fields.diagnostics:
        raise SpecError(fields.diagnostics)
    return found


def _problem(word: str, value: str) -> str | None:
    if word == "token" and not value.startswith(("/", "~/")):
        return "token is the path of a file: write it with / or ~/ in front"
    if word == "account" and not _ACCOUNT.match(value):
        return f"account must be a name, not {value[:60]!r}"
    if word == "endpoint" and not value.startswith(("http://", "https://")):
        return "endpoint must be a URL (https://…)"
    return None


class TrustFile:
    """``trust.json``: by the id of a repository what its user allowed it. Changed under a kernel lock, whole or not at all."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._folder = layout.settings_folder(environ)

    @property
    def path(self) -> str:
        """Where it is, for people."""
        return layout.TRUST_FILE if self._folder is None else os.path.join(self._folder, layout.TRUST_FILE)

    def read(self) -> dict[str, Any]:
        """The entries by repository id; none where there is no file. InputError for a file that is damaged or newer."""
        if self._folder is None:
            return {}
        try:
            content = _read(self.path, _LARGEST_TRUST)
        except FileNotFoundError:
            return {}
        try:
            raw = json.loads(content)
            if raw["format"] != 1:
                raise InputError("written by a newer gitml", where=self.path, hint="use the newer gitml")
            entries = raw["repositories"]
            if not isinstance(entries, dict) or not all(isinstance(one, dict) for one in entries.values()):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            hint = "remove it: what was allowed is asked again"
            raise InputError("not what gitml wrote", where=self.path, hint=hint) from error
        return entries

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """The entries, written when the ``with`` ends well. InputError without a home folder, MachineError of the disk."""
        if self._folder is None:
            raise InputError(
                "no home folder to keep it in", where="HOME", hint=f"set HOME, or allow it by {layout.TRUST_VARIABLE}"
            )
        with Guard(self.path):
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            lock = os.open(self.path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self.read()
            yield entries
            text = json.dumps({"format": 1, "repositories": entries}, indent=1, sort_keys=True)
            if len(text) >= _LARGEST_TRUST:  # else nothing could read it again
                what = f"what is allowed would take more than {_LARGEST_TRUST >> 20} MiB"
                raise InputError(what, where=self.path, hint="allow fewer places, or revoke others")
            with Guard(self.path):
                disk.write_whole(self.path, text.encode() + b"\n", durable=True, mode=0o600)
        finally:
            os.close(lock)


def _read(path: str, largest: int) -> bytes:
    """A small file of the user's; FileNotFoundError where there is none. A link is followed: it is the user's own."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise machine_error(error, path) from error
    with open(fd, "rb") as file:
        if not disk.is_regular(os.fstat(fd)):
            raise InputError("not a file", where=path)
        content = file.read(largest + 1)
    if len(content) > largest:
        raise InputError(f"larger than {largest >> 20} MiB", where=path)
    return content
