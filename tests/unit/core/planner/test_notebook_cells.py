"""What a notebook runs is read from its code cells, whatever saved it and with whatever else in it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gitml.core.model.action import CodeFile
from gitml.core.planner.notebook_cells import (
    CodeCell,
    canonical_notebook,
    imports_of_notebook,
    notebook_code,
    with_file,
)
from gitml.core.planner.python_imports import Import
from gitml.errors import InputError
from tests.kit.memory_source import MemorySource


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
    assert found.cells == (CodeCell("a = 1\nb = 2", ("parameters",)), CodeCell("print(a)"))
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


def canonical(raw: bytes) -> bytes:
    return canonical_notebook(notebook_code(raw, "n"), "n")


def test_saving_prose_and_the_name_of_a_python_kernel_change_nothing_of_the_canonical_notebook() -> None:
    plain = content([code("a = 1", "parameters"), code("print(a)")])
    saved = content(
        [
            {"cell_type": "markdown", "source": "# New"},
            code(["a = ", "1"], "parameters", "mine", execution_count=1, outputs=[{"output_type": "stream"}], id="x"),
            code("print(a)", execution_count=2, outputs=[{}]),
            code("\n"),
        ],
        {"kernelspec": {"name": "my-env", "display_name": "Mine", "language": "python"}, "widgets": {}},
        nbformat_minor=2,
    )
    assert canonical(saved) == canonical(plain)
    assert canonical(canonical(saved)) == canonical(saved)
    assert json.loads(canonical(plain))["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize(
    "other",
    [
        [code("print(a)"), code("a = 1", "parameters")],
        [code("a = 1"), code("print(a)")],
        [code("a = 1", "parameters"), code("print(a) ")],
        [code("a = 1", "parameters"), code("print(a)", "skip-execution")],
        [code("a = 1", "parameters"), code("print(a)", "raises-exception")],
        [code("a = 1", "parameters"), code(""), code("print(a)")],
    ],
)
def test_what_changes_the_computation_changes_the_canonical_notebook(other: list[Any]) -> None:
    assert canonical(content(other)) != canonical(content([code("a = 1", "parameters"), code("print(a)")]))


def test_a_kernel_of_another_language_counts() -> None:
    kernels = [
        {"name": "ir", "language": "R"},
        {"name": "ir2", "language": "R"},
        {"name": "ir"},
        {"name": "python3"},
        {},
    ]
    assert len({canonical(content([code("1")], {"kernelspec": kernel})) for kernel in kernels}) == 4


def test_half_a_character_is_an_error_that_names_the_notebook() -> None:
    with pytest.raises(InputError) as caught:
        canonical_notebook(notebook_code(content([code("a = '\ud800'")]), "nb/n.ipynb"), "nb/n.ipynb")
    assert (caught.value.message, caught.value.where) == ("the notebook has half a character", "nb/n.ipynb")


def test_a_folder_with_the_notebook_is_spread_out_around_it() -> None:
    source = MemorySource({"nb/a.ipynb": "1", "nb/b.py": "2", "nb/c/d.py": "3", "e/f.py": "4"})
    trees = [CodeFile(path, "40000", source.lookup(path).oid) for path in ("e", "nb")]  # type: ignore[union-attr]
    found = with_file(trees, "nb/a.ipynb", "canonical", source.children)
    assert [(file.path, file.mode) for file in found] == [
        ("e", "40000"), ("nb/a.ipynb", "100644"), ("nb/b.py", "100644"), ("nb/c", "40000"),
    ]  # fmt: skip
    assert found[1].oid == "canonical"
