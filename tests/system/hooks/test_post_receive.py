"""A bare repository that runs what is pushed to it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import alive, wait_until
from tests.kit.projects.project_with_hooks import PIPELINE, ProjectWithHooks

SLOW = """\
steps:
  wait:
    run: sh src/wait.sh ${{ outputs.o }}
    outputs: {o: file}
"""


def until_there(gate: Path) -> str:
    """A step's script that ends once the file `gate` is there."""
    return f'until [ -e {gate} ]; do sleep 0.05; done\ntouch "$1"\n'


class Server:
    """A bare repository, and gitml on it."""

    def __init__(self, project: ProjectWithHooks, path: Path) -> None:
        self.project = project
        self.path = path
        project.git("init", "-q", "--bare", "--initial-branch=main", str(path))

    def install(self, *args: str) -> str:
        return self.project.do("hooks", "install", *args, cwd=self.path).out

    def log(self, *args: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = self.project.do("log", "--json", *args, cwd=self.path).json
        return rows

    def queue(self) -> list[dict[str, str]]:
        waiting: list[dict[str, str]] = self.project.do("hooks", "status", "--json", cwd=self.path).json["queue"]
        return waiting

    def rest(self, runs: int) -> list[dict[str, object]]:
        """Waits until so many runs are recorded and nothing waits; the runs, oldest first."""
        wait_until(lambda: len(self.log()) == runs and not self.queue())
        return self.log()[::-1]


def workers(path: Path) -> list[int]:
    """The processes that work the queue of the repository at `path` off, with those that they started."""
    found = []
    for pid in alive("--work-off"):
        with suppress(OSError):  # it ended just now
            if os.readlink(f"/proc/{pid}/cwd") == str(path):
                found.append(pid)
    return found


@pytest.fixture
def server(project: ProjectWithHooks, tmp_path: Path) -> Iterator[Server]:
    path = tmp_path / "server.git"
    yield Server(project, path)
    wait_until(lambda: not workers(path))


def push(server: Server, *refs: str) -> str:
    """What the pusher is told by gitml, line by line."""
    said = server.project.git("push", "-q", str(server.path), *(refs or ("main",))).err
    return "\n".join(line.removeprefix("remote: gitml: ").rstrip() for line in said.splitlines() if "gitml:" in line)


def test_a_pushed_commit_is_run_and_shows_in_the_log(server: Server) -> None:
    server.install()
    said = push(server)
    [row] = server.rest(1)
    head = server.project.repo.git("rev-parse", "main")
    assert said.startswith(f"run {str(row['run'])[:8]} of words at {head[:8]}")
    assert (row["status"], row["commit"], row["branch"], row["tags"]) == ("succeeded", head, "main", ["push"])
    assert server.project.do("log", cwd=server.path).out.count("succeeded") == 1
    assert (server.path / "gitml/queue/errors.log").read_text() == ""


@pytest.mark.slow
def test_the_pusher_does_not_wait_for_the_run(server: Server, tmp_path: Path) -> None:
    server.install()
    gate = tmp_path / "gate"
    server.project.stage({"pipelines/slow.yaml": SLOW, "src/wait.sh": until_there(gate)})
    server.project.git("commit", "-q", "-m", "slow")
    assert push(server).count("run ") == 2
    gate.touch()
    assert {row["pipeline"]: row["status"] for row in server.rest(2)} == {"words": "succeeded", "slow": "succeeded"}


@pytest.mark.slow
def test_what_can_not_even_be_planned_is_in_the_log_with_the_reason(server: Server) -> None:
    server.install()
    server.project.stage({"pipelines/words.yaml": "stepss: {}\n"})
    server.project.git("commit", "-q", "-m", "wrong")
    push(server)
    [row] = server.rest(1)
    assert row["status"] == "failed"
    shown = server.project.do("show", str(row["run"]), "--json", cwd=server.path).json
    assert "pipelines/words.yaml:1:1: unknown key 'stepss'" in shown["error"]


@pytest.mark.slow
def test_only_what_the_owner_allows_runs_and_a_push_can_not_widen_it(server: Server) -> None:
    server.install("--branch", "main", "--branch", "release/*", "--pipeline", "w*")
    server.project.stage({"pipelines/other.yaml": PIPELINE, "gitml.yaml": "hooks: {on_push: ['*']}\n"})
    server.project.git("commit", "-q", "-m", "another pipeline")
    assert push(server, "main:topic") == ""
    assert push(server, "main:release/1").count("\n") == 0
    assert [row["pipeline"] for row in server.rest(1)] == ["words"]
    assert "runs pipelines w* of what is pushed to main, release/*" in server.project.do("hooks", cwd=server.path).out


@pytest.mark.slow
def test_a_commit_can_ask_for_less(server: Server) -> None:
    server.install()
    server.project.stage({"pipelines/other.yaml": PIPELINE, "gitml.yaml": "hooks: {on_push: [other]}\n"})
    server.project.git("commit", "-q", "-m", "another pipeline")
    push(server)
    assert [row["pipeline"] for row in server.rest(1)] == ["other"]


@pytest.mark.slow
def test_tags_records_deletions_and_commits_without_pipelines_run_nothing(server: Server) -> None:
    server.install("--branch", "*")
    server.project.git("tag", "v1")
    assert push(server, "v1", "refs/gitml/runs:refs/gitml/runs") == ""
    server.project.git("checkout", "-q", "--orphan", "empty")
    server.project.git("rm", "-rfq", ".")
    server.project.git("commit", "-q", "--allow-empty", "-m", "nothing")
    assert push(server, "empty") == ""
    assert push(server, ":empty") == ""
    assert len(server.log()) == 1  # the record that was pushed


@pytest.mark.slow
def test_the_same_commit_on_two_branches_is_one_run_and_one_that_waits_is_shared(
    server: Server, tmp_path: Path
) -> None:
    server.install("--branch", "*")
    gate = tmp_path / "gate"
    server.project.stage({"pipelines/words.yaml": SLOW, "src/wait.sh": until_there(gate)})
    server.project.git("commit", "-q", "-m", "slow")
    first = push(server, "main", "main:copy")
    assert first.count("run ") == 1
    again = push(server, "main:another")
    assert again.split(" of ")[0] == first.split(" of ")[0]
    gate.touch()
    assert len(server.rest(1)) == 1


@pytest.mark.slow
def test_pushes_at_once_are_run_one_after_the_other_and_none_is_lost(server: Server) -> None:
    server.install("--branch", "*")
    project = server.project
    for number in range(4):
        project.stage({"src/count.sh": f'sleep 0.2\nprintf \'{{"n": {number}}}\' > "$3"\n'})
        project.git("commit", "-q", "-m", f"number {number}")
        project.git("branch", f"b{number}")
    pushes = [
        subprocess.Popen(
            ["git", "push", "-q", str(server.path), f"b{n}"], cwd=project.path, env=project.env, stderr=subprocess.PIPE
        )
        for n in range(4)
    ]
    for process in pushes:
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        assert said.count(b"gitml: run ") == 1
    rows = server.rest(4)
    assert {row["branch"] for row in rows} == {"b0", "b1", "b2", "b3"}
    assert all(row["status"] == "succeeded" for row in rows)
    spans = sorted(
        (float(str(row["started"])), float(str(row["started"])) + float(str(row["seconds"]))) for row in rows
    )
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@pytest.mark.slow
def test_a_worker_that_was_killed_loses_nothing_the_next_push_goes_on(server: Server) -> None:
    server.install()
    project = server.project
    project.stage({"pipelines/words.yaml": SLOW, "src/wait.sh": 'sleep 60\ntouch "$1"\n'})
    project.git("commit", "-q", "-m", "slow")
    push(server)
    wait_until(lambda: server.log("--status", "running"))
    project.stage({"src/wait.sh": 'touch "$1"\n'})
    project.git("commit", "-q", "-m", "quick")
    assert "behind 1" in push(server)
    [running] = project.do("status", "--json", cwd=server.path).json["running"]
    os.kill(running["pid"], signal.SIGKILL)
    wait_until(lambda: not workers(server.path))
    project.stage({"README.md": "more\n"})
    project.git("commit", "-q", "-m", "third")
    push(server)
    rows = server.rest(3)
    assert [row["status"] for row in rows] == ["failed", "succeeded", "succeeded"]


@pytest.mark.slow
def test_a_run_can_be_cancelled_and_the_next_in_the_queue_follows(server: Server) -> None:
    server.install()
    project = server.project
    project.stage({"pipelines/words.yaml": SLOW, "src/wait.sh": 'sleep 60\ntouch "$1"\n'})
    project.git("commit", "-q", "-m", "slow")
    push(server)
    wait_until(lambda: server.log("--status", "running"))
    project.stage({"src/wait.sh": 'touch "$1"\n'})
    project.git("commit", "-q", "-m", "quick")
    push(server)
    assert len(server.queue()) == 2
    project.do("cancel", cwd=server.path)
    assert [row["status"] for row in server.rest(2)] == ["cancelled", "succeeded"]


@pytest.mark.slow
def test_the_hook_that_was_there_gets_the_refs_too_and_uninstall_leaves_no_trace(server: Server) -> None:
    hook = server.path / "hooks/post-receive"
    hook.write_text("#!/bin/sh\ncat > seen\n")
    hook.chmod(0o755)
    config = (server.path / "config").read_bytes()
    server.install()
    push(server)
    server.rest(1)
    assert (server.path / "seen").read_text().endswith(" refs/heads/main\n")
    server.project.do("hooks", "uninstall", cwd=server.path)
    assert hook.read_text() == "#!/bin/sh\ncat > seen\n"
    assert (server.path / "config").read_bytes() == config


def test_a_broken_gitml_yaml_is_told_to_the_pusher(server: Server) -> None:
    server.install()
    server.project.stage({"gitml.yaml": "nonsense: 1\n"})
    server.project.git("commit", "-q", "-m", "wrong")
    said = push(server)
    assert said.startswith("gitml.yaml:1:1: unknown key 'nonsense'")
    assert said.endswith("; nothing of main is run")
    assert server.log() == []


@pytest.mark.slow
def test_by_hand_the_hook_answers_in_json(server: Server) -> None:
    server.install()
    project = server.project
    project.git("push", "-q", str(server.path), "main", env={"GITML_HOOKS": "0"})
    assert server.log() == []
    head = project.repo.git("rev-parse", "main")
    done = subprocess.run(
        [sys.executable, "-m", "gitml", "hooks", "run", "post-receive", "--json"],
        cwd=server.path,
        env=project.env,
        input=f"{'0' * 40} {head} refs/heads/main\n".encode(),
        capture_output=True,
    )
    [job] = json.loads(done.stdout)
    assert (job["pipeline"], job["branch"], job["commit"]) == ("words", "main", head)
    assert [row["run"] for row in server.rest(1)] == [job["run"]]
