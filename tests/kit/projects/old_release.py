"""gitml 0.1.0 itself, from this repository's own history."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project

COMMIT = "4fd90a3762f45e2a990f99eaac0430134d4388aa"


def unpack_0_1_0(folder: Path) -> Path:
    """Its packages in a folder, to be put on PYTHONPATH; skips where the history is not here."""
    command = ["git", "archive", "--format=tar", COMMIT, "gitml", "registry"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"gitml 0.1.0 is not in this clone: commit {COMMIT[:12]} is missing (git fetch --unshallow)")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder)  # Git's own archive of this repository; Python 3.11.2 knows no filters
    return folder


def as_0_1_0(person: Project, packages: Path) -> Project:
    """The same person and folder, with gitml 0.1.0."""
    old = Project(person.path)
    old.env = {**person.env, "PYTHONPATH": str(packages)}
    return old
