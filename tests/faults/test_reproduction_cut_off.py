"""A reproduction that was cut off is not what is reproduced next."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project

pytestmark = pytest.mark.slow

# The second step lasts as long as the file is there.
PIPELINE = """\
steps:
  a: {shell: sh, run: 'echo 1 > ${{ outputs.o }}', outputs: {o: file}}
  b: {shell: sh, run: 'cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}; touch BEGUN; while [ -e HOLD ]; do sleep 0.05; done', outputs: {o: file}}
"""


def test_latest_is_the_run_that_was_to_be_reproduced(tmp_path: Path) -> None:
    hold, begun = tmp_path / "hold", tmp_path / "begun"
    text = PIPELINE.replace("HOLD", str(hold)).replace("BEGUN", str(begun))
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text})
    original = project.run()["run"]
    begun.unlink()
    hold.touch()
    process = project.start("reproduce", "latest")
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    hold.unlink()
    newest = project.do("log", "--json", "--all").json
    assert len(newest) == 2, "what was cut off is recorded too"
    again = project.do("reproduce", "latest", "--json").json
    assert (again["original"], again["identical"]) == (original, True)
    assert project.do("reproduce", "--json").json["original"] == original
