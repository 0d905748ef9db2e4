"""gitml's own names and places: spelt in one module, and where they lie."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml import layout

ROOT = Path(__file__).parents[2]
SPELT = re.compile(
    r"refs/gitml|\.git/gitml|gitml/(?:registries|quarantine|submitted|tmp)\b|XDG_C\w+_HOME|_?GITML_[A-Z]*|(?:^|/)\.cache\b"
)
# Text for people: help of options, and what a shell's start file is to hold.
PROSE = {"gitml/cli/options.py", "gitml/cli/commands/setup/completion.py"}


def spelt_in(source: str) -> Iterator[str]:
    """The strings of a module, docstrings apart, that name what only the layout names, or join a folder called gitml."""
    module = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            if SPELT.search(node.value):
                yield node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "join"
            and ast.unparse(node.func).endswith("path.join")
        ):
            yield from (
                ast.unparse(node) for part in node.args if isinstance(part, ast.Constant) and part.value == "gitml"
            )


def test_no_other_module_spells_them() -> None:
    wrong = [
        f"{name}: {text!r}"
        for package in ("gitml", "registry")
        for path in sorted((ROOT / package).rglob("*.py"))
        if (name := str(path.relative_to(ROOT))) not in PROSE | {"gitml/layout.py"} and "demo_project" not in name
        for text in spelt_in(path.read_text())
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "source",
    [
        "ref = 'refs/gitml/runs'",
        "ref = f'refs/gitml/{log}'",
        "path = os.path.join(location.common_dir, 'gitml', name)",
        "home = environ['XDG_CACHE_HOME']",
        "skip = environ.get('GITML_HOOKS')",
        "cache = home + '/.cache'",
    ],
)
def test_a_module_that_spells_them_is_found(source: str) -> None:
    assert list(spelt_in(source))


def test_docstrings_may_spell_them() -> None:
    assert not list(spelt_in('"""In ``.git/gitml``, see GITML_HOOKS."""\n"""And refs/gitml/runs."""'))


@pytest.mark.parametrize(
    ("environ", "cache", "settings"),
    [
        ({"HOME": "/home/ann"}, "/home/ann/.cache/gitml", "/home/ann/.config/gitml"),
        ({"HOME": "/home/ann", "XDG_CACHE_HOME": "/c", "XDG_CONFIG_HOME": "/s"}, "/c/gitml", "/s/gitml"),
        (
            {"HOME": "/home/ann", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "s"},
            "/home/ann/.cache/gitml",
            "/home/ann/.config/gitml",
        ),
    ],
)
def test_a_users_folders_are_where_xdg_has_them(environ: dict[str, str], cache: str, settings: str) -> None:
    assert (layout.cache_folder(environ), layout.settings_folder(environ)) == (cache, settings)


def test_a_user_without_a_home_has_no_settings() -> None:
    assert layout.settings_folder({}) is None
    assert layout.settings_folder({"HOME": "here"}) is None


def test_the_clone_of_a_registry_is_known_by_its_place() -> None:
    assert layout.is_registry_clone(layout.registry_clone("/repository/.git", "0123"))
    assert not layout.is_registry_clone("/repository/.git")
