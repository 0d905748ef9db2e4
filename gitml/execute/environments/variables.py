"""A step's command line and environment variables: what its Action says, fixed values, and a short list of what is lent.

Whatever a variable can decide of a result is in the key (`env`), fixed here, or listed as lent in docs/concepts.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

from gitml import layout
from gitml.core.model.action import CONFIG, Action
from gitml.core.parameters.value_path import text_of_value
from gitml.errors import InputError

SOURCE_DATE_EPOCH = "946684800"

_LENT = frozenset(
    (
        *("HOME", "USER", "LOGNAME"),
        *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY"),
        *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy"),
    )
)
# files of the machine, which an image has not
_OF_FILES = frozenset(("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
_LENT_PREFIXES = ("NVIDIA_",)
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# for every step the same, unless its `env` says otherwise; a zone or a language of the machine would change results unseen
FIXED: Mapping[str, str] = {
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
}
_NONE: Mapping[str, str] = {}
_UNNAMEABLE = re.compile("[^A-Za-z0-9]")


def command_line(action: Action) -> tuple[str, ...]:
    """The argument list to run; with a shell its values are in the variables ``_gitml_0``, ``_gitml_1`` …"""
    if action.shell is None:
        return action.argv
    script = action.argv[0]
    if action.shell == "bash":
        return ("bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", script)
    if action.shell == "sh":
        return ("sh", "-eu", "-c", script)
    raise InputError(f"unknown shell {action.shell!r}", hint="use `bash` or `sh`")


def search_path(machine: Mapping[str, str], prepend: Iterable[str] = ()) -> str:
    """The PATH of steps: `prepend` first, then the machine's; folders relative to where gitml was called are left out."""
    folders = [*prepend, *machine.get("PATH", _DEFAULT_PATH).split(":")]
    return ":".join(dict.fromkeys([folder for folder in folders if folder.startswith("/")]))


def lent_by(machine: Mapping[str, str]) -> dict[str, str]:
    """The variables of the machine that every step sees, PATH aside."""
    return {name: value for name, value in machine.items() if name in _LENT or name.startswith(_LENT_PREFIXES)}


def variables_of(
    action: Action,
    machine: Mapping[str, str],
    *,
    path: str,
    tmp: str,
    ceiling: str,
    home: str | None = None,
    devices: str | None = None,
    lent: Mapping[str, str] = _NONE,
    image: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """All environment variables of a step; InputError when one that the Action passes through is not set here.

    `ceiling` is the folder above the one the step runs in: git looks for no repository from there on. `devices` are the
    GPUs it was given, `lent` what it sees beyond what the machine has. Those of the `image` that it runs in are below all others.
    """
    base = lent_by(machine)
    if image is not None:
        base = {**image, **{name: value for name, value in base.items() if name not in _OF_FILES}}
    env = {**base, **FIXED, "PATH": path, "TMPDIR": tmp, "GIT_CEILING_DIRECTORIES": ceiling}
    if home is not None:
        env["HOME"] = home
    if devices is not None:
        env["CUDA_VISIBLE_DEVICES"] = devices
    env.update(lent)
    for name, value in action.env:
        if value is None:
            value = lent.get(name, machine.get(name))
            if value is None:
                message = f"the step needs the environment variable {name}, which is not set here"
                raise InputError(message, hint=missing_variable_hint([name]))
        env[name] = value
    named = variables_for("PARAM", (name for name, _ in action.params))
    env.update({named[name]: text_of_value(scalar) for name, scalar in action.params})
    inputs = [item for item in action.inputs if item.kind != CONFIG]
    outputs = [item for item in action.outputs if not item.option("pattern")]
    for kind, ports in (("INPUT", inputs), ("OUTPUT", outputs)):
        env.update(_joined(kind, [(item.name, os.path.relpath(item.mount, action.workdir)) for item in ports]))
    if action.shell is not None:
        for number, word in enumerate(action.argv[1:]):
            env[f"_gitml_{number}"] = word
    return env


def missing_variable_hint(names: Sequence[str]) -> str:
    """What to do about variables that a step passes through and that are not set."""
    them = "it a value" if len(names) == 1 else "them values"
    return f"export {' '.join(names)} before gitml is called, or give {them} under `env:`"


def variables_for(kind: str, names: Iterable[str]) -> dict[str, str]:
    """``GITML_<KIND>_<NAME>`` by name: upper case, and ``_`` for all that is neither letter nor digit.

    Where that makes one of several names, each after the first gets the next free number behind it, as in ``_2``.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        first = chosen = f"{layout.VARIABLE_PREFIX}{kind}_{_UNNAMEABLE.sub('_', name).upper()}"
        number = 2
        while chosen in taken:
            chosen, number = f"{first}_{number}", number + 1
        taken.add(chosen)
        found[name] = chosen
    return found


def _joined(kind: str, ports: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Mounts by variable; those of one name, gathered from many steps, one a line."""
    mounts: dict[str, list[str]] = {}
    for name, mount in ports:
        mounts.setdefault(name, []).append(mount)
    return {variable: "\n".join(mounts[name]) for name, variable in variables_for(kind, mounts).items()}


def find_program(name: str, path: str) -> str | None:
    """The executable file that `name` means on the search path `path`; a name with a slash is taken as it is."""
    if "/" in name:
        return name
    for directory in path.split(":"):
        if directory.startswith("/"):
            candidate = f"{directory}/{name}"
            if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
                return candidate
    return None
