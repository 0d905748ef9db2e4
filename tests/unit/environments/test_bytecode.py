"""Compiling what packages of Python have no bytecode for."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from gitml.execute.environments.bytecode import compile_bytecode
from gitml.execute.process import StopRequests


def _compile(folder: Path) -> None:
    compile_bytecode(sys.executable, [str(folder)], {"PATH": os.defpath}, StopRequests())


def _bytecode(module: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(module)))


def test_each_module_has_bytecode_that_is_of_it(tmp_path: Path) -> None:
    modules = [tmp_path / f"p{n}/q/m{n}.py" for n in range(9)]
    for number, module in enumerate(modules):
        module.parent.mkdir(parents=True)
        module.write_text(f"x = {number}\n")
    _compile(tmp_path)
    for number, module in enumerate(modules):
        head = _bytecode(module).read_bytes()[:16]
        assert head[:4] == importlib.util.MAGIC_NUMBER
        assert head[4:8] == b"\0\0\0\0"
        assert int.from_bytes(head[8:12], "little") == int(module.stat().st_mtime)
        loaded = importlib.util.spec_from_file_location(f"m{number}", module)
        assert loaded is not None
        assert loaded.cached == str(_bytecode(module))


def test_bytecode_that_is_there_stays_and_of_another_time_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text("x = 1\n")
    (tmp_path / "changed.py").write_text("x = 1\n")
    _compile(tmp_path)
    kept, changed = _bytecode(tmp_path / "kept.py"), _bytecode(tmp_path / "changed.py")
    before = kept.stat().st_ino, changed.read_bytes()
    (tmp_path / "changed.py").write_text("x = 2\n")
    os.utime(tmp_path / "changed.py", (1_000_000_000, 1_000_000_000))
    _compile(tmp_path)
    assert kept.stat().st_ino == before[0]
    assert changed.read_bytes() != before[1]


def test_nothing_of_the_packages_runs_and_what_is_damaged_is_left(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    site = tmp_path / "site"
    site.mkdir()
    start = f"import pathlib; pathlib.Path({str(ran)!r}).touch()\n"
    for name in ("start.pth", "sitecustomize.py", "os.py", "struct.py", "py_compile.py"):
        (site / name).write_text(start)
    (site / "broken.py").write_text("x = (\n")
    (site / "binary.py").write_bytes(b"\0\xff\0")
    (site / "deep.py").write_text(f"x = {'-' * 100_000}1\n")
    (site / "nowhere.py").symlink_to("missing.py")
    (site / "good.py").write_text("x = 1\n")
    _compile(site)
    assert not ran.exists()
    assert not _bytecode(site / "broken.py").exists()
    assert _bytecode(site / "good.py").exists()


def test_a_link_in_place_of_the_bytecode_leads_nothing_elsewhere(tmp_path: Path) -> None:
    outside, site = tmp_path / "outside", tmp_path / "site"
    outside.mkdir()
    site.mkdir()
    (site / "a.py").write_text("x = 1\n")
    (site / "__pycache__").symlink_to(outside)
    inner = site / "inner"
    (inner / "__pycache__").mkdir(parents=True)
    (inner / "b.py").write_text("x = 1\n")
    (outside / "mine").write_text("mine")
    _bytecode(inner / "b.py").symlink_to(outside / "mine")
    _compile(site)
    assert sorted(os.listdir(outside)) == ["mine"]
    assert (outside / "mine").read_text() == "mine"


@pytest.mark.parametrize("sites", [[], ["missing"]])
def test_without_packages_there_is_nothing_to_do(tmp_path: Path, sites: list[str]) -> None:
    compile_bytecode(sys.executable, [f"{tmp_path}/{site}" for site in sites], {}, StopRequests())
    assert not os.listdir(tmp_path)
