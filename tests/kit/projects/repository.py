"""A small real Git repository for tests: fixed identity and dates, nothing of the user's configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

DATE = 1_700_000_000
GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
    # Nothing may go on in the background after a test.
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "gc.auto",
    "GIT_CONFIG_VALUE_0": "0",
    "GIT_CONFIG_KEY_1": "maintenance.auto",
    "GIT_CONFIG_VALUE_1": "false",
}


class Repository:
    """A repository in `path`, made there unless it exists. Commits are a minute apart, so their ids are always the same."""

    def __init__(self, path: str | os.PathLike[str], *, object_format: str = "sha1", bare: bool = False) -> None:
        self.path = os.fspath(path)
        self._commits = 0
        if not os.path.exists(os.path.join(self.path, "HEAD" if bare else ".git")):
            os.makedirs(self.path, exist_ok=True)
            kind = ["--bare"] if bare else []
            self.git("init", "-q", "--initial-branch=main", f"--object-format={object_format}", *kind)

    def file(self, name: str) -> str:
        """The full path of `name`."""
        return os.path.join(self.path, name)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Writes files below the root, with their folders."""
        for name, content in files.items():
            path = self.file(name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str = "change", files: Mapping[str, str | bytes] | None = None) -> str:
        """Commits all there is, after writing `files`; the commit's id."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message, env=self._dates())
        return self.git("rev-parse", "HEAD")

    def commit_many(self, message: str, files: Mapping[str, str]) -> str:
        """Commits so many files that ``git add`` would take long: beside those of HEAD, into one pack and the work tree."""
        parts = [
            f"commit refs/heads/main\ncommitter Ada <ada@example.org> {DATE} +0000\ndata {len(message)}\n{message}\n"
        ]
        if self.git("for-each-ref", "refs/heads/main"):
            parts.append("from refs/heads/main^0\n")
        parts += [f"M 100644 inline {name}\ndata {len(text)}\n{text}\n" for name, text in files.items()]
        self.git("fast-import", "--quiet", input="".join(parts).encode())
        self.git("reset", "-q", "--hard")
        return self.git("rev-parse", "HEAD")

    def git(self, *args: str, env: Mapping[str, str] | None = None, input: bytes | None = None) -> str:
        """What ``git ARGS`` prints, without the end of its last line; CalledProcessError with its stderr when it fails."""
        return os.fsdecode(self.git_bytes(*args, env=env, input=input)).rstrip("\n")

    def git_bytes(self, *args: str, env: Mapping[str, str] | None = None, input: bytes | None = None) -> bytes:
        """What ``git ARGS`` prints."""
        full = {**environment(), **(env or {})}
        done = subprocess.run(["git", *args], cwd=self.path, env=full, input=input, capture_output=True, check=False)
        if done.returncode:
            raise AssertionError(f"git {' '.join(args)}: {done.stderr.decode('utf-8', 'replace')}")
        return done.stdout

    def _dates(self) -> dict[str, str]:
        self._commits += 1
        date = f"{DATE + 60 * self._commits} +0000"
        return {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}


def environment() -> dict[str, str]:
    """The environment for git and gitml in tests: the machine's without anything that concerns Git, and fixed identities.

    ``python3`` is the one that the tests' own environment was made of, not a script that looks for one each time.
    """
    path = os.environ["PATH"]
    python = os.path.dirname(os.path.realpath(sys.executable))
    if python not in path.split(":"):
        path = f"{python}:{path}"
    return {**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, **GIT_ENVIRONMENT, "PATH": path}


def isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives this process the environment of `environment`, for gitml code that runs inside the test."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
