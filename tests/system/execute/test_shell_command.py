"""`gitml shell`: a terminal in the sandbox of a step, of which nothing is kept."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.system.conftest import PIPELINE, Project

BROKEN = 'mkdir tree; echo half > tree/a; echo partly > "$3"; echo "rate $2"; exit 3\n'


@pytest.fixture
def broken(project: Project) -> Project:
    """The project with a run in which `train` failed and left some of its outputs."""
    project.write("pipelines/words.yaml", PIPELINE + "      tree: {type: directory, path: tree}\n")
    project.write("src/train.sh", BROKEN)
    project.commit()
    project.run(code=1)
    return project


def left_over(project: Project) -> list[str]:
    """What lies where sandboxes are made."""
    return [*os.listdir(project.root / ".git/gitml/tmp"), *os.listdir(project.root / ".git/gitml/live")]


def said(project: Project, *words: str, code: int = 0) -> str:
    answer = project.gitml("shell", *words, code=code)
    assert left_over(project) == []
    return answer.out


class Terminal:
    """gitml at a terminal that is its own, as a person has it."""

    def __init__(self, project: Project, *words: str) -> None:
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(project.root)
            environ = {**project.env, "SHELL": "/bin/bash"}
            os.execve(sys.executable, [sys.executable, "-m", "gitml", *words], environ)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, text: str, count: int = 1) -> None:
        """Waits until the terminal has shown `text` so often."""
        end = time.monotonic() + PATIENCE
        while self.shown.count(text.encode()) < count:
            assert time.monotonic() < end, self.shown.decode(errors="replace")
            if select.select([self.fd], [], [], 0.1)[0]:
                self.shown += os.read(self.fd, 65536)

    def wait_for_job(self, name: str) -> None:
        """Waits until the terminal is that of a program: a key that comes before is the shell's."""
        wait_until(lambda: self._holder() == name)

    def _holder(self) -> str:
        try:
            return Path(f"/proc/{os.tcgetpgrp(self.fd)}/comm").read_text().strip()
        except OSError:
            return ""

    def wait(self) -> int:
        """The exit code, once it has ended."""
        end = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < end, self.shown.decode(errors="replace")
            if self.fd >= 0 and select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.shown += os.read(self.fd, 65536)
                except OSError:
                    self.close()

    def close(self) -> None:
        """Closes the window."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@pytest.fixture
def at(project: Project) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*words: str) -> Terminal:
        opened.append(Terminal(project, *words))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()
        if terminal.pid:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)


def gone(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_has_what_the_step_has_and_nothing_is_kept(project: Project) -> None:
    runs = project.git("rev-parse", "refs/gitml/runs")
    script = 'pwd; ls src; cat "$GITML_INPUT_CLEAN"; echo "$TZ $GITML_PARAM_RATE"; eval "$GITML_COMMAND"; cat models/*; exit 7'
    answer = project.gitml("shell", "train", "-S", "rate=3", "--", "sh", "-c", script, code=7)
    lines = answer.out.splitlines()
    assert lines[0].endswith("/work")
    assert lines[1:] == ["train.sh", "SOME WORDS", "UTC 3", "rate 3", "SOME WORDS", "3"]
    assert answer.err.splitlines()[0].startswith("sh src/train.sh .gitml/in/0/clean 3 models/model.txt ")
    assert said(project, "train", "--", "sh", "-c", "kill -9 $$", code=137) == ""
    assert said(project, "train", "--", "sh", "-c", "sleep 1000 & echo $!") != ""
    assert not (project.root / "models").exists()
    assert project.git("rev-parse", "refs/gitml/runs") == runs


def test_of_a_failed_run_it_has_what_was_left_and_the_code_of_then(broken: Project) -> None:
    broken.write("src/train.sh", "exit 0\n")
    script = "cat tree/a models/model.txt; echo more >> tree/a; cat tree/a; tail -c 7 src/train.sh"
    assert said(broken, "latest:train", "--", "sh", "-c", script) == "half\npartly\nhalf\nmore\nexit 3\n"
    assert said(broken, "latest:train", "--", "cat", "tree/a") == "half\n", "each has it as it was"
    assert said(broken, "train", "--", "sh", "-c", "cat src/train.sh; ls -A") == "exit 0\n.gitml\nmodels\nsrc\n"
    (first,) = [row["run"] for row in broken.gitml("log", "--status", "succeeded", "--json").data]
    assert said(broken, f"{first}:train", "--", "sh", "-c", 'eval "$GITML_COMMAND"') == "rate 2\n"


def test_what_can_not_be_opened_is_one_clear_line(project: Project) -> None:
    def refusal(*words: str) -> str:
        answer = project.gitml("shell", *words, code=2)
        assert answer.out == ""
        return answer.err.splitlines()[-1].removeprefix("gitml: ")

    assert refusal("trian").startswith("no step 'trian' in pipeline 'words' (did you mean 'train'?)")
    assert refusal("ffff0000:train").startswith("no run 'ffff0000'")
    assert refusal("latest:trian").startswith("no step 'trian'")
    assert refusal("latest:train", "-S", "rate=3").startswith(
        "a run has a pipeline, a commit and values (latest:train)"
    )
    assert refusal("train", "--", "no-such-program").startswith("command not found: no-such-program")
    project.write("data/raw.txt", "other\n")
    assert refusal("train") == (
        "what step 'train' needs of prepare is not known: input raw changed: gitml run words prepare, with the same options"
    )
    many = "steps:\n  a: {run: 'true ${{ matrix.x }}', matrix: {x: [1, 2]}}\n  b: {run: 'true', target: big}\n"
    project.write("pipelines/many.yaml", many)
    project.write("gitml.yaml", "targets: {big: {ray: '127.0.0.1:1'}}\n")
    assert refusal("a", "-p", "many") == (
        "step 'a' has several combinations: a[1], a[2]: name one of them: gitml shell -p many 'a[1]'"
    )
    asked = ("a", "-p", "many", "--at", "HEAD", "--", "sh", "-c", "echo $HOME")
    project.commit()
    copied = refusal(*asked).partition("name one of them: gitml shell ")[2]
    assert copied == "-p many --at HEAD 'a[1]' -- sh -c 'echo $HOME'"
    assert said(project, *shlex.split(copied)) == f"{project.env['HOME']}\n"
    project.run("many", "a")
    copied = refusal("latest:a", "--", "echo", "a b").partition("name one of them: gitml shell ")[2]
    assert copied == "'latest:a[1]' -- echo 'a b'"
    assert said(project, *shlex.split(copied)) == "a b\n"
    assert refusal("b", "-p", "many").startswith("step 'b' runs on target big: a shell opens on this machine only")
    assert left_over(project) == []


def test_secrets_and_confinement_are_those_of_the_step(project: Project) -> None:
    project.write(
        "pipelines/shut.yaml",
        "params: {token: {secret: true}}\nsteps:\n  a:\n    run: env\n    env: {T: '${{ params.token }}'}\n"
        "    sandbox: strict\n    network: none\n",
    )
    project.env["GITML_SECRET_TOKEN"] = "correct-horse-battery"
    script = "echo $T; cat /proc/net/dev | grep -c :; cat ~/.secret 2>/dev/null || echo shut; test $HOME = $(dirname $PWD)/home"
    (project.root.parent / ".secret").write_text("mine\n")
    assert said(project, "a", "-p", "shut", "--", "sh", "-c", script).split() == ["correct-horse-battery", "1", "shut"]


def test_a_step_of_several_processes_is_one_of_one_there(project: Project) -> None:
    project.write(
        "src/rank.sh", 'echo "$RANK of $WORLD_SIZE at $MASTER_ADDR:${MASTER_PORT:?} $LOCAL_RANK $TF_CONFIG"\n'
    )
    project.write(
        "pipelines/gang.yaml",
        "steps:\n  a: {run: sh src/rank.sh, nodes: 2, processes: 2}\n  b: {run: sh src/rank.sh}\n",
    )
    script = 'eval "$GITML_COMMAND"'
    answer = project.gitml("shell", "a", "-p", "gang", "--", "sh", "-c", script)
    assert answer.out.startswith("0 of 1 at 127.0.0.1:")
    assert '"index": 0' in answer.out
    assert "rank 0 of 1" in answer.err
    assert project.gitml("shell", "b", "-p", "gang", "--", "sh", "-c", "echo $RANK").out == "\n"
    assert left_over(project) == []


def test_what_a_pointer_of_git_lfs_stands_for_is_there(project: Project) -> None:
    data = os.urandom(2000)
    name = hashlib.sha256(data).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {len(data)}\n"
    hub = project.root.parent / "hub.git"
    kept = hub / f"lfs/objects/{name[:2]}/{name[2:4]}/{name}"
    project.git("init", "-q", "--bare", "-b", "main", str(hub))
    project.git("remote", "add", "origin", str(hub))
    kept.parent.mkdir(parents=True)
    kept.write_bytes(data)
    project.write(".gitattributes", "data/*.bin filter=lfs -text\n")
    project.write("data/raw.bin", pointer)
    project.write("pipelines/lfs.yaml", "inputs: {raw: data/raw.bin}\nsteps:\n  a: {run: 'sum ${{ inputs.raw }}'}\n")
    project.commit()
    assert said(project, "a", "-p", "lfs", "--", "sha256sum", "data/raw.bin").split()[0] == name
    assert (project.root / "data/raw.bin").read_text() == pointer
    shutil.rmtree(hub / "lfs")
    shutil.rmtree(project.root / ".git/gitml/objects")
    answer = project.gitml("shell", "a", "-p", "lfs", "--", "cat", "data/raw.bin", code=3)
    assert "git lfs pull --include=data/raw.bin" in answer.err
    assert "running its step" not in answer.err
    assert left_over(project) == []


def test_keys_and_job_control_work_as_in_any_shell(project: Project, at: Callable[..., Terminal]) -> None:
    terminal = at("shell", "train")
    terminal.wait_for("bash-")
    terminal.type("sleep 1000\n")
    terminal.wait_for_job("sleep")
    terminal.type("\x03")
    terminal.wait_for("bash-", count=2)
    terminal.type("sleep 1001\n")
    terminal.wait_for_job("sleep")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.wait_for("bash-", count=3)
    terminal.type("fg\n")
    terminal.wait_for_job("sleep")
    terminal.type("\x03")
    terminal.wait_for("bash-", count=4)
    terminal.type("tty; stty -echo; exit 5\n")
    assert terminal.wait() == 5
    assert b"no job control" not in terminal.shown
    assert b"/dev/pts/" in terminal.shown
    assert left_over(project) == []


def test_ctrl_c_reaches_a_command_and_gitml_goes_on_until_it_ends(
    project: Project, at: Callable[..., Terminal]
) -> None:
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    terminal = at("shell", "train", "--", "bash", "-c", script)
    terminal.wait_for("ready")
    terminal.type("\x03")
    assert terminal.wait() == 4
    assert b"caught" in terminal.shown
    assert left_over(project) == []


@pytest.mark.parametrize("how", ["closed", "killed", "terminated"])
def test_nothing_stays_when_the_terminal_is_closed_or_gitml_is_ended(
    project: Project, at: Callable[..., Terminal], how: str
) -> None:
    script = "trap '' HUP INT TERM; echo pid-$$-; touch big; while :; do sleep 1; done"
    terminal = at("shell", "train", "--", "bash", "-c", script)
    terminal.wait_for("-\r\n")
    pid = int(terminal.shown.decode().rpartition("pid-")[2].partition("-")[0])
    if how == "closed":
        terminal.close()
    else:
        os.kill(terminal.pid, signal.SIGKILL if how == "killed" else signal.SIGTERM)
    terminal.wait()
    wait_until(lambda: gone(pid))
    tmp = project.root / ".git/gitml/tmp"
    wait_until(lambda: not [*tmp.glob("*/*/*")])
