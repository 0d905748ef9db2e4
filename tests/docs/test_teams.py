"""The tour of two people in docs/teams.md is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.projects.command_line import DURATION
from tests.kit.projects.repository import Repository, environment

DOCUMENT = Path(__file__).parents[2] / "docs" / "teams.md"


def pipeline() -> str:
    """The pipeline that the tour shows."""
    (block,) = re.findall(r"```yaml\n# pipelines/digits.yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(block)


def commands() -> Iterator[tuple[str, str, list[str]]]:
    """(person, command, lines that are shown) of the tour."""
    tour = DOCUMENT.read_text().partition("## A tour of two people")[2].partition("\n## ")[0]
    for block in re.findall(r"```console\n(.*?)```", tour, re.DOTALL):
        for part in re.split(r"^(?=\w+\$ )", block, flags=re.MULTILINE)[1:]:
            first, *shown = part.splitlines()
            person, _, command = first.partition("$ ")
            yield person, command, shown


def alike(text: str) -> str:
    """Without what differs from one day to the next, and what reuse saved, which isn't told of steps that took no time."""
    text = re.sub(rf" \(saved {DURATION}\)", "", text)
    return re.sub(r"\b[0-9a-f]{8}\b", "RUN", re.sub(r"\b[\d.]+(s|m|h)\b( ago)?", "TIME", text))


@pytest.mark.slow
def test_the_tour_of_two_people_is_what_happens(tmp_path: Path) -> None:
    hub = Repository(tmp_path / "team.git", bare=True)
    Repository(tmp_path / "ann").commit("begin", {"pipelines/digits.yaml": pipeline()})
    (tmp_path / "bob").mkdir()
    folders = {"ann": tmp_path / "ann", "bob": tmp_path / "bob"}
    env = {
        **environment(),
        "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    env.pop("GITML_TRUST", None)  # two people as they are
    told = ""
    for person, command, shown in commands():
        if command.startswith("cd "):
            folders[person] /= command[3:]
            continue
        line = command.replace("/srv/team.git", hub.path)
        done = subprocess.run(
            ["sh", "-c", line], cwd=folders[person], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        told = done.stdout + done.stderr
        if shown:
            assert [alike(text) for text in told.splitlines()] == [alike(text) for text in shown], command
    assert re.search(r"gamma.*0\.001.*0\.01", told), told
