"""The words and the plan of the code: what modules, classes and folders are called, and what leans on what."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gitml", "registry")
MOST_IN_A_FOLDER = 16

# Modules that may import by a name in a string: tables of commands, screens and of the registry's exports, packages of backends.
BY_STRING = {
    "gitml/cli/main.py",
    "gitml/store/remote/backends/kinds.py",
    "gitml/tui/routes.py",
    "registry/__init__.py",
}


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "demo_project" not in path.parts:
                yield path.relative_to(ROOT)


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes())


def test_a_public_class_has_its_name_to_itself() -> None:
    places = defaultdict(list)
    for path in sources():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_modules_are_nouns_or_the_verb_of_a_command() -> None:
    gerunds = [str(path) for path in sources() if re.search(r"ing\Z", path.stem) and path.stem not in ("string",)]
    assert gerunds == []


@pytest.mark.parametrize("top", [*PACKAGES, "tests"])
def test_no_folder_holds_more_than_one_can_read(top: str) -> None:
    counts: dict[str, int] = defaultdict(int)
    for path in (ROOT / top).rglob("*.py"):
        counts[str(path.parent.relative_to(ROOT))] += 1
    assert {folder: count for folder, count in counts.items() if count > MOST_IN_A_FOLDER} == {}


def test_no_module_is_imported_by_a_name_in_a_string_but_from_tables() -> None:
    wrong = []
    for path in sources():
        for node in ast.walk(parsed(path)):
            named = isinstance(node, ast.Constant) and isinstance(node.value, str)
            text = node.value if named else ""
            if str(path) not in BY_STRING and re.fullmatch(r"(gitml|registry)(\.\w+)+:\w+", text):
                wrong.append(f"{path}:{node.lineno} {text}")
            calls = isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
            called = "" if not calls else getattr(node.func, "id", "") or getattr(node.func, "attr", "")
            if str(path) not in BY_STRING and called.endswith("import_module"):
                wrong.append(f"{path}:{node.lineno} {ast.unparse(node)}")
    assert wrong == []


def test_no_files_import_one_another_in_a_cycle() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    edges = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    assert cycles(edges) == []


def test_a_cycle_is_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


def test_a_package_defines_its_words() -> None:
    bare = [
        str(path)
        for path in sources()
        if path.name == "__init__.py" and len((ast.get_docstring(parsed(path)) or "").split()) < 5
    ]
    assert bare == []


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []
    for root in sorted(edges):
        if root in index:
            continue
        work = [(root, iter(sorted(edges[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            node, others = work[-1]
            for other in others:
                if other not in edges:
                    continue
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    work.append((other, iter(sorted(edges[other]))))
                    break
                if other in stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = []
                    while not component or component[-1] != node:
                        component.append(stack.pop())
                    if len(component) > 1:
                        found.append(sorted(component))
    return found
