"""A repository whose steps have environments that uv builds from wheels in a folder, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.servers.package_index import wheel
from tests.system.conftest import Project

PIPELINE = """\
steps:
  a: {run: "python3 a.py ${{ outputs.o }}", environment: r.txt, outputs: {o: file}}
  b: {shell: sh, run: "python3 a.py ${{ outputs.o }}", environment: r.txt, outputs: {o: file}}
  c: {shell: sh, run: "echo c > ${{ outputs.o }}", outputs: {o: file}}
"""


@pytest.fixture
def locked(fresh: Project, tmp_path: Path) -> Project:
    """Two steps share an environment of one package, a third uses the host."""
    wheels = tmp_path / "wheels"
    for version in ("1.0", "1.1"):
        wheel(wheels, "leaf", version)
    fresh.env |= {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv")}
    fresh.write("pipelines/p.yaml", PIPELINE)
    fresh.write("a.py", "import sys, leaf\nopen(sys.argv[1], 'w').write(leaf.VERSION)\n")
    fresh.write("r.txt", "leaf==1.0\n")
    fresh.commit("the project")
    return fresh
