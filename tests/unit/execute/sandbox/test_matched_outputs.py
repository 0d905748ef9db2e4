"""What matches the patterns of outputs, put where outputs are taken from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitml.core.model.action import ActionOutput
from gitml.errors import InputError
from gitml.execute.sandbox.matched_outputs import place_matches


def output(name: str, kind: str, *patterns: str) -> ActionOutput:
    return ActionOutput(name, f".gitml/out/{name}", kind, (("pattern", patterns),))


def made(work: Path, *paths: str) -> None:
    for path in paths:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(path)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def test_links_are_followed_before_what_they_lead_to_is_moved_and_nothing_is_left(tmp_path: Path) -> None:
    made(tmp_path, "logs/a.bin", "logs/deep/z.bin")
    for name, target in (("b", "a.bin"), ("c", "b"), ("d", "deep")):
        (tmp_path / "logs" / name).symlink_to(target)
    place_matches([output("o", "directory", "logs")], str(tmp_path), lambda path: False)
    out = tmp_path / ".gitml/out/o"
    assert files(out) == ["logs/a.bin", "logs/b", "logs/c", "logs/d/z.bin", "logs/deep/z.bin"]
    assert (out / "logs/c").read_text() == "logs/a.bin"
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert os.listdir(tmp_path) == [".gitml"]


def test_what_several_outputs_match_and_what_lies_in_another_output_is_in_each(tmp_path: Path) -> None:
    made(tmp_path, "plots/x.csv", "other/y.csv")
    plots = ActionOutput("plots", "plots", "directory")
    many = [plots, output("all", "directory", "**/*.csv"), output("one", "file", "other/*")]
    place_matches(many, str(tmp_path), lambda path: False)
    assert files(tmp_path / ".gitml/out/all") == ["other/y.csv", "plots/x.csv"]
    assert (tmp_path / ".gitml/out/one").read_text() == "other/y.csv"
    assert files(tmp_path / "plots") == ["x.csv"]
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("target", "where"), [("/etc/passwd", "out of the sandbox"), ("../..", "out of the sandbox"), ("none", "nowhere")]
)
def test_a_link_that_leads_out_or_nowhere_is_no_output(tmp_path: Path, target: str, where: str) -> None:
    (tmp_path / "x.bin").symlink_to(target)
    with pytest.raises(InputError, match=f"x.bin is a link that leads {where}"):
        place_matches([output("o", "directory", "*.bin")], str(tmp_path), lambda path: False)
