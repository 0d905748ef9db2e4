"""What a short command loads: starting gitml and reusing everything must not pay for what runs steps elsewhere or draws."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = frozenset("ray textual sqlmodel sqlalchemy fastapi uvicorn git pydantic rich asyncio logging".split())

PIPELINE = """\
name: tiny
params: {greeting: hello}
inputs: {source: in.txt}
steps:
  copy:
    run: sh copy.sh ${{ inputs.source }} ${{ outputs.copied }} ${{ params.greeting }}
    outputs: {copied: file}
"""


def environment(home: Path) -> dict[str, str]:
    """The machine's, with a Git identity of the tests and nobody's settings."""
    names = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(home)}
    for who in ("AUTHOR", "COMMITTER"):
        names |= {f"GIT_{who}_NAME": "Test", f"GIT_{who}_EMAIL": "test@example.com"}
    return {**os.environ, **names}


def loaded_by(*arguments: str, cwd: Path) -> set[str]:
    """The top-level packages that `gitml ARGUMENTS` imports, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gitml", *arguments],
        cwd=cwd,
        env=environment(cwd),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    imports, said = [], []
    for line in done.stderr.splitlines():
        (imports if line.startswith("import time:") else said).append(line)
    assert done.returncode == 0, "\n".join(said)
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in imports}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A committed pipeline of one step that has run."""
    root = tmp_path / "project"
    (root / "pipelines").mkdir(parents=True)
    (root / "pipelines/tiny.yaml").write_text(PIPELINE)
    (root / "copy.sh").write_text('{ cat "$1"; echo "$3"; } > "$2"\n')
    (root / "in.txt").write_text("source\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "A pipeline"]):
        subprocess.run(["git", *command], cwd=root, env=environment(root), check=True)
    assert "gitml" in loaded_by("run", "tiny", "-q", cwd=root)
    return root


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(tmp_path: Path, option: str) -> None:
    loaded = loaded_by(option, cwd=tmp_path)
    assert "gitml" in loaded
    assert loaded & (HEAVY | {"dulwich", "yaml", "sqlite3"}) == set()


@pytest.mark.parametrize("where", [[], ["--at", "HEAD"]])
def test_a_fully_cached_run_loads_nothing_heavy(project: Path, where: list[str]) -> None:
    loaded = loaded_by("run", "tiny", "-q", *where, cwd=project)
    assert "gitml" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.slow
def test_a_cached_run_in_a_locked_environment_loads_nothing_that_reads_or_builds_locks(project: Path) -> None:
    (project / "pylock.toml").write_text('lock-version = "1.0"\ncreated-by = "t"\npackages = []\n')
    text = PIPELINE.replace("steps:", "environment: pylock.toml\nsteps:")
    (project / "pipelines/tiny.yaml").write_text(text)
    assert "packaging" in loaded_by("run", "tiny", "-q", cwd=project)
    loaded = loaded_by("run", "tiny", "-q", cwd=project)
    assert loaded & (HEAVY | {"packaging", "tomllib", "tempfile", "rattler", "uv"}) == set()
