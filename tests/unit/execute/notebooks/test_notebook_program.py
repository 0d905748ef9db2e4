"""The program that executes notebooks: what it gives them, and what it makes of what they write."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_output

from gitml.core.planner.notebook_cells import canonical_notebook, notebook_code
from gitml.execute import notebook_program
from gitml.execute.notebook_program import literal, missing, place_of, steady, tidy, with_parameters

PINNED = "7b0425e1951331878af5e661f8b8b95506190edb5e0d4290a4d3fb0c76ef48c4"


def test_its_text_is_in_the_key_of_each_step_with_a_notebook() -> None:
    """Another text makes all of them again: the changelog says so when this changes."""
    text = Path(str(notebook_program.__file__)).read_bytes()
    assert hashlib.sha256(text).hexdigest() == PINNED


@pytest.mark.parametrize(
    "value", [0, -3, 2.5, 1e300, True, None, "", "it's\n\\ \"", "$x", [1, [True, "a"]], {"a": [None]}]
)
def test_a_value_is_written_so_that_python_reads_it_back(value: Any) -> None:
    assert eval(literal(value, "python")) == value


@pytest.mark.parametrize(
    ("language", "value", "text"),
    [
        ("python", float("inf"), 'float("inf")'),
        ("r", True, "TRUE"),
        ("r", ["a", 1.5, None], 'list("a", 1.5, NULL)'),
        ("r", "a$b", '"a$b"'),
        ("julia", False, "false"),
        ("julia", "a$b", '"a\\$b"'),
        ("julia", float("-inf"), 'parse(Float64, "-inf")'),
    ],
)
def test_a_value_is_written_as_its_language_does(language: str, value: Any, text: str) -> None:
    assert literal(value, language) == text


def cells(*tags: tuple[str, ...]) -> list[Any]:
    return [new_code_cell(f"c{at}", metadata={"tags": [*of]} if of else {}) for at, of in enumerate(tags)]


@pytest.mark.parametrize(
    ("written", "sources"),
    [
        (cells((), ()), ["# Parameters\na = 1", "c0", "c1"]),
        (cells((), ("parameters",), ()), ["c0", "c1", "# Parameters\na = 1", "c2"]),
        (cells(("parameters",), ("injected-parameters",), ()), ["c0", "# Parameters\na = 1", "c2"]),
        (cells(), ["# Parameters\na = 1"]),
    ],
)
def test_parameters_come_behind_the_cell_that_is_tagged_so_else_first(written: list[Any], sources: list[str]) -> None:
    place = with_parameters(written, {"a": 1}, "python", new_code_cell)
    assert [cell.source for cell in written] == sources
    assert written[place].source == "# Parameters\na = 1"
    assert place_of(written, place, place) == "the cell with its parameters"


def test_without_parameters_no_cell_is_added() -> None:
    written = cells((), ("injected-parameters",))
    assert with_parameters(written, {}, "any", new_code_cell) == -1
    assert len(written) == 2


def test_parameters_of_a_language_that_it_can_not_write_are_refused() -> None:
    with pytest.raises(SystemExit, match="can be given to notebooks in Python, R and Julia, and this one is in scala"):
        with_parameters(cells(()), {"a": 1}, "scala", new_code_cell)


def stream(name: str, text: str) -> Any:
    return new_output("stream", name=name, text=text)


def test_when_and_in_how_many_pieces_outputs_came_changes_nothing() -> None:
    shown: Mapping[str, Any] = {"text/plain": "<A at 0x7fd2c81b2e10>", "application/vnd.jupyter.widget-view+json": {}}
    one = new_code_cell("x")
    one.outputs = [
        stream("stdout", "a"),
        stream("stderr", "w"),
        stream("stdout", "b"),
        new_output("display_data", shown),
    ]
    other = new_code_cell("x", id=one.id)
    other.outputs = [
        stream("stderr", "w"),
        stream("stdout", "ab"),
        new_output("display_data", shown),
        stream("stdout", ""),
    ]
    other.outputs.pop()
    for cell in (one, other):
        tidy(cell, "/s/work")
    assert one == other
    assert [(output.output_type, output.get("text")) for output in one.outputs] == [
        ("stream", "ab"), ("stream", "w"), ("display_data", None),
    ]  # fmt: skip
    assert one.outputs[2].data == {"text/plain": "<A at 0x0>"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/tmp/ipykernel_123/456.py:1: UserWarning: x", "ipykernel/456.py:1: UserWarning: x"),
        ("open '/s/work/data/x'", "open 'data/x'"),
        ("<f at 0x7fd2c81b2e10>, 0x7fd2c81b2e10", "<f at 0x0>, 0x7fd2c81b2e10"),
        ("look at 0x10", "look at 0x10"),
    ],
)
def test_what_is_another_each_time_is_left_out_of_texts(text: str, kept: str) -> None:
    assert steady(text, "/s/work") == kept


def test_a_cell_is_named_by_its_number_as_written_and_its_first_lines() -> None:
    written = [new_code_cell("a = 1"), new_code_cell("# Parameters"), new_code_cell("\n  f(\n  1)\n  g")]
    assert place_of(written, 2, 1) == "code cell 2 (f(; 1))"
    assert place_of(written, 2, -1) == "code cell 3 (f(; 1))"
    assert len(place_of([new_code_cell("x" * 5000)], 0, -1)) < 130


def test_what_an_environment_lacks_is_named(tmp_path: Path) -> None:
    assert missing("python") == ""
    notebook = tmp_path / "n.ipynb"
    raw = json.dumps({"cells": [{"cell_type": "code", "source": "1"}]}).encode()
    notebook.write_bytes(canonical_notebook(notebook_code(raw, "n"), "n"))
    command = [sys.executable, "-I", "-S", str(notebook_program.__file__), str(notebook), "-", "{}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "a notebook step needs nbclient and ipykernel, which are not installed:"
        " add nbclient and ipykernel to the environment of the step\n"
    )
