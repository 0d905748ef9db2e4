"""The UI in a real terminal: keys in, the screen read."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("tmux"),
]


class Tmux:
    """A terminal of its own server."""

    def __init__(self, socket: Path, project: Project, command: str, size: tuple[int, int], term: str) -> None:
        self.words = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self.env = {name: value for name, value in project.env.items() if name not in ("TMUX", "COLORTERM", "NO_COLOR")}
        self.env["TERM"] = term
        width, height = size
        subprocess.run(
            [*self.words, "new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(project.path), command],
            env=self.env,
            check=True,
        )
        self.do("set", "-g", "default-terminal", "screen" if term == "screen" else "tmux-256color")

    def do(self, *words: str) -> str:
        return subprocess.run([*self.words, *words], env=self.env, check=True, capture_output=True, text=True).stdout

    def seen(self) -> str:
        return self.do("capture-pane", "-p")

    def until(self, text: str, seconds: float = PATIENCE) -> str:
        end = time.monotonic() + seconds
        while text not in (seen := self.seen()):
            assert time.monotonic() < end, f"{text!r} was never seen:\n{seen}"
            time.sleep(0.1)
        return seen


@pytest.fixture
def terminal(tmp_path: Path, ran: Project) -> Iterator[Tmux]:
    command = f"env TERM=screen {sys.executable} -m gitml ui runs; echo ended with $?; sleep 60"
    tmux = Tmux(tmp_path / "s", ran, command, (100, 30), "screen")
    try:
        yield tmux
    finally:
        subprocess.run([*tmux.words, "kill-server"], env=tmux.env, check=False)


def test_a_person_goes_through_the_screens_and_leaves(terminal: Tmux, ran: Project) -> None:
    seen = terminal.until("models")
    assert seen.count("✓") >= 3
    terminal.do("send-keys", "Down", "Enter")
    terminal.until("twice the gamma")
    terminal.do("send-keys", "l")
    terminal.until("preparing from")
    terminal.do("resize-window", "-x", "80", "-y", "24")
    terminal.until("outline")
    terminal.do("send-keys", "Escape")
    terminal.until("PIPELINE")
    terminal.do("send-keys", "q")
    terminal.until("ended with 0")


def test_keys_pressed_fast_are_all_heeded(terminal: Tmux, ran: Project) -> None:
    terminal.until("models")
    terminal.do("send-keys", "Down", "Down", "Up", "Space", "Home", "Space", "c")
    terminal.until("2 runs side by side")
    terminal.do("send-keys", "q")
    terminal.until("ended with 0")
