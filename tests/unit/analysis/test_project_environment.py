"""Which environment `gitml init` writes for what a project has, and which lock it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.analysis.project_environment import project_environment
from tests.kit.memory_source import MemorySource

PACKAGE = {
    "pyproject.toml": "[project]\nname = 'mine'\nversion = '1'\n[build-system]\nrequires = ['hatchling']\n",
    "src/mine/__init__.py": "",
}
EDITABLE = '[[package]]\nname = "mine"\nversion = "1"\nsource = { editable = "." }\n'


@pytest.mark.parametrize(
    ("files", "written", "lock"),
    [
        ({"uv.lock": "", "pyproject.toml": ""}, "uv.lock", None),
        ({"uv.lock": EDITABLE, **PACKAGE}, "{uv: uv.lock, install: .}", None),
        ({"uv.lock": EDITABLE.replace("editable", "virtual"), **PACKAGE}, "uv.lock", None),
        ({"uv.lock": EDITABLE, "pyproject.toml": "["}, "uv.lock", None),
        ({"uv.lock": "package = 1\n", **PACKAGE}, "uv.lock", None),
        ({"uv.lock": ""}, "host", None),
        ({"requirements.txt": "six==1.17.0\n"}, "requirements.txt", None),
        ({"requirements.txt": "six\n"}, "host", "gitml env lock requirements.txt"),
        ({"requirements.txt": "six\n", ".venv/pyvenv.cfg": ""}, "{venv: .venv}", "gitml env lock requirements.txt"),
        ({"pyproject.toml": "", "poetry.lock": ""}, "host", "poetry export -o requirements.txt"),
        ({"Pipfile": "", "Pipfile.lock": ""}, "host", "pipenv requirements --hash > requirements.txt"),
        ({"renv.lock": ""}, "host", "name R and its packages"),
        ({"env/requirements.txt": "six==1.16.0 --hash=sha256:" + "a" * 64 + "\n"}, "env/requirements.txt", None),
        ({"env/requirements.txt": "six==1.16.0\n", "docs/requirements.txt": "a==1\n"}, "env/requirements.txt", None),
        ({"web/requirements.txt": "six==1.16.0\n"}, "host", None),
        ({"env/requirements.txt": "six==1\n", "setup.py": ""}, "host", "gitml env lock setup.py"),
        ({"env/requirements.txt": "six==1\n", ".venv/pyvenv.cfg": ""}, "{venv: .venv}", None),
        ({"env/requirements.txt": "six\n"}, "host", "gitml env lock env/requirements.txt"),
        ({"docker/environment.yml": ""}, "host", "gitml env lock docker/environment.yml"),
        ({"docs/requirements.txt": "sphinx\n"}, "host", None),
        ({"a b/requirements.txt": "six\n"}, "host", None),
        ({"README.md": ""}, "host", None),
    ],
)
def test_what_a_project_has_says_what_is_written(
    tmp_path: Path, files: dict[str, str], written: str, lock: str | None
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = project_environment(str(tmp_path), MemorySource(files))
    assert found.written == written
    assert found.lock is None if lock is None else (found.lock or "").startswith(lock)
