"""The rooms of gitml and their walls: who may import whom, and what touches the world."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gitml"
REGISTRY = ROOT / "registry"

# Package -> the only modules (with all below them) that may import it, at the top of a file or inside a function.
OWNERS = {
    "click": ("gitml.cli", "gitml.__main__"),
    "dulwich": ("gitml.git",),
    "fastapi": ("gitml.service",),
    "fsspec": ("gitml.store.remote",),
    "git": ("gitml.git",),
    "gitdb": ("gitml.git",),
    "grpc": ("gitml.cluster",),
    "pydantic": ("registry", "gitml.service"),
    "rattler": ("gitml.execute.environments.conda",),
    "ray": ("gitml.cluster",),
    "rich": ("gitml.cli", "gitml.tui"),
    "semver": ("registry",),
    "sqlalchemy": ("registry",),
    "sqlmodel": ("registry",),
    "textual": ("gitml.tui",),
    "textual_plotext": ("gitml.tui",),
    "textual_serve": ("gitml.tui",),
    "urllib3": ("gitml.git", "gitml.http", "gitml.execute.environments.images.registry_process"),
    "uvicorn": ("gitml.service",),
    "yaml": ("gitml.core",),
}

# What core may import besides itself, gitml.errors and yaml: computing and notation; no files, processes, clocks or chance.
PURE = frozenset(
    """__future__ abc ast base64 binascii bisect collections configparser contextlib copy csv dataclasses decimal difflib enum fnmatch fractions functools
    graphlib hashlib heapq hmac ipaddress itertools json keyword math numbers operator posixpath re shlex stat statistics string struct
    textwrap tokenize tomllib types typing unicodedata zlib""".split()
)
# Of os, core may use what computes on strings.
PURE_OS = frozenset(
    """os.fsdecode os.fsencode os.path.basename os.path.commonpath os.path.dirname os.path.isabs os.path.join os.path.normpath
    os.path.split os.path.splitext""".split()
)
WORLDLY_CALLS = frozenset({"open", "print", "input", "exec", "eval", "breakpoint", "__import__"})


def modules(below: Path = PACKAGE) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(below.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(path.read_bytes(), str(path))


def imports(module: ast.AST) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that layers can be read off"
            if node.module == "gitml":
                yield from (f"gitml.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict on the gitml in `folder`, under this project's contracts."""
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for package in (PACKAGE, REGISTRY):
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_room_calls_only_rooms_below_it() -> None:
    verdict = lint_imports(ROOT)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("core/planted.py", "import gitml.git"),
        ("store/planted.py", "def f() -> None:\n    from gitml import execute"),
        ("history/planted.py", "from gitml import engine"),
        ("history/planted.py", "import gitml.cli"),
        ("errors.py", "import gitml.core"),
        ("nowhere.py", ""),
    ],
)
def test_a_call_upwards_or_sideways_or_a_room_without_a_layer_is_found(copied: Path, place: str, line: str) -> None:
    with open(copied / "gitml" / place, "a") as file:
        file.write(f"\n{line}\n")
    verdict = lint_imports(copied)
    assert verdict.returncode == 1, verdict.stdout + verdict.stderr
    assert Path(place).stem in verdict.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("registry/planted.py", "import gitml.core.language.spec"),
        ("registry/planted.py", "def f() -> None:\n    from gitml import workspace"),
        ("gitml/engine/planted.py", "import registry.log.events"),
        ("gitml/cli/planted.py", "from registry import Registry"),
    ],
)
def test_the_registry_knows_no_pipelines_and_only_modules_knows_it(copied: Path, place: str, line: str) -> None:
    (copied / place).write_text(line + "\n")
    verdict = lint_imports(copied)
    assert verdict.returncode == 1, verdict.stdout + verdict.stderr
    assert "planted" in verdict.stdout


def test_the_registry_uses_of_gitml_only_git_errors_and_the_layout() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, module in modules(REGISTRY)
        for imported in imports(module)
        if within(imported, "gitml")
        and not within(imported, "gitml.git")
        and imported not in ("gitml.errors", "gitml.layout", "gitml.permissions")
    ]
    assert wrong == []


def test_each_foreign_package_is_imported_by_its_owner_alone() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, module in [*modules(), *modules(REGISTRY)]
        for imported in imports(module)
        for package, owners in OWNERS.items()
        if within(imported, package) and not any(within(name, owner) for owner in owners)
    ]
    assert wrong == []


def test_core_imports_nothing_that_touches_the_world() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, module in modules(PACKAGE / "core")
        for imported in imports(module)
        if imported.split(".")[0] not in PURE | {"os", "yaml", "tomlkit"}
        and not within(imported, "gitml.core")
        and imported not in ("gitml.errors", "gitml.layout", "urllib.parse")
    ]
    assert wrong == []


def test_core_uses_of_os_only_what_computes_on_strings_and_opens_nothing() -> None:
    wrong = [f"{name}: {use}" for name, module in modules(PACKAGE / "core") for use in worldly_uses(module)]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("import os\nos.environ['HOME']", "os.environ"),
        ("import os\nos.path.exists('x')", "os.path.exists"),
        ("from os import environ", "from os import environ"),
        ("import os as o", "import os as o"),
        ("import os.path as p", "import os.path as p"),
        ("with open('x') as f: pass", "open()"),
    ],
)
def test_a_worldly_use_is_found(source: str, use: str) -> None:
    assert list(worldly_uses(ast.parse(source))) == [use]


def test_string_functions_of_os_are_allowed() -> None:
    assert list(worldly_uses(ast.parse("import os\nos.path.join('a', os.fsdecode(b'b'))"))) == []


def worldly_uses(module: ast.Module) -> Iterator[str]:
    """What a module does with os beyond strings (another name for os counts), and calls of built-ins that reach out."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "os" and alias.asname:
                    yield f"import {alias.name} as {alias.asname}"
        elif isinstance(node, ast.ImportFrom) and within(node.module or "", "os"):
            yield f"from {node.module} import {', '.join(alias.name for alias in node.names)}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORLDLY_CALLS:
            yield f"{node.func.id}()"
        elif isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            if within(dotted, "os") and dotted.count(".") <= 2 and not partly_pure(dotted):
                yield dotted


def partly_pure(dotted: str) -> bool:
    """Whether `dotted` is an allowed use of os or the beginning of one."""
    return dotted in PURE_OS or any(pure.startswith(dotted + ".") for pure in PURE_OS)
