"""A repository whose steps have environments that uv builds from wheels in a folder, without a network."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.system.conftest import Project

PIPELINE = """\
steps:
  a: {run: "python3 a.py ${{ outputs.o }}", environment: r.txt, outputs: {o: file}}
  b: {shell: sh, run: "python3 a.py ${{ outputs.o }}", environment: r.txt, outputs: {o: file}}
  c: {shell: sh, run: "echo c > ${{ outputs.o }}", outputs: {o: file}}
"""


def write_wheel(folder: Path, name: str, version: str) -> None:
    """Writes a wheel with a module that has its VERSION into `folder`."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def locked(fresh: Project, tmp_path: Path) -> Project:
    """Two steps share an environment of one package, a third uses the host."""
    wheels = tmp_path / "wheels"
    for version in ("1.0", "1.1"):
        write_wheel(wheels, "leaf", version)
    fresh.env |= {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv")}
    fresh.write("pipelines/p.yaml", PIPELINE)
    fresh.write("a.py", "import sys, leaf\nopen(sys.argv[1], 'w').write(leaf.VERSION)\n")
    fresh.write("r.txt", "leaf==1.0\n")
    fresh.commit("the project")
    return fresh
