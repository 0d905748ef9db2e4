"""Runs uv, which installs packages of Python, by the user's own settings of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from gitml import layout
from gitml.errors import FREE_SPACE, InputError
from gitml.execute.environments.locks.uv_progress import UvProgress
from gitml.execute.environments.variables import find_program
from gitml.execute.process import StoppedError, StopRequests, run
from gitml.permissions import can_be_written

UNREACHABLE = "see whether the package index can be reached: UV_DEFAULT_INDEX, HTTPS_PROXY …"
"""What to do where no index answered."""
_TAIL = 64 << 10  # bytes: a package that can't be built has a long traceback
_LONGEST = 1000  # characters of a reason
# what uv says of a failed build that is not the reason
_BESIDE = (
    "Using Python ",
    "Resolved ",
    "Prepared ",
    "Downloading ",
    "Downloaded ",
    "Building ",
    "Built ",
    "warning: Failed to hardlink",
    "hint: Build failures usually",
)
_FULL = ("No space left on device", "Disk quota exceeded")
_PASSWORDS = (
    "give uv what the index asks for: a line in ~/.netrc, uv auth login, or UV_INDEX_NAME_USERNAME and _PASSWORD;"
    " where a lock names it by http, name it in UV_INDEX too"
)
_UNBUILDABLE = ("Failed to build", "build backend returned an error")
_NO_SOURCE = ("building from source is disabled", "Building source distributions is disabled")
_FOR_STRICT = "lock a version that has a wheel; or, if you trust it, build it yourself: gitml env build"
"""What to do about a package that there is only as source, of which nothing is built for a strict step."""
_FALSE = ("", "0", "false", "no", "off", "f", "n")
_REFUSED = ("401 Unauthorized", "403 Forbidden", "authentication credentials")
_OF_THE_NET = ("connect", "dns error", "timed out", "network", "certificate", "error sending request")


class UvCommands:
    """The uv of this machine, run with the variables of `machine`; where the user has no cache for it, it is in `cache_dir`.

    It runs in the folder where it is called, whose settings files it reads; where `confine` says, as programs in an image see
    it. `report` is called with how far it is. InputError where there is no uv.
    """

    def __init__(
        self,
        machine: Mapping[str, str],
        cache_dir: str,
        stop: StopRequests,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.path = uv_program(machine)
        self.stop = stop
        self.confine: Callable[[], None] | None = None
        self.report = report
        env = uv_environment(machine)
        if "UV_CACHE_DIR" not in env and not can_be_written(os.path.join(layout.user_cache(env), "uv")):
            env["UV_CACHE_DIR"] = os.path.join(cache_dir, "uv")
        self.env = env

    def run(self, *arguments: str, purpose: str, hint: str) -> str:
        """What uv prints; InputError in its words when it fails, StoppedError when it was stopped."""
        said = bytearray()
        progress = UvProgress(self.report) if self.report is not None else None

        def keep(chunk: bytes) -> None:
            said.extend(chunk)
            del said[:-_TAIL]
            if progress is not None:
                progress.heard(chunk)

        watch = progress.tick if progress is not None else None
        ended = run(self.path, (self.path, *arguments), self.env, keep, self.stop, confine=self.confine, watch=watch)
        if ended.stopped:
            raise StoppedError
        text = said.decode("utf-8", "replace")
        if ended.code != 0:
            words = reason_in(text)
            what = f"uv could not {purpose}: {words or f'exit status {ended.code}'}"
            raise InputError(what, hint=_mend_of(words) or hint)
        return text


def wheels_alone(env: Mapping[str, str], *, from_source: bool) -> tuple[str, ...]:
    """The option by which uv builds nothing, where that is not allowed or the user forbids it (uv reads no variable for it)."""
    forbidden = env.get("UV_NO_BUILD", "").lower() not in _FALSE
    return ("--no-build",) if forbidden or not from_source else ()


def refuse_source(names: Sequence[str]) -> None:
    """InputError where there are packages by such `names`, which would have to be built for a step that forbids it."""
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        what = f"{names[0]}{more} must be built from source, which runs its author's code outside of the strict sandbox"
        raise InputError(what, hint=_FOR_STRICT)


def reason_in(text: str) -> str:
    """Why uv failed, of what it printed, in one line; of what a program printed that uv started, only the last words."""
    lines = text.strip().splitlines()
    begin = max([n for n, line in enumerate(lines) if line.startswith("error: ")], default=0)
    found = []
    for line in _without_output(lines[begin:])[-14:]:
        words = line.strip(" │╰╴─▶\u00d7├")
        if words and not words.startswith(_BESIDE):
            found.append(words)
    reason = " ".join(found).removeprefix("error: ")
    return reason if len(reason) <= _LONGEST else f"{reason[: _LONGEST // 2]} … {reason[-_LONGEST // 2 :]}"


def _without_output(lines: list[str]) -> list[str]:
    """`lines` with the last alone of each block that a program printed, below ``[stderr]``: where a traceback has its error."""
    kept: list[str] = []
    block: list[str] | None = None
    depth = 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() in ("[stdout]", "[stderr]"):
            if block:
                kept.append(block[-1])
            block, depth = [], indent
        elif block is None:
            kept.append(line)
        elif line.strip() and indent < depth:
            kept += [*block[-1:], line]
            block = None
        elif line.strip() and indent == depth:
            block.append(line)
    return kept if not block else [*kept, block[-1]]


def _mend_of(reason: str) -> str | None:
    """What to do about a failure that has nothing to do with what was asked of uv; None for any other."""
    if any(sign in reason for sign in _FULL):
        return FREE_SPACE
    if any(sign in reason for sign in _REFUSED):
        return _PASSWORDS
    if any(sign in reason for sign in _NO_SOURCE):
        return _FOR_STRICT
    if any(sign in reason for sign in _UNBUILDABLE):
        return "lock a version that has a wheel for this platform and Python, or install what building it needs"
    if any(sign in reason.lower() for sign in _OF_THE_NET):
        return UNREACHABLE
    return None


def uv_environment(machine: Mapping[str, str]) -> dict[str, str]:
    """The variables for uv: the user's, without those that name another environment, and no Python is downloaded."""
    env = {name: value for name, value in machine.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON")}
    env = {name: value for name, value in env.items() if not name.startswith(("PYTHON", "GIT_"))}
    return {**env, "NO_COLOR": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}


def uv_program(machine: Mapping[str, str]) -> str:
    """The path of uv; InputError where it is not installed."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = find_program("uv", machine.get("PATH", ""))
        if found is None:
            raise InputError("uv is not installed; it builds environments", hint="pip install uv") from None
        return found
