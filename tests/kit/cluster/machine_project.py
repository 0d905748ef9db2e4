"""FarProject: a repository on an isolated machine, and gitml as a user of that machine starts it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.kit.cluster.machines import Machine

_WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.com"))
}


class CommandResult(NamedTuple):
    """How a command ended, and in what time."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error that it told as JSON."""
        error: dict[str, Any] = json.loads(self.err)["error"]
        return error


class MachineProject:
    """A repository in the folder `name` of a machine's home."""

    def __init__(
        self, machine: Machine, files: Mapping[str, str], env: Mapping[str, str] = {}, name: str = "project"
    ) -> None:
        self.machine = machine
        self.path = f"{machine.home}/{name}"
        self.env = {**_WHO, "GIT_CONFIG_NOSYSTEM": "1", "GITML_TRUST": "places,run", **env}
        machine.do("git", "init", "-q", "-b", "main", self.path)
        self.commit(files)

    def write(self, files: Mapping[str, str]) -> None:
        """Files of the work tree."""
        for path, content in files.items():
            self.machine.write(f"{self.path}/{path}", content)

    def commit(self, files: Mapping[str, str]) -> None:
        """Files, committed."""
        self.write(files)
        self.machine.do("git", "add", "-A", cwd=self.path)
        self.machine.do("git", "commit", "-q", "-m", "a change", cwd=self.path, env=self.env)

    def gitml(self, *words: str, code: int | None = 0, env: Mapping[str, str] = {}) -> CommandResult:
        """A command to its end, which must be with `code` unless that is None."""
        begun = time.monotonic()
        done = self.machine.do("python", "-m", "gitml", *words, env={**self.env, **env}, cwd=self.path, code=None)
        told = CommandResult(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)
        assert code is None or told.code == code, f"gitml {' '.join(words)} gave {told.code}\n{told.out}\n{told.err}"
        return told
