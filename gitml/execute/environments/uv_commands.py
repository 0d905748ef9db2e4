"""Runs uv, which installs packages of Python, by the user's own settings of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from gitml import layout
from gitml.errors import InputError
from gitml.execute.environments.locks.uv_progress import UvProgress
from gitml.execute.environments.variables import find_program
from gitml.execute.process import StoppedError, StopRequests, run
from gitml.permissions import can_be_written

_TAIL = 4000
# what uv says of a failed build that is not the reason, and the words of those that a network is the reason of
_BESIDE = ("Using Python ", "Resolved ", "Prepared ")
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
            if any(sign in words.lower() for sign in _OF_THE_NET):
                hint = "see whether the package index can be reached: UV_DEFAULT_INDEX, HTTPS_PROXY …"
            raise InputError(f"uv could not {purpose}: {words or f'exit status {ended.code}'}", hint=hint)
        return text


def reason_in(text: str) -> str:
    """Why uv failed, of what it printed, in one line."""
    lines = [line.strip(" │╰╴─▶\u00d7├") for line in text.strip().splitlines()[-12:]]
    return " ".join(line for line in lines if line and not line.startswith(_BESIDE)).removeprefix("error: ")


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
