"""examples/modules: its modules are right, its pipelines fit them, and the registry's part of its README does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitml.core.language.expand import build_graph
from gitml.core.language.module_expansion import with_modules
from gitml.core.language.params import bind_params
from gitml.core.language.parse import parse_pipeline
from gitml.core.language.spec import ResolvedModule
from gitml.modules.folder import check_folder

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/modules"


def env() -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITML_"))},
        "PYTHONPATH": str(ROOT),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }


def do(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(line)
    if words[0] == "gitml":
        words = [sys.executable, "-m", *words]
    return subprocess.run(words, cwd=folder, env=env(), capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("pipeline", ["wines", "irises"])
def test_the_pipelines_fit_the_modules(pipeline: str) -> None:
    path = EXAMPLE / f"pipelines/{pipeline}.yaml"
    parsed = parse_pipeline(path.read_bytes(), f"pipelines/{pipeline}.yaml")
    uses = {step.use.module for step in parsed.steps.values() if step.use}
    specs = {use: check_folder(str(EXAMPLE / "modules" / use.partition("@")[0])) for use in uses}
    whole = with_modules(parsed, specs)
    resolved = {use: ResolvedModule("1" * 40, spec) for use, spec in specs.items()}
    graph = build_graph(whole, bind_params(parsed.params, ()), resolved)
    assert list(graph.steps) == ["split", "classify"]
    assert graph.steps["classify"].parents == ("split",)


@pytest.mark.slow
def test_the_readme_s_commands_about_modules_do_what_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    shutil.copytree(EXAMPLE, folder)
    lines = re.findall(r"^\$ (.+)$", (EXAMPLE / "README.md").read_text(), re.M)
    said = {}
    for line in lines[2:]:
        done = do(folder, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said[line] = done
    tried = next(done for line, done in said.items() if line.startswith("gitml module run modules/nearest"))
    assert "38 of 53 right" in tried.stderr
    assert json.loads(do(folder, "gitml module resolve nearest@^1 --json").stdout)["version"] == "1.1.0"
    wines = [done.stderr for line, done in said.items() if line.startswith("gitml run wines")]
    assert "0.9623" in wines[-1]
    assert do(folder, "gitml run irises").returncode == 2
    assert do(folder, "gitml run irises --allow-disabled").returncode == 0
    refused = do(folder, "gitml module resolve nearest@1.0.0")
    assert refused.returncode == 2
    assert "nearest 1.0.0 is disabled: does not scale its columns" in refused.stderr
    then = json.loads(do(folder, "gitml module resolve nearest@1.0.0 --as-of ~1 --json").stdout)
    assert then["warnings"] == ["nearest 1.0.0 is deprecated: does not scale its columns; use nearest@1.1.0"]
