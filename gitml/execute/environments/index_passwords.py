"""Which passwords of the user's netrc uv gets while it installs what a lock names.

uv looks for the password of whatever host it is led to, by a redirect too, over plain http too, and the one of ``default`` is for
any host. So a lock could name a place that leads it to a host inside, or read the password on its way. uv gets a file with those
passwords alone that are for hosts which the user's own settings name, or which the lock names as https.
"""

from __future__ import annotations

import netrc
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from gitml import layout

_LARGEST = 1 << 20  # bytes of a file of settings
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_PLAIN = re.compile(r"[^\s\"'\\#]+")  # needs no quotes in a netrc
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1")  # what is sent there stays on this machine
_SYSTEM = "/etc"


def write_passwords(path: str, env: Mapping[str, str], of_lock: Iterable[str]) -> None:
    """Writes the netrc for uv, which is run with the variables `env`, to `path`, a new file that its owner alone can read.

    `of_lock` are the texts of the lock that name addresses.
    """
    given = env.get("NETRC") or os.path.join(env.get("HOME", ""), ".netrc")
    own = [value for name, value in env.items() if name.startswith("UV_")]
    for settings in settings_files(env):
        own.append(_text_of(settings))
    with open(path, "x", encoding="utf-8", opener=_private) as file:
        file.write(passwords_for(given, own, of_lock))


def passwords_for(path: str, own: Iterable[str], of_lock: Iterable[str]) -> str:
    """The lines of the netrc at `path` for the hosts that may have theirs; empty where there are none. See the module."""
    try:
        found = netrc.netrc(path)
    except (OSError, ValueError, netrc.NetrcParseError):
        return ""
    hosts = {host for text in own for _, host in _addresses(text)}
    places = [place for text in of_lock for place in _addresses(text)]
    hosts |= {host for scheme, host in places if scheme == "https" or (scheme == "http" and _LOOPBACK.fullmatch(host))}
    lines = []
    for host, (login, _, password) in found.hosts.items():
        if host.lower() in hosts:
            lines.append(f"machine {host} login {_quoted(login)} password {_quoted(password)}\n")
    return "".join(lines)


def settings_files(env: Mapping[str, str]) -> tuple[str, ...]:
    """Where the user's settings of uv, and the machine's, lie."""
    given = env.get("UV_CONFIG_FILE")
    system = [*env.get("XDG_CONFIG_DIRS", "").split(":"), _SYSTEM]
    folders = [folder for folder in (layout.user_settings(env) or "", *system) if folder.startswith("/")]
    return (*([given] if given else []), *[f"{folder}/uv/uv.toml" for folder in folders])


def _addresses(text: str) -> Iterable[tuple[str, str]]:
    """The scheme and the host of each address in a text."""
    for address in _ADDRESS.findall(text):
        try:
            parts = urlsplit(address)
            yield parts.scheme.removeprefix("git+"), (parts.hostname or "").lower()
        except ValueError:
            continue


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST)
    except OSError:
        return ""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
