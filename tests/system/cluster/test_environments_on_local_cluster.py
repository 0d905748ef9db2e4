"""Environments that are found, on a Ray of this machine: the project's own package, its venv, distributions of the host by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.timeout(300)]

FILES = {
    "gitml.yaml": "targets:\n  own: {ray: local, cpus: 2}\n",
    "pyproject.toml": "[project]\nname = 'model'\nversion = '1.2'\n[project.scripts]\nmodel-run = 'model.cli:main'\n",
    "src/model/__init__.py": "K = 3\n",
    "src/model/cli.py": "import json, sys\nfrom model import K\ndef main(): json.dump({'k': K}, open(sys.argv[1], 'w'))\n",
    "src/t.py": "import json, sys, used\njson.dump({'k': used.K}, open(sys.argv[1], 'w'))\n",
    ".gitignore": ".venv\n",
    "pipelines/p.yaml": """\
steps:
  own: {environment: {venv: .venv, install: .}, run: "model-run ${{ outputs.m }}", outputs: {m: metrics}}
  venv: {environment: {venv: .venv}, run: "python src/t.py ${{ outputs.m }}", outputs: {m: metrics}}
  host: {environment: {host: [used], install: .}, run: "model-run ${{ outputs.m }}", outputs: {m: metrics}}
""",
}


def install(venv: Path, value: int) -> None:
    """A package of one module, as an installer leaves it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next(venv.glob("lib/python3*/site-packages"))
    info = site / "used-1.0.dist-info"
    info.mkdir()
    (site / "used.py").write_text(f"K = {value}\n")
    (info / "METADATA").write_text("Name: used\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"used.py,sha256={value},\n")


def test_they_are_the_same_there_as_here_and_their_results_are_shared(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", FILES)
    install(tmp_path / "venv", 1)
    install(project.path / ".venv", 2)
    project.env["PATH"] = f"{tmp_path}/venv/bin:{project.env['PATH']}"
    ran = project.run("p", "--on", "own")
    assert [(step["name"], step["outcome"], step["metrics"]) for step in ran["steps"]] == [
        ("own", "executed", {"k": 3}),
        ("venv", "executed", {"k": 2}),
        ("host", "executed", {"k": 3}),
    ]
    assert {step["outcome"] for step in project.run("p")["steps"]} == {"reused"}
