"""Steps of several processes: who each is told to be, that they work together, and that one that fails ends the others."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project, alive, interrupt, wait_until

SUM = """\
import os, socket, sys, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
meeting = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    server = socket.create_server(meeting)
    others = [server.accept()[0] for _ in range(size - 1)]
    total = sum(int(other.makefile().readline()) for other in others)
    for other in others:
        other.sendall(b"%d\\n" % total)
    open(sys.argv[1], "w").write(f"{total}\\n")
else:
    for _ in range(200):
        try:
            link = socket.create_connection(meeting)
            break
        except OSError:
            time.sleep(0.05)
    link.sendall(b"%d\\n" % 10**rank)
    total = int(link.makefile().readline())
print("agreed on", total)
"""
TELL = """\
import json, os
names = [name for name in sorted(os.environ) if name.split("_")[0] in ("RANK", "LOCAL", "WORLD", "GROUP", "NODE", "NNODES", "MASTER", "OMPI", "TF")]
print(json.dumps({name: os.environ[name] for name in names}))
"""
ILL = """\
import os, sys, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ["RANK"] == "2" else signal.SIG_DFL)
print("begun", "marker-" + sys.argv[1], flush=True)
if os.environ["RANK"] == "1":
    time.sleep(0.5)
    sys.exit("this one is ill")
time.sleep(100)
"""


def pipeline(command: str, more: str = "") -> str:
    return f"steps:\n  team:\n    run: {command}\n{more}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    files = {
        "pipelines/sum.yaml": pipeline(
            "python3 sum.py ${{ outputs.o }}",
            "    nodes: 2\n    processes: 2\n    resources: {cpus: 0.5}\n    outputs: {o: file}\n",
        ),
        "pipelines/tell.yaml": pipeline(
            "python3 tell.py", "    nodes: 2\n    processes: 2\n    resources: {cpus: 0.5}\n"
        ),
        "pipelines/ill.yaml": pipeline(f"python3 ill.py {tmp_path.name}", "    processes: 3\n"),
        "sum.py": SUM,
        "tell.py": TELL,
        "ill.py": ILL,
    }
    return Project(tmp_path / "project", files)


def lines(project: Project) -> list[str]:
    return project.do("logs").out.splitlines()


def test_the_processes_of_a_gang_work_together_and_rank_0_makes_the_output(project: Project) -> None:
    run = project.run("sum")
    assert project.content(run, "team", "o") == b"1110\n"
    assert sorted(lines(project)) == [f"[{rank}] agreed on 1110" for rank in range(4)]


def test_each_process_is_told_who_it_is_under_the_names_that_programs_know(project: Project) -> None:
    project.run("tell")
    told = {int(line[1]): json.loads(line[4:]) for line in lines(project)}
    assert sorted(told) == [0, 1, 2, 3]
    for rank, env in told.items():
        assert (env["RANK"], env["WORLD_SIZE"]) == (str(rank), "4")
        assert (env["LOCAL_RANK"], env["LOCAL_WORLD_SIZE"]) == (str(rank % 2), "2")
        assert (env["GROUP_RANK"], env["NODE_RANK"], env["NNODES"]) == (str(rank // 2), str(rank // 2), "2")
        assert (env["OMPI_COMM_WORLD_RANK"], env["OMPI_COMM_WORLD_SIZE"]) == (str(rank), "4")
        assert (env["MASTER_ADDR"], env["MASTER_PORT"]) == ("127.0.0.1", told[0]["MASTER_PORT"])
        config = json.loads(env["TF_CONFIG"])
        assert config["task"] == {"type": "worker", "index": rank}
        assert config["cluster"] == json.loads(told[0]["TF_CONFIG"])["cluster"]
        assert len(set(config["cluster"]["worker"])) == 4


def test_the_size_of_a_gang_is_part_of_what_determines_a_result(project: Project) -> None:
    project.run("sum")
    assert project.outcomes("sum") == {"team": "reused"}
    path = project.path / "pipelines/sum.yaml"
    path.write_text(path.read_text().replace("nodes: 2\n    processes: 2", "nodes: 1\n    processes: 4"))
    assert "gang: 2 x 2 processes -> 1 x 4 processes" in project.do("plan", "sum").out


@pytest.mark.slow
def test_one_that_fails_ends_the_others_and_is_named(project: Project, tmp_path: Path) -> None:
    run = project.run("ill", code=1)
    step = run["steps"][0]
    assert step["error"] == "exit status 1: rank 1 failed first, with exit status 1: this one is ill"
    assert not alive(f"ill.py {tmp_path.name}".replace(" ", "\0"))
    assert {line[:3] for line in lines(project)} >= {"[0]", "[1]", "[2]"}


def test_a_gang_that_is_cancelled_ends_wholly(project: Project, tmp_path: Path) -> None:
    project.path.joinpath("ill.py").write_text(ILL.replace("time.sleep(0.5)", "time.sleep(100)"))
    marker = f"ill.py\0{tmp_path.name}"
    process = project.start("run", "ill")
    wait_until(lambda: len(alive(marker)) == 3)
    interrupt(process)
    time.sleep(0.3)
    interrupt(process)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    wait_until(lambda: not alive(marker))


def test_a_strict_sandbox_holds_a_gang_too(project: Project) -> None:
    path = project.path / "pipelines/tell.yaml"
    path.write_text(path.read_text() + "    sandbox: strict\n")
    secret = project.path.parent / "secret"
    secret.write_text("x")
    project.path.joinpath("tell.py").write_text(f"open({os.fspath(secret)!r})\n")
    from gitml.platform.current import platform

    if platform.confinement_refusal() != "":
        pytest.skip(platform.confinement_refusal())
    run = project.run("tell", code=1)
    assert "which it does not declare" in run["steps"][0]["error"] or "exit status" in run["steps"][0]["error"]
    # where it has no /tmp of its own, the machine's is denied to it
    assert "Permission" in "\n".join(lines(project)) or "No such file" in "\n".join(lines(project))
