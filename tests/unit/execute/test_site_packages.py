"""What is installed counts by content: packages by RECORD or by their files, loose modules, links, folders of .pth files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gitml.cluster.environment_probe import environment_difference
from gitml.core.model.action import Action
from gitml.core.model.digest import digest_of
from gitml.core.planner.explain import changes_between
from gitml.execute.environments.interpreters import Packages, PythonInterpreter, packages_of, place_in
from tests.kit.execution import MemoryFacts


class Place:
    """A site folder without a Python."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.site = path / "env/lib/python3.11/site-packages"
        self.site.mkdir(parents=True)
        self.facts = MemoryFacts()
        self.write("tool/__init__.py", "K = 1\n")
        self.record("tool", "1.0", {"tool/__init__.py": "sha256=one"})

    def write(self, name: str, content: str) -> Path:
        file = self.site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def record(self, name: str, version: str, files: Mapping[str, str] | None, **info: str) -> None:
        folder = f"{name}-{version}.dist-info"
        self.write(f"{folder}/METADATA", f"Name: {name}\nVersion: {version}\n")
        for part, content in info.items():
            self.write(f"{folder}/{part.replace('_json', '.json').replace('_txt', '.txt')}", content)
        if files is not None:
            rows = {**files, f"{folder}/METADATA": "sha256=meta", f"{folder}/RECORD": ""}
            self.write(f"{folder}/RECORD", "".join(f"{file},{content},\n" for file, content in rows.items()))

    def look(self, tops: tuple[str, ...] = ()) -> Packages:
        prefix = str(self.path / "env")
        python = PythonInterpreter(f"{prefix}/bin/python", "CPython", "3.11.7", prefix, (str(self.site),), ())
        return packages_of(python, self.facts, tops)._replace(sites=())  # how each was when it was looked at

    def changes(self, change: Callable[[], Any]) -> list[str]:
        """What `explain` says of a change."""
        before = self.look()
        change()
        after = self.look()
        digests = digest_of(b"before"), digest_of(b"after")
        actions = [Action(("t",), None, (), (), (), (), (), digest) for digest in digests]
        pairs = zip(digests, (before, after), strict=True)
        told = {digest: {"distributions": found.distributions, "contents": found.contents} for digest, found in pairs}
        return [str(change) for change in changes_between(*actions, told)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


OTHER = "other files under the same name and version"


def test_a_package_counts_by_the_hashes_of_its_record(place: Place) -> None:
    files = {"tool/__init__.py": "sha256=two"}
    assert place.changes(lambda: place.record("tool", "1.0", files)) == [f"package tool 1.0: {OTHER}"]
    assert place.changes(lambda: place.record("tool", "1.0", files)) == []


def test_how_and_where_a_package_was_installed_does_not_count(place: Place) -> None:
    first = place.look()
    script = place.path / "env/bin/tool"
    script.parent.mkdir()
    script.write_text("#!/elsewhere/bin/python\nimport tool\n")
    more = {
        "tool-1.0.dist-info/INSTALLER": "sha256=pip",
        "tool-1.0.dist-info/direct_url.json": "sha256=u",
        "tool/__pycache__/__init__.cpython-311.pyc": "",
        "../../../bin/command": "sha256=anywhere",
        "tool/__init__.py": "sha256=one",
    }
    entry_points = "[console_scripts]\ncommand = tool:main\n"
    place.record("tool", "1.0", more, INSTALLER="pip", entry_points_txt=entry_points)
    assert place.look() == first
    with_script = {**more, "../../../bin/tool": "sha256=of-here"}
    place.record("tool", "1.0", with_script)
    second = place.look()
    assert second.contents != first.contents
    script.write_text("#!/of/another/environment/python\nimport tool\n")
    place.record("tool", "1.0", {**with_script, "../../../bin/tool": "sha256=of-there"})
    assert place.look() == second


def test_a_package_from_a_commit_is_told_by_its_commit_and_counts_by_its_files_where_it_has_no_record(
    place: Place,
) -> None:
    def install(commit: str, content: str) -> None:
        url = {"url": "https://example.com/x.git", "vcs_info": {"vcs": "git", "commit_id": commit * 40}}
        place.record("other", "2", None, direct_url_json=json.dumps(url))
        place.write("other/a.py", content)

    install("1", "x = 1\n")
    assert place.changes(lambda: install("2", "x = 2\n")) == ["package other: commit 1111111 -> 2222222"]
    assert place.changes(lambda: install("2", "x = 3\n")) == [f"package other 2: {OTHER}"]
    assert place.changes(lambda: place.write("other/__pycache__/a.cpython-311.pyc", "")) == []


def test_loose_modules_pth_files_and_links_count_by_content(place: Place) -> None:
    elsewhere = place.path / "elsewhere"
    (elsewhere / "linked").mkdir(parents=True)
    (elsewhere / "linked/m.py").write_text("m = 1\n")
    place.write("loose.py", "a = 1\n")
    assert place.changes(lambda: place.write("loose.py", "a = 2\n")) == [f"package loose.py: {OTHER}"]
    assert place.changes(lambda: place.write("hook.pth", "import loose\n"))[0].startswith("package hook.pth added: ")
    assert place.changes(lambda: place.write("hook.pth", "import tool\n")) == [f"package hook.pth: {OTHER}"]
    (place.site / "linked").symlink_to(elsewhere / "linked")
    assert list(place.look().outside) == [str(elsewhere / "linked")]
    edit = (elsewhere / "linked/m.py").write_text
    assert place.changes(lambda: edit("m = 22\n")) == ["package linked (editable): 1 file changed"]


def test_a_link_that_an_installer_made_counts_by_its_record_unless_it_leads_into_this_repository(place: Place) -> None:
    cache = place.path / "cache"
    cache.mkdir()
    (cache / "six.py").write_text("six = 6\n")
    (place.site / "six.py").symlink_to(cache / "six.py")
    place.record("six", "1.16.0", {"six.py": "sha256=six"})
    found = place.look()
    assert (found.outside, sorted(found.contents)) == ((), ["six 1.16.0", "tool 1.0"])
    assert place.look(tops=(str(cache),)).links == (("six", "six.py"),)


def test_a_folder_of_a_pth_file_counts_by_the_files_of_it_that_python_may_read(place: Place) -> None:
    src = place.path / "elsewhere/src"
    (src / "pkg").mkdir(parents=True)
    (src / "data").mkdir()
    (src / "pkg/a.py").write_text("a = 1\n")
    (src / "pkg/table.csv").write_text("1\n")
    (src / "data/huge.bin").write_text("1\n")
    place.write("src.pth", f"{src}\n")

    def edit(name: str, content: str) -> Callable[[], object]:
        return lambda: (src / name).write_text(content)

    told = ["package src (editable): 1 file changed"]
    assert place.changes(edit("pkg/a.py", "a = 22\n")) == told
    assert place.changes(edit("pkg/table.csv", "22\n")) == told
    assert place.changes(edit("pkg/b.py", "b = 1\n")) == told
    assert place.changes(edit("data/huge.bin", "22\n")) == []


def test_what_conda_installed_counts_by_its_own_records(place: Place) -> None:
    meta = place.path / "env/conda-meta"
    meta.mkdir()
    (meta / "libblas-3.9.0-1_mkl.json").write_text(
        json.dumps({"name": "libblas", "version": "3.9.0", "build": "mkl", "md5": "a"})
    )
    assert place.look().distributions == ("conda:libblas 3.9.0 mkl", "tool 1.0")

    def update() -> None:
        (meta / "libblas-3.9.0-1_mkl.json").unlink()
        (meta / "libblas-3.9.0-1_open.json").write_text(
            json.dumps({"name": "libblas", "version": "3.9.0", "build": "open"})
        )

    assert place.changes(update)[0] == "package conda:libblas: 3.9.0 mkl -> 3.9.0 open"


def test_the_steady_state_reads_no_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("loose.py", "a = 1\n")
    place.write("other.pth", f"{place.path}\n")
    later = time.time_ns() + 10**10  # the times of what was just written are past the clock's grain
    monkeypatch.setattr(time, "time_ns", lambda: later)
    first = place.look()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file is read")

    monkeypatch.setattr("builtins.open", refuse)
    assert place.look() == first


def test_a_place_in_this_repository_is_none_in_an_environment_or_another_repository_within_it(tmp_path: Path) -> None:
    top = str(tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path / "vendor/x")], check=True)
    inner = [f"{top}/.venv", f"{top}/.venv/lib/site-packages", sys.prefix]
    assert place_in(f"{top}/src/pkg", [top], inner) == "src/pkg"
    assert place_in(top, [top], inner) == "."
    assert place_in(f"{top}/src", [f"{top}/src", top], inner) == "."
    for other in ("/elsewhere", f"{top}x", f"{top}/.venv/src/x", f"{top}/vendor/x/src", f"{top}/.git/x"):
        assert place_in(other, [top], inner) is None


def test_a_machine_with_other_files_under_the_same_versions_is_told_so() -> None:
    here, wanted = ({"distributions": ["a 1"], "contents": {"a 1": content}} for content in ("x", "y"))
    assert environment_difference(here, wanted).endswith(": it has other files of a 1")
    assert environment_difference({**here, "repository": {}}, here).endswith(
        ": it has another editable install of this repository"
    )


def test_a_pth_file_that_joins_another_environment_brings_its_packages_by_their_records(place: Place) -> None:
    other = Place(place.path / "other")
    other.record("more", "3", {"more/__init__.py": "sha256=one"})
    place.write("join.pth", f"{other.site}\n")
    found = place.look()
    assert found.distributions == ("more 3", "tool 1.0")
    assert found.outside == (str(other.site),)
    files = {"more/__init__.py": "sha256=two"}
    assert place.changes(lambda: other.record("more", "3", files)) == [f"package more 3: {OTHER}"]
    assert place.look(tops=(str(place.path),)).repository == (("", "other/env/lib/python3.11/site-packages"),)
