"""A project in a real repository, driven through the command line as a person would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_server import run_command
from tests.kit.projects.repository import Repository, environment

# A time as gitml writes it, however long it took on this machine: 0.04s, 1.2s, 48s, 3m05s, 2h07m.
DURATION = r"(?:\d\.\d{1,2}s|\d{1,2}s|\d{1,2}m\d\ds|\d{1,2}h\d\dm)"


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class Project:
    """A repository with pipelines, and `gitml` to run on it. `files` are committed first; None takes what is there.

    `do` has commands forked from a process that has gitml loaded, unless `forks` is false; `start` starts Python each time.
    """

    forks = True

    def __init__(self, path: Path, files: Mapping[str, str | bytes] | None = None) -> None:
        self.path = path
        self.repo = Repository(path)
        if files is not None:
            self.repo.commit("begin", files)
        self.env = {**environment(), "XDG_CACHE_HOME": str(path.parent / "cache"), "PYTHONPATH": str(Path.cwd())}

    def start(
        self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A command that goes on."""
        return subprocess.Popen(
            [sys.executable, "-m", "gitml", *args],
            cwd=cwd or self.path,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def do(
        self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, code: int | None = 0
    ) -> Done:
        """A command to its end; `code` is what it must end with (None: anything)."""
        full = {**self.env, **(env or {})}
        ended = run_command(args, str(cwd or self.path), full, 120, forks=self.forks)
        done = Done(ended.status, ended.out.decode(), ended.err.decode())
        assert code is None or done.code == code, f"gitml {' '.join(args)} gave {done.code}\n{done.out}\n{done.err}"
        return done

    def run(
        self, *args: str, code: int | None = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """``gitml run --json``."""
        result: dict[str, Any] = self.do("run", "--json", *args, code=code, cwd=cwd, env=env).json
        return result

    def outcomes(self, *args: str, code: int | None = 0, cwd: Path | None = None) -> dict[str, str]:
        """Outcome by step of a run."""
        return {step["name"]: step["outcome"] for step in self.run(*args, code=code, cwd=cwd)["steps"]}

    def content(self, run: Mapping[str, Any], step: str, port: str) -> bytes:
        """An output's bytes, from the store."""
        digest = next(s for s in run["steps"] if s["name"] == step)["outputs"][port]["digest"]
        return self.object(digest).read_bytes()

    def object(self, digest: str) -> Path:
        """The file of a stored object."""
        name = digest.removeprefix("sha256:")
        return (
            Path(self.repo.git("rev-parse", "--path-format=absolute", "--git-common-dir").strip())
            / "gitml/objects"
            / name[:2]
            / name[2:]
        )

    def state(self) -> dict[str, str]:
        """Everything a run must leave as it is: files, index, HEAD, branches, stash."""
        import hashlib

        seen = {}
        for place, folders, names in os.walk(self.path):
            if ".git" in folders:
                folders.remove(".git")
            for name in names:
                file = Path(place) / name
                stat = file.lstat()
                seen[str(file)] = f"{stat.st_mode} {stat.st_mtime_ns} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        git = self.path / ".git"
        for name in ("index", "HEAD", "logs/HEAD", "refs/stash", "ORIG_HEAD"):
            file = git / name
            seen[name] = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "none"
        seen["branches"] = self.repo.git("for-each-ref", "refs/heads", "refs/tags", "refs/stash")
        return seen


def alive(marker: str) -> list[int]:
    """Processes whose command line holds `marker`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in line and int(name) != os.getpid():
                found.append(int(name))
    return found


def wait_until(condition: Any, seconds: float = PATIENCE) -> None:
    """Waits for a condition to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)
