"""What a notebook runs is read from its code cells, whatever saved it and with whatever else in it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gitml.core.planner.notebook_cells import CodeCell, imports_of_notebook, notebook_code
from gitml.core.planner.python_imports import Import
from gitml.errors import InputError


def content(cells: list[Any], metadata: Any = None, **more: Any) -> bytes:
    return json.dumps({"cells": cells, "metadata": metadata or {}, "nbformat": 4, **more}).encode()


def code(source: Any, *tags: str, **more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {"tags": [*tags]}, "source": source, **more}


def test_code_cells_count_in_order_and_nothing_else_does() -> None:
    cells = [
        {"cell_type": "markdown", "source": "# Title"},
        code(["a = 1\n", "b = 2"], "parameters", "other", outputs=[{"data": "x"}], execution_count=3, id="ab"),
        {"cell_type": "raw", "source": "raw"},
        code("print(a)"),
        "no cell",
    ]
    kernel = {"kernelspec": {"name": "python3", "language": "python"}, "language_info": {"name": "python"}}
    found = notebook_code(content(cells, kernel), "n.ipynb")
    assert found.cells == (CodeCell("a = 1\nb = 2", parameters=True), CodeCell("print(a)"))
    assert (found.kernel, found.language) == ("python3", "python")


def test_the_older_format_is_read_too() -> None:
    cell = {"cell_type": "code", "input": ["import a"], "language": "python"}
    older = {"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": [cell]}, {"cells": [cell]}]}
    assert notebook_code(json.dumps(older).encode(), "n").cells == (CodeCell("import a"),) * 2


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the notebook is not JSON"),
        (b"\xff", "the notebook is not JSON"),
        (b"[" * 100_000, "the notebook is not JSON"),
        (b"{}", "not a notebook: it has no list of cells"),
        (b"3", "not a notebook: it has no list of cells"),
        (b'{"worksheets": 3}', "not a notebook: it has no list of cells"),
        (content([code(3)]), "cell 1 of the notebook has no text"),
        (content([code("a"), code(["a", 3])]), "cell 2 of the notebook has no text"),
        (content([0] * 100_001), "the notebook has more than 100,000 cells"),
    ],
)
def test_what_is_no_notebook_is_an_error_that_names_it(raw: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        notebook_code(raw, "nb/n.ipynb")
    assert (caught.value.message, caught.value.where) == (message, "nb/n.ipynb")
    assert caught.value.hint
    assert imports_of_notebook(raw) == []


def test_a_notebook_with_a_conflict_of_git_is_said_to_have_one() -> None:
    with pytest.raises(InputError) as caught:
        notebook_code(b'{"cells": [\n<<<<<<< HEAD\n]}', "n")
    assert caught.value.hint == "resolve the conflict in it"


@pytest.mark.parametrize(
    ("cell", "modules"),
    [
        ("import a", ["a"]),
        ("%load_ext autoreload\n%autoreload 2\nimport a", ["a"]),
        ("!pip install a\nimport b", ["b"]),
        ("files = !ls\nimport b", ["b"]),
        ("t = %timeit -o f()\nimport b", ["b"]),
        ("if x:\n    %matplotlib inline\nimport b", ["b"]),
        ("a?\nf.b??\n?a\nimport b", ["b"]),
        ("%%time\nimport a", ["a"]),
        ("\n%%bash\nimport a", []),
        ("%%writefile b.py\nimport a", []),
        ("await f()\nimport a", ["a"]),
        ("def (:\nimport a", []),
        ('s = """\n%d\n!x\n"""\nimport a', ["a"]),
        ("x = (1\n  % 2)\nimport a", ["a"]),
    ],
)
def test_what_only_ipython_understands_is_skipped(cell: str, modules: list[str]) -> None:
    assert imports_of_notebook(content([code(cell)])) == [Import(0, name, ()) for name in modules]


@pytest.mark.parametrize(
    ("metadata", "count"),
    [
        ({"kernelspec": {"language": "R"}}, 0),
        ({"language_info": {"name": "julia"}}, 0),
        ({"kernelspec": {"language": "Python"}}, 1),
        ({"kernelspec": 3}, 1),
    ],
)
def test_imports_are_those_of_python(metadata: Any, count: int) -> None:
    assert len(imports_of_notebook(content([code("import a")], metadata))) == count


@pytest.mark.parametrize("piece", [" ", "\t= ", "a ", "a=", "a.", "?", "%", "\n"])
def test_hostile_cells_take_no_time(piece: str) -> None:
    raw = content([code("import a\n" + piece * 200_000 + "(")])
    begun = time.process_time()
    imports_of_notebook(raw)
    assert time.process_time() - begun < 2
