"""A step executes a notebook: what it is given, makes and leaves, and when it runs again."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

from tests.system.conftest import Project

PIPELINE = """\
params: {rate: 0.5, name: "it's"}
steps:
  fit:
    notebook: nb/fit.ipynb
    params: {rate: "${{ params.rate }}", name: "${{ params.name }}"}
    code: [nb/]
    sandbox: SANDBOX
    network: none
    outputs:
      scores: metrics
      page: {type: file, path: out/page.ipynb}
"""
CELLS = [
    "import os, sys, warnings\nrate, name = 1, ''",
    "from helper import double\nimport lib.far",
    "class Thing: pass\nThing()",
    "print(name); print('beside', file=sys.stderr); print(os.path.abspath('x'))\nwarnings.warn('soon')",
    "import json\nwith open(os.environ['GITML_OUTPUT_SCORES'], 'w') as file:\n    json.dump({'rate': double(rate)}, file)",
]


def notebook(*cells: str, note: str = "", saved: bool = False) -> str:
    written: list[dict[str, Any]] = [{"cell_type": "markdown", "metadata": {}, "source": note}] if note else []
    for at, source in enumerate(cells):
        outputs = [{"output_type": "stream", "name": "stdout", "text": "old"}] if saved else []
        written.append(
            {
                "cell_type": "code", "metadata": {} if at else {"tags": ["parameters"]}, "source": source,
                "outputs": outputs, "execution_count": at if saved else None,
            }
        )  # fmt: skip
    return json.dumps({"cells": written, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})


@pytest.fixture
def notebooks(fresh: Project) -> Project:
    """A project with a notebook, and a Python on PATH that has what executes it."""
    fresh.env["PATH"] = f"{os.path.dirname(sys.executable)}:{fresh.env['PATH']}"
    fresh.write("pipelines/p.yaml", PIPELINE.replace("SANDBOX", "normal"))
    fresh.write("nb/fit.ipynb", notebook(*CELLS))
    fresh.write("nb/helper.py", "def double(value):\n    return 2 * value\n")
    fresh.write("lib/far.py", "")
    fresh.commit()
    return fresh


def decided(project: Project) -> str:
    (step,) = project.gitml("plan", "--json").data["steps"]
    return str(step.get("reason") or step.get("decision"))


@pytest.mark.slow
def test_a_notebook_is_executed_with_parameters_and_gives_the_same_bytes_each_time(notebooks: Project) -> None:
    (step,) = notebooks.run()["steps"]
    assert step["outcome"] == "executed"
    assert step["metrics"]["rate"] == 1.0
    page = notebooks.root / "page.ipynb"
    run = notebooks.gitml("log", "--json").data[0]["run"]
    notebooks.gitml("checkout", f"{run}:fit.page", str(page))
    made = json.loads(page.read_text())
    assert ["".join(cell["source"]) for cell in made["cells"]][1] == '# Parameters\nname = "it\'s"\nrate = 0.5'
    texts = json.dumps([cell["outputs"] for cell in made["cells"]])
    assert "Thing at 0x0>" in texts
    assert '["it\'s\\n", "x\\n"]' in texts
    notebooks.gitml("reproduce", run)
    logged = notebooks.gitml("logs", run, "fit").out
    assert "beside" in logged

    page.unlink()
    notebooks.write("nb/fit.ipynb", notebook(*CELLS, note="# What it is", saved=True))
    notebooks.commit()
    assert notebooks.run()["steps"][0]["outcome"] == "reused"
    planned = notebooks.gitml("plan", "-S", "rate=2").out
    assert "param rate: 0.5 -> 2" in planned

    notebooks.write("nb/fit.ipynb", notebook(*CELLS, "def f(x):\n    return 1 / x\n\nf(0)", "f(1)"))
    said = notebooks.gitml("explain", "fit", "--diff").out
    assert "code nb/fit.ipynb changed" in said
    assert '+    "def f(x):\\n",' in said
    (step,) = notebooks.run(code=1)["steps"]
    assert step["error"] == (
        "exit status 1: code cell 6 (def f(x):; return 1 / x) of nb/fit.ipynb: ZeroDivisionError: division by zero"
    )
    run = notebooks.gitml("log", "--json").data[0]["run"]
    left = notebooks.root / "left"
    notebooks.gitml("checkout", "--failed", run, str(left))
    (partly,) = left.rglob("*.ipynb")
    assert [cell["execution_count"] for cell in json.loads(partly.read_text())["cells"]][-3:] == [6, 7, None]


@pytest.mark.slow
@pytest.mark.needs_linux("a strict sandbox and a network of its own")
def test_a_notebook_needs_neither_a_network_nor_files_that_it_does_not_declare(notebooks: Project) -> None:
    notebooks.write("pipelines/p.yaml", PIPELINE.replace("SANDBOX", "strict"))
    notebooks.commit()
    (step,) = notebooks.run()["steps"]
    assert step["outcome"] == "executed"


def test_what_is_wrong_with_a_notebook_is_known_before_anything_runs(notebooks: Project) -> None:
    for text, said in (
        ("{", "the notebook is not JSON (nb/fit.ipynb)"),
        ("{}", "not a notebook: it has no list of cells (nb/fit.ipynb)"),
        (None, "notebook 'nb/fit.ipynb' is not in the commit"),
    ):
        if text is None:
            (notebooks.root / "nb/fit.ipynb").unlink()
        else:
            notebooks.write("nb/fit.ipynb", text)
        assert said in decided(notebooks), text
        checked = notebooks.gitml("check", "pipelines/p.yaml", code=None)
        assert said.removesuffix(" (nb/fit.ipynb)") in checked.out + checked.err


def test_the_code_of_a_notebook_step_is_told_with_why(notebooks: Project) -> None:
    lines = notebooks.gitml("plan", "-v").out.splitlines()
    assert [line.split("code ")[1] for line in lines if " code " in line] == [
        ".gitml/execute_notebook.py: executes the notebook",
        "lib/far.py: imported, or behind a link",
        "nb/fit.ipynb: the notebook, without what it saved",
        "nb/helper.py: under code:",
    ]


@pytest.mark.slow
def test_in_a_workdir_a_notebook_runs_in_that_folder_and_its_paths_are_as_seen_from_there(notebooks: Project) -> None:
    text = PIPELINE.replace("SANDBOX", "normal").replace("steps:\n", "workdir: ml\nsteps:\n")
    notebooks.write("pipelines/p.yaml", text.replace("    sandbox", "    inputs: {raw: ml/data/raw.txt}\n    sandbox"))
    notebooks.write("ml/data/raw.txt", "raw text\n")
    cells = [
        CELLS[0],
        "from helper import double",
        "import near\nprint(open('data/raw.txt').read(), os.environ['GITML_INPUT_RAW'])",
        *CELLS[3:],
    ]
    notebooks.write("nb/fit.ipynb", notebook(*cells))
    notebooks.write("ml/near.py", "")
    notebooks.commit()
    run = notebooks.run()
    (step,) = run["steps"]
    assert step["outcome"] == "executed"
    assert step["metrics"]["rate"] == 1.0
    log = notebooks.gitml("logs", run["run"], "fit").out
    assert "raw text\n data/raw.txt" in log
    assert "work/ml/x" in log
    assert set(step["outputs"]) == {"scores", "page"}
    assert notebooks.run()["steps"][0]["outcome"] == "reused"
    notebooks.write("nb/helper.py", "def double(value):\n    return 3 * value\n")
    assert "nb/helper.py" in decided(notebooks)
    notebooks.write("nb/helper.py", "def double(value):\n    return 2 * value\n")
    notebooks.write("ml/near.py", "a = 1\n")
    assert "ml/near.py" in decided(notebooks)
