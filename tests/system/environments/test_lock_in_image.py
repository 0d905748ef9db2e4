"""A lock of Python within an image: the image's Python, what it is built for, what counts, and where it lies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.execute.environments.uv_commands import uv_program
from tests.kit.projects.project import Project, outcomes, reasons
from tests.kit.servers.image_registry import Entry, Registry, busybox, folder, image, link, needs_images, registry
from tests.kit.servers.package_index import PackageIndex, package_index, wheel

pytestmark = pytest.mark.slow
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
SKIPPED = {"test", "tests", "site-packages", "__pycache__", "idlelib", "tkinter", "ensurepip", "lib2to3", "pydoc_data"}
PIPELINE = """\
environment: {{image: "{image}", pylock: pylock.toml, python: "{python}"}}
steps:
  a:
    run: python say.py ${{{{ outputs.o }}}}
    outputs: {{o: file}}
    sandbox: {sandbox}
"""
SAY = """\
import leaf, os, platform, sys
lines = [leaf.VERSION, sys.prefix, os.path.realpath(sys.executable), open("/etc/release").read()]
try:
    open(sys.prefix + "/x", "w")
except OSError as error:
    lines.append(error.strerror)
open(sys.argv[1], "w").write("\\n".join(lines))
"""


def system_of_python() -> list[Entry]:
    """A system that has the Python of the tests at /usr/local, with what it and uv load; busybox for the rest."""
    base = Path(sys.base_prefix)
    program = base / f"bin/python{PYTHON}"
    entries = [folder("usr"), folder("usr/local"), folder("usr/local/bin"), folder("usr/local/lib")]
    entries.append(Entry(f"usr/local/bin/python{PYTHON}", program.read_bytes(), 0o755))
    entries.append(link("usr/local/bin/python3", f"python{PYTHON}"))
    standard = base / f"lib/python{PYTHON}"
    for place, folders, names in os.walk(standard):
        folders[:] = sorted(set(folders) - SKIPPED)
        below = f"usr/local/lib/python{PYTHON}" + place[len(str(standard)) :]
        entries.append(folder(below))
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file() and path.suffix in (".py", ".so", ""):
                entries.append(Entry(f"{below}/{name}", path.read_bytes(), path.stat().st_mode & 0o777))
    loaded = [program, Path(uv_program(os.environ)), *(standard / "lib-dynload").glob("*.so")]
    libraries = set()
    for one in loaded:
        said = subprocess.run(["ldd", str(one)], capture_output=True, text=True, check=False).stdout
        libraries |= set(re.findall(r"(?:=> |^\s*)(/\S+) \(0x", said, re.MULTILINE))
    made: set[str] = set()
    for library in sorted(libraries):
        # those of the Python itself are found beside its library, all others where the loader looks
        place = f"usr/local/lib/{Path(library).name}" if library.startswith(str(base)) else library.lstrip("/")
        parents = [str(parent) for parent in Path(place).parents if str(parent) != "."][::-1]
        entries += [folder(parent) for parent in parents if parent not in made and not parent.startswith("usr/local")]
        made.update(parents)
        entries.append(Entry(place, Path(library).read_bytes(), 0o755))
    return entries


@pytest.fixture(scope="module")
def system() -> list[Entry]:
    needs_images()
    return [*busybox(), *system_of_python()]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Registry]:
    with registry(tmp_path / "home") as one:
        yield one


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[PackageIndex]:
    wheel(tmp_path / "wheels", "leaf", "1.0")
    with package_index(tmp_path / "wheels") as index:
        yield index


def test_a_lock_is_installed_with_the_images_python_and_both_count(
    tmp_path: Path, system: list[Entry], served: Registry, packages: PackageIndex
) -> None:
    variables = ["PATH=/usr/local/bin:/bin", "LD_LIBRARY_PATH=/usr/local/lib"]
    first, second = (
        served.push(image([system, [Entry("etc/release", text.encode())]], variables, compress=False)) for text in "12"
    )
    project = Project(tmp_path / "r")
    project.environ.update(
        served.environ(), PATH=os.environ["PATH"], UV_DEFAULT_INDEX=packages.url, UV_CACHE_DIR=str(tmp_path / "uv")
    )

    def commit(image: str, sandbox: str = "normal", version: str = "1.0") -> None:
        path = next(packages.folder.glob(f"leaf-{version}-*"))
        said = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True).stdout.split()[0]
        text = 'lock-version = "1.0"\ncreated-by = "t"\n[[packages]]\nname = "leaf"\n' + f'version = "{version}"\n'
        text += f'wheels = [{{name = "{path.name}", url = "https://e.com/x", hashes = {{sha256 = "{said}"}}}}]\n'
        pipeline = PIPELINE.format(image=image, python=PYTHON, sandbox=sandbox)
        project.repo.commit("x", {"pylock.toml": text, "pipelines/p.yaml": pipeline, "say.py": SAY})

    commit(first)
    done = project.run()
    assert outcomes(done) == {"a": "executed"}, done.steps[0].error
    lines = project.output(done.steps[0]).decode().split("\n")
    assert lines == ["1.0", "/gitml-sandbox/env", f"/usr/local/bin/python{PYTHON}", "1", "Read-only file system"]
    assert outcomes(project.run()) == {"a": "reused"}
    assert outcomes(project.run(reuse=False)) == {"a": "executed"}
    commit(first, "strict")
    strict = project.run(force=("a",))
    assert outcomes(strict) == {"a": "executed"}, strict.steps[0].error
    wheel(packages.folder, "leaf", "1.1")
    commit(first, version="1.1")
    assert reasons(project.run()) == {"a": "package leaf: 1.0 -> 1.1"}
    commit(second, version="1.1")
    again = project.run()
    assert again.steps[0].reason.startswith("environment image: ")
    assert project.output(again.steps[0]).decode().split("\n")[3] == "2"


def test_a_lock_within_an_image_without_that_python_fails_in_one_line(
    tmp_path: Path, system: list[Entry], served: Registry, packages: PackageIndex
) -> None:
    name = served.push(image([system], ["PATH=/usr/local/bin:/bin", "LD_LIBRARY_PATH=/usr/local/lib"], compress=False))
    empty = 'lock-version = "1.0"\ncreated-by = "t"\npackages = []\n'
    pipeline = PIPELINE.format(image=name, python="3.99", sandbox="normal")
    project = Project(tmp_path / "r", {"pylock.toml": empty, "pipelines/p.yaml": pipeline, "say.py": SAY})
    project.environ.update(served.environ(), PATH=os.environ["PATH"], UV_CACHE_DIR=str(tmp_path / "uv"))
    failed = project.run()
    assert outcomes(failed) == {"a": "failed"}
    assert "uv could not make the environment" in (failed.steps[0].error or "")
    assert "3.99" in (failed.steps[0].error or "")
    left = list((tmp_path / "home/.cache/gitml/envs").glob("*"))
    assert [path.name for path in left if path.suffix not in (".lock", ".used")] == []


SPY = """\
#!/bin/sh
env > /gitml-sandbox/cache/seen
cat /gitml-sandbox/home/.netrc >> /gitml-sandbox/cache/seen
cat {home}/.netrc >> /gitml-sandbox/cache/seen
cp /bin/busybox {cache}/poison
rm -rf /gitml-sandbox/requirements.txt
echo planted > /gitml-sandbox/requirements.txt
exit 1
"""


def test_what_an_image_runs_while_its_environment_is_built_has_no_secret_of_the_user_and_no_cache_of_others(
    tmp_path: Path, system: list[Entry], served: Registry, packages: PackageIndex
) -> None:
    home, cache = tmp_path / "home", tmp_path / "uv"
    (home / ".netrc").write_text(
        "machine 127.0.0.1 login u password for-the-index\nmachine bank.example login u password for-the-bank\n"
        "default login u password for-all\n"
    )
    spy = SPY.format(home=home, cache=cache).encode()
    spies = [Entry(f"usr/local/bin/{name}", spy, 0o755) for name in ("python3", f"python{PYTHON}")]
    name = served.push(
        image([[*system, *spies]], ["PATH=/usr/local/bin:/bin", "LD_LIBRARY_PATH=/usr/local/lib"], compress=False)
    )
    empty = 'lock-version = "1.0"\ncreated-by = "t"\npackages = []\n'
    pipeline = PIPELINE.format(image=name, python=PYTHON, sandbox="strict")
    project = Project(tmp_path / "r", {"pylock.toml": empty, "pipelines/p.yaml": pipeline, "say.py": SAY})
    project.environ.update(
        served.environ(),
        PATH=os.environ["PATH"],
        UV_DEFAULT_INDEX=packages.url,
        UV_CACHE_DIR=str(cache),
        AWS_SECRET_ACCESS_KEY="for-the-cloud",
    )
    assert outcomes(project.run()) == {"a": "failed"}
    (seen,) = home.glob(".cache/gitml/images/roots/*/uv/seen")
    said = seen.read_text()
    assert "UV_DEFAULT_INDEX" in said
    assert "for-the-index" in said
    assert not any(secret in said for secret in ("for-the-bank", "for-all", "for-the-cloud")), said
    assert not (cache / "poison").exists()
