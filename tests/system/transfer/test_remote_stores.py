"""Remote stores from the command line: what is told of them, and what a run does without them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from gitml.core.model.stop_signal import StopSignal
from gitml.transfer.run_selector import RunSelection
from gitml.transfer.upload import upload
from gitml.workspace import open_workspace
from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project
from tests.kit.projects.team_artifacts import ArtifactTeam, stored


@pytest.fixture
def team(tmp_path: Path) -> ArtifactTeam:
    (tmp_path / "share").mkdir()
    return ArtifactTeam(tmp_path, f"[file://{tmp_path}/share/store]")


def pushed(team: ArtifactTeam) -> Project:
    ada = team.people["author"]
    ada.run("big")
    ada.do("push")
    return ada


def test_remotes_are_listed_and_asked(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = team.people["author"]
    assert ada.do("remotes").out == f"file  file://{tmp_path}/share/store\n"
    assert ada.do("remotes", "--check").out.endswith("ok\n")
    os.rmdir(tmp_path / "share")
    told = ada.do("remotes", "--check", "--json", code=6).json
    assert "no such folder" in told[0]["problem"]
    ada.repo.write({"gitml.yaml": "remotes: [s3://b, lfs]\n"})
    assert [row["name"] for row in ada.do("remotes", "--json").json] == ["s3", "lfs"]
    ada.repo.write({"gitml.yaml": ""})
    assert "names no remote store" in ada.do("remotes").err


def test_a_remote_that_cannot_be_reached_is_said_and_its_steps_run_again(team: ArtifactTeam, tmp_path: Path) -> None:
    pushed(team)
    bob = team.person("bob")
    bob.do("pull")
    os.rename(tmp_path / "share", tmp_path / "away")
    for needed in (("make",), ("-S", "cut=30")):  # by whoever asks for it, and by a step that runs
        assert "if a remote store has model, parts, else runs" in bob.do("plan", "big", *needed).out
        plan = bob.do("run", "-n", "big", *needed)
        assert "can't be asked" in plan.err
        assert "no such folder" in plan.err
        assert plan.out.startswith("run")
    os.rename(tmp_path / "away", tmp_path / "share")
    assert bob.do("run", "-n", "big", "make", "--exit-code").out.count("reuse") == 1
    assert bob.do("plan", "big", "make", "--exit-code").out.count("reuse") == 1, "what was asked is remembered"
    assert bob.do("plan", "big", "--exit-code").out.count("reuse") == 3
    assert stored(bob) == set()


@pytest.mark.slow
def test_a_store_whose_folder_is_gone_is_not_taken_for_an_empty_one(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = team.people["author"]
    ada.run("big")
    ada.do("push")
    (tmp_path / "share/store").rename(tmp_path / "elsewhere")  # as when a share is not mounted
    refused = ada.do("push", code=6)
    assert "the folder is gone" in refused.err
    assert not (tmp_path / "share/store").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "share/store")
    assert "nothing to send" in ada.do("push").out


def test_what_a_remote_does_not_keep_its_word_on_is_made_again_within_the_run(
    team: ArtifactTeam, tmp_path: Path
) -> None:
    ada = pushed(team)
    bob = team.person("bob")
    bob.do("pull")
    assert set(bob.outcomes("big").values()) == {"reused"}
    for path in (tmp_path / "share/store/objects").glob("*/*"):
        path.unlink()
    done = bob.do("run", "big", "-S", "cut=30")
    assert "so make runs again" in done.err
    assert bob.outcomes("big", "-S", "cut=30") == {"make": "reused", "head": "reused", "count": "reused"}
    bob.do("push")
    told = ada.do("fsck", "--remote", "file", "--deep", "--repair")
    assert "left" not in told.out
    cleo = team.person("cleo")
    cleo.do("pull", "--artifacts")
    assert cleo.do("fsck", "--deep").out == ""


def test_all_that_need_what_a_remote_lost_wait_until_it_is_made_again(team: ArtifactTeam, tmp_path: Path) -> None:
    """Steps whose inputs are brought at the same time, whichever of them hears of it first; also when other bytes are made."""
    ada = team.people["author"]
    make = "{run: \"sh -c 'sleep 0.5; head -c 3000000 /dev/urandom > $0' ${{ outputs.o }}\", outputs: {o: file}}"
    use = "{run: \"sh -c 'wc -c < $1 > $0; echo $2 >> $0' ${{ outputs.o }} ${{ steps.make.outputs.o }} ${{ params.x }}\", outputs: {o: file}}"
    users = f"  use: {use.replace('echo $2', 'echo $2 ${{ matrix.n }}')[:-1]}, matrix: {{n: [0, 1, 2, 3]}}}}\n"
    users += "  all: {run: \"sh -c 'cat $* > $0' ${{ outputs.o }} ${{ steps.use[*].outputs.o }} ${{ steps.make.outputs.o }}\", outputs: {o: file}}\n"
    ada.repo.commit("two", {"pipelines/shared.yaml": f"params: {{x: 1}}\nsteps:\n  make: {make}\n{users}"})
    ada.repo.git("push", "-q", "origin", "main")
    ada.run("shared")
    ada.do("push")
    bob = team.person("bob")
    bob.do("pull")
    assert set(bob.outcomes("shared").values()) == {"reused"}  # it is known that the store has it
    for path in (tmp_path / "share/store/objects").glob("*/*"):
        path.unlink()
    done = bob.do("run", "shared", "-S", "x=2")
    assert "so make runs again" in done.err
    for wrong in ("damaged", "Git LFS", "failed"):
        assert wrong not in done.err
    assert set(bob.outcomes("shared", "-S", "x=2").values()) == {"reused"}


def test_wrong_bytes_from_a_remote_never_reach_a_file(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = pushed(team)
    bob = team.person("bob")
    bob.do("pull")
    for path in (tmp_path / "share/store/objects").glob("*/*"):
        content = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for what in ("latest:make.model", "latest:make.parts"):
        refused = bob.do("checkout", what, str(tmp_path / "out"), code=3)
        assert "came wrong from remote file" in refused.err
        assert not (tmp_path / "out").exists()
    faults = bob.do("fsck", "--remote", "file", "--deep", "--json", code=3).json["faults"]
    assert {fault["kind"] for fault in faults} == {"corrupt"}
    ada.do("fsck", "--remote", "file", "--deep", "--repair")
    bob.do("checkout", "latest:make.model", str(tmp_path / "out"))
    assert (tmp_path / "out").stat().st_size == 3_000_000


def test_gc_of_a_remote_keeps_what_anyone_recorded(team: ArtifactTeam, tmp_path: Path) -> None:
    pushed(team)
    bob = team.person("bob")
    bob.do("pull")
    bob.run("big", "-S", "seed=2")
    bob.do("push")
    ada = team.people["author"]
    kept = ada.do("gc", "--remote", "file", "--grace", "0", "--json").json
    assert (kept["deleted"], kept["kept"]) == (0, 10)  # Bob's run came before anything was looked at
    ada.repo.commit("on we go", {"README": "more\n"})  # so that no branch names the commit that was run
    ada.repo.git("push", "-q", "origin", "main")
    assert ada.do("gc", "--remote", "file", "--keep-last", "0", "--json").json["deleted"] == 0  # too young to go
    gone = ada.do("gc", "--remote", "file", "--keep-last", "0", "--grace", "0", "--json").json
    assert gone["deleted"] >= 5
    assert ada.do("gc", "--grace", "1d", code=2).err
    assert ada.do("gc", "--remote", "nowhere", code=2).err


def test_lfs_deletes_nothing_and_says_so(tmp_path: Path) -> None:
    team = ArtifactTeam(tmp_path, "lfs")
    refused = team.people["author"].do("gc", "--remote", "lfs", code=2)
    assert "deletes nothing" in refused.err


def test_a_store_that_is_only_read_is_never_written(tmp_path: Path) -> None:
    team = ArtifactTeam(tmp_path, f"[{{name: old, url: 'file://{tmp_path}/old', push: false}}]")
    ada = team.people["author"]
    ada.run("big")
    ada.do("push")
    assert not (tmp_path / "old").exists()
    assert "push: false" in ada.do("push", "--store", "old", code=2).err


def test_only_what_is_chosen_is_sent(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = team.people["author"]
    ada.run("big")
    ada.do("push", "--outputs", "make.model")
    objects = list((tmp_path / "share/store/objects").glob("*/*"))
    assert [path.stat().st_size for path in objects] == [3_000_000]
    bob = team.person("bob")
    bob.do("pull")
    assert "run      make" in bob.do("run", "-n", "big", "make").out
    shutil.rmtree(tmp_path / "share/store")


def test_a_missing_package_is_said_with_how_to_get_it(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = team.people["author"]
    ada.run("big")
    ada.repo.write({"gitml.yaml": "records: {inline_file: 1KiB}\nremotes: [s3://b]\n"})
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/s3fs.py").write_text("raise ImportError('not here')\n")
    path = f"{tmp_path / 'hidden'}{os.pathsep}{ada.env['PYTHONPATH']}"
    refused = ada.do("push", env={"PYTHONPATH": path}, code=2)
    assert "pip install 'gitml[s3]'" in refused.err


def outputs_there(team: ArtifactTeam, run: dict[str, object]) -> set[str]:
    """The large outputs of a run that lie in the store."""
    top = team.path / "share/store"
    found = {path.parent.name + path.name for path in [*top.glob("objects/??/*"), *top.glob("trees/??/*")]}
    steps: list[dict[str, dict[str, dict[str, str]]]] = run["steps"]  # type: ignore[assignment]
    (made,) = [step["outputs"] for step in steps if "model" in step["outputs"]]
    return {port for port, output in made.items() if output["digest"].removeprefix("sha256:") in found}


# A store that takes its time to answer: the first look at its notes waits until the pipe ANSWER is closed.
SLOW_STORE = """\
import os, sys
def wait(event, args):
    if event == "open" and str(args[0]).endswith("/gc.json") and (answer := os.environ.pop("ANSWER", None)):
        open(answer).read()
sys.addaudithook(wait)
"""


@pytest.mark.slow
def test_a_run_that_ends_while_a_push_asks_the_store_goes_with_the_next_push(team: ArtifactTeam) -> None:
    ada = pushed(team)
    ada.run("big", "-S", "seed=2")
    answer = team.path / "answer"
    os.mkfifo(answer)
    (team.path / "slow").mkdir()
    (team.path / "slow/sitecustomize.py").write_text(SLOW_STORE)
    path = f"{team.path / 'slow'}{os.pathsep}{ada.env['PYTHONPATH']}"
    push = ada.start("push", env={"PYTHONPATH": path, "ANSWER": str(answer)})
    with open(answer, "wb"):  # the push asks
        meanwhile = ada.run("big", "-S", "seed=3")
    _, err = push.communicate(timeout=PATIENCE)
    assert push.returncode == 0, err
    assert outputs_there(team, meanwhile) == set()
    ada.do("push")
    assert outputs_there(team, meanwhile) == {"model", "parts"}


@pytest.mark.slow
def test_what_was_given_to_a_store_that_was_emptied_is_not_taken_as_given_by_a_push_that_trusted(
    team: ArtifactTeam,
) -> None:
    ada = team.people["author"]
    first = ada.run("big")
    ada.do("push")
    shutil.rmtree(team.path / "share/store")
    second = ada.run("big", "-S", "seed=2")
    ws = open_workspace(str(ada.path), ada.env)
    try:
        upload(ws, RunSelection(), lambda _: None, StopSignal(), trusting=True)
    finally:
        ws.leave()
    assert outputs_there(team, second) == {"model", "parts"}
    ada.do("push")
    assert outputs_there(team, first) == {"model", "parts"}


@pytest.mark.slow
def test_ctrl_c_ends_a_push_to_a_store_that_does_not_answer(tmp_path: Path) -> None:
    team = ArtifactTeam(tmp_path, "lfs")
    ada = team.people["author"]
    ada.run("big")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ada.repo.git("config", "remote.origin.lfsurl", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        push = ada.start("push")
        silent.settimeout(PATIENCE)
        connection, _ = silent.accept()
        with connection:
            push.send_signal(signal.SIGINT)
            _, err = push.communicate(timeout=PATIENCE)
    assert push.returncode == 130, err
    assert b"stopping" in err


@pytest.mark.slow
def test_ctrl_c_ends_a_run_whose_plan_waits_for_a_store_that_does_not_answer(tmp_path: Path) -> None:
    team = ArtifactTeam(tmp_path, "lfs")
    ada = team.people["author"]
    ada.run("big")
    ada.do("push", "--no-artifacts")
    bob = team.person("bob")
    bob.do("pull")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bob.repo.git("config", "remote.origin.lfsurl", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        run = bob.start("run", "big")
        silent.settimeout(PATIENCE)
        connection, _ = silent.accept()
        with connection:
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130, err
    assert b"interrupted" in err
    assert len(bob.do("log", "--json").json) == 1, "nothing ran, and nothing is recorded"


def test_what_is_wrong_in_a_remote_is_mended_by_the_command_that_is_told(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = pushed(team)
    large = max((tmp_path / "share/store/objects").glob("*/*"), key=lambda path: path.stat().st_size)
    large.unlink()
    told = ada.do("fsck", "--remote", "file", code=3).err
    assert told == "1 fault, 1 left; `gitml fsck --remote file --repair` repairs what can be repaired\n"
    ada.do(*told.split("`")[1].split()[1:])
    assert large.exists()


def test_a_push_of_records_alone_warns_of_a_store_that_it_can_not_ask(team: ArtifactTeam, tmp_path: Path) -> None:
    ada = pushed(team)
    assert ada.do("push", "--no-artifacts").err == ""
    os.rename(tmp_path / "share", tmp_path / "away")
    told = ada.do("push", "--no-artifacts", "--json")
    assert "warning: remote file can't be asked" in told.err
    assert told.json["stays"] == []
