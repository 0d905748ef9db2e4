"""A small project with a real repository, and gitml as a user starts it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_server import run_command

ROOT = Path(__file__).parents[2]

PIPELINE = """\
help: Words and how many
params:
  rate: {default: 2, min: 1, max: 9}
inputs:
  raw: data/raw.txt
steps:
  prepare:
    run: sh src/prepare.sh ${{ inputs.raw }} ${{ outputs.clean }}
    outputs: {clean: file}
  train:
    run: sh src/train.sh ${{ steps.prepare.outputs.clean }} ${{ params.rate }} ${{ outputs.model }} ${{ outputs.scores }}
    outputs:
      model: {type: file, path: models/model.txt}
      scores: metrics
"""
FILES = {
    "pipelines/words.yaml": PIPELINE,
    "src/prepare.sh": 'echo "preparing $1"\ntr a-z A-Z < "$1" > "$2"\n',
    "src/train.sh": 'echo "rate $2"\n{ cat "$1"; echo "$2"; } > "$3"\nprintf \'{"score": %s, "size": 4}\' "$2" > "$4"\n',
    "data/raw.txt": "some words\n",
}


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.err)["error"]
        return error


def environment(home: Path) -> dict[str, str]:
    names = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(home)}
    for who in ("AUTHOR", "COMMITTER"):
        names |= {f"GIT_{who}_NAME": "Test", f"GIT_{who}_EMAIL": "test@example.com"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "XDG_", "COLUMNS"))}
    return {**kept, **names, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "TERM": "xterm"}


def _text(said: bytes) -> str:
    return said.decode("utf-8", "surrogateescape")


class Project:
    """A repository at `root`."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.env = environment(home)

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.root, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def commit(self, message: str = "a change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def start(self, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gitml", *words],
            cwd=cwd or self.root, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def gitml(
        self, *words: str, code: int | None = 0, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> Answer:
        """Runs a command; its exit code must be `code` unless that is None."""
        ended = run_command(words, str(cwd or self.root), {**self.env, **(env or {})}, 90)
        answer = Answer(ended.status, _text(ended.out), _text(ended.err))
        assert code is None or answer.code == code, f"{words}: {answer.code}\n{answer.out}{answer.err}"
        return answer

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        """`gitml run --json WORDS`."""
        data: dict[str, Any] = self.gitml("run", "--json", *words, code=code).data
        return data

    def at_terminal(self, *words: str, code: int | None = 0, env: dict[str, str] | None = None) -> str:
        """What a person at a terminal sees: stdout and stderr as they come."""
        master, slave = pty.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "gitml", *words],
            cwd=self.root, env={**self.env, **(env or {})}, stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        seen = b""
        try:
            while chunk := os.read(master, 65536):
                seen += chunk
        except OSError:
            pass
        finally:
            os.close(master)
        process.wait(PATIENCE)
        assert code is None or process.returncode == code, seen.decode("utf-8", "replace")
        return seen.decode("utf-8", "replace").replace("\r\n", "\n")

    def wait_for_live(self, run: str | None = None) -> str:
        """Waits until a run is going on; its id."""
        live = self.root / ".git/gitml/live"
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = [path.parent.name for path in live.glob("*/run.json") if path.parent.name != run]
            if found:
                return found[0]
            time.sleep(0.02)
        raise AssertionError("no run began")

    def wait_for(self, path: Path) -> None:
        """Waits until a file is there."""
        end = time.monotonic() + PATIENCE
        while not path.exists():
            assert time.monotonic() < end, f"{path} does not come"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one commit that has run once."""
    home = tmp_path_factory.mktemp("template")
    root = home / "project"
    root.mkdir()
    project = Project(root, home)
    for path, text in FILES.items():
        project.write(path, text)
    project.git("init", "-q", "-b", "main")
    project.commit("Words")
    project.gitml("run")
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A project that has run once."""
    root = tmp_path / "project"
    shutil.copytree(template, root, symlinks=True)
    return Project(root, tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A repository without anything in it."""
    root = tmp_path / "fresh"
    root.mkdir()
    project = Project(root, tmp_path)
    project.git("init", "-q", "-b", "main")
    return project


@pytest.fixture
def sleeper(project: Project) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a run of a pipeline `slow` whose step says `begun` and then sleeps; ended at the end of the test."""
    project.write(
        "pipelines/slow.yaml", "steps:\n  wait:\n    run: sh src/wait.sh ${{ outputs.o }}\n    outputs: {o: file}\n"
    )
    project.write("src/wait.sh", "echo begun\nsleep 30\necho over\ntouch $1\n")
    project.commit("Add a slow pipeline")
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        started.append(project.start("run", "slow", *words))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
