"""`gitml run --watch`: what changed runs, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.system.conftest import PIPELINE, Project


class Watch:
    """A command that goes on, and what it says."""

    def __init__(self, project: Project, *words: str) -> None:
        self.process = project.start("run", "--watch", *words)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def wait_for(self, text: str, after: int = 0) -> int:
        """Waits for a line with `text` behind the first `after`; how many lines there are up to it."""
        end = time.monotonic() + PATIENCE
        while True:
            for number, line in enumerate(self.lines[after:], after + 1):
                if text in line:
                    return number
            assert time.monotonic() < end, "".join(self.lines)
            assert self.process.poll() is None, "".join(self.lines)
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@pytest.fixture
def watches() -> Iterator[list[Watch]]:
    started: list[Watch] = []
    yield started
    for watch in started:
        if watch.process.poll() is None:
            watch.process.kill()
            watch.process.wait()


def runs(project: Project) -> int:
    return len(project.gitml("log", "--json").data)


def test_what_changed_runs_and_what_is_reused_records_nothing(project: Project, watches: list[Watch]) -> None:
    watches.append(watch := Watch(project, "--checkout"))
    at = watch.wait_for("waiting for changes")
    assert "nothing to run: 2 steps reused\n" in watch.lines
    assert runs(project) == 1
    model = project.root / "models/model.txt"
    assert model.read_text() == "SOME WORDS\n2\n", "what is reused is checked out as well"
    project.write("data/raw.txt", "other words\n")
    at = watch.wait_for("waiting for changes", at)
    assert model.read_text() == "OTHER WORDS\n2\n"
    assert runs(project) == 2
    project.write("notes.txt", "used by no step\n")
    project.write("pipelines/words.yaml", PIPELINE.replace("params.rate", "params.raet"))
    at = watch.wait_for("gitml: pipelines/words.yaml:11:61: ", at)
    at = watch.wait_for("waiting for changes", at)
    project.write("pipelines/words.yaml", PIPELINE.replace("default: 2", "default: 3"))
    at = watch.wait_for("waiting for changes", at)
    assert model.read_text() == "OTHER WORDS\n3\n"
    project.write("src/train.sh", "exit 3\n")
    at = watch.wait_for("exit status 3", at)
    at = watch.wait_for("waiting for changes", at)
    (project.root / "data/raw.txt").unlink()
    at = watch.wait_for("gitml: step", at)
    at = watch.wait_for("waiting for changes", at)
    project.write("data/raw.txt", "some words\n")
    project.git("checkout", "-q", "--", "src", "pipelines")
    watch.wait_for("waiting for changes", at)
    assert model.read_text() == "SOME WORDS\n2\n"
    assert watch.stop() == 130
    assert [row["status"] for row in project.gitml("log", "--json").data] == [
        "failed",
        "succeeded",
        "succeeded",
        "succeeded",
    ]


def test_a_change_during_a_run_is_run_after_it(project: Project, watches: list[Watch], tmp_path: Path) -> None:
    go, begun = tmp_path / "go", tmp_path / "begun"
    project.write(
        "pipelines/gate.yaml",
        "inputs: {x: data/raw.txt}\nsteps:\n  a: {run: 'sh src/gate.sh ${{ inputs.x }}', env: {T: null}}\n",
    )
    project.write("src/gate.sh", 'touch $T/begun; while [ ! -e $T/go ]; do sleep 0.02; done; cat "$1"\n')
    project.env["T"] = str(tmp_path)
    watches.append(watch := Watch(project, "gate"))
    project.wait_for(begun)
    project.write("data/raw.txt", "later\n")
    go.touch()
    at = watch.wait_for("data/raw.txt changed meanwhile; again")
    watch.wait_for("waiting for changes", at)
    assert project.gitml("logs", "latest").out == "later\n"
    assert runs(project) == 3
    go.unlink()
    begun.unlink()
    project.write("data/raw.txt", "last\n")
    project.wait_for(begun)
    assert watch.stop() == 130
    assert project.gitml("log", "--json").data[0]["status"] == "cancelled"


def test_it_is_for_the_work_tree(project: Project) -> None:
    for words in (["-n"], ["--detach"], ["--at", "HEAD"]):
        answer = project.gitml("run", "--watch", *words, code=2)
        assert answer.err == f"gitml: it runs the files as they change, without {words[0]} (--watch)\n"


def test_files_that_the_pipeline_file_names_are_watched(project: Project, watches: list[Watch]) -> None:
    spec = (
        "extends: base/common.yaml\nparams: {from: params.yaml}\nsteps: {a: {run: 'echo ${{ params.x }}', shell: sh}}\n"
    )
    project.write("pipelines/named.yaml", spec)
    project.write("base/common.yaml", "env: {A: one}\n")
    project.write("params.yaml", "x: 1\n")
    watches.append(watch := Watch(project, "named"))
    at = watch.wait_for("waiting for changes")
    project.write("params.yaml", "x: 2\n")
    at = watch.wait_for("param x: 1 -> 2", at)
    at = watch.wait_for("waiting for changes", at)
    project.write("base/common.yaml", "env: {A: two}\n")
    watch.wait_for("env A: one -> two", at)
    assert watch.stop() == 130
