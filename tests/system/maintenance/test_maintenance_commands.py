"""`fsck`, `gc`, `du`, `reproduce`: keeping house and keeping promises."""

from __future__ import annotations

import os
import re

from tests.system.conftest import Project


def damage(project: Project, port: str) -> str:
    """Flips a byte of an output's object; its digest."""
    outputs = {
        name: ref for step in project.gitml("show", "--json").data["steps"] for name, ref in step["outputs"].items()
    }
    digest: str = outputs[port]["digest"]
    path = project.root / f".git/gitml/objects/{digest[7:9]}/{digest[9:]}"
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    return digest


def test_fsck_of_a_sound_repository_says_so(project: Project) -> None:
    answer = project.gitml("fsck", "--deep")
    assert (answer.out, answer.err) == ("", "all is well\n")
    assert project.gitml("fsck", "--json").data == {"faults": [], "left": 0}


def test_fsck_names_each_fault_and_exits_with_3_and_repair_mends_it(project: Project) -> None:
    digest = damage(project, "model")
    answer = project.gitml("fsck", code=3)
    assert f"corrupt  store  {digest}" in answer.out
    assert answer.err == "1 fault, 1 left; `gitml fsck --repair` repairs what can be repaired\n"
    answer = project.gitml("fsck", "--repair")
    assert re.search(rf"corrupt  store  {digest} .*repaired: taken from a record\n", answer.out)
    project.gitml("fsck", "--deep")


def test_gc_without_a_policy_keeps_what_runs_name_and_tells_first(project: Project) -> None:
    assert project.gitml("gc", "-n").out.startswith("would remove 0 objects")
    (project.root / "README").write_text("x")
    project.commit()
    project.gitml("run", "-q", "-S", "rate=3")
    project.gitml("gc")
    assert project.gitml("run").err.count("reuse ") == 2


def test_gc_with_a_policy_removes_old_outputs(project: Project) -> None:
    project.gitml("run", "-q", "-S", "rate=3")
    project.write("data/raw.txt", "more\n")
    project.commit()
    project.gitml("run", "-q")
    data = project.gitml("gc", "--keep-last", "1", "--json").data
    assert data["dry_run"] is False
    assert data["objects"] > 0
    project.gitml("fsck")
    assert project.gitml("run").err.count("reuse ") == 2


def test_gc_waits_for_no_run_but_says_that_one_goes_on(project: Project, sleeper) -> None:  # type: ignore[no-untyped-def]
    sleeper()
    project.wait_for_live()
    answer = project.gitml("gc", code=4)
    assert answer.err.startswith("gitml: a run is going on")


def test_du_tells_what_takes_room(project: Project) -> None:
    answer = project.gitml("du")
    assert re.search(r"^ *\d.* objects$", answer.out, re.M)
    assert any(room["what"] == "index" for room in project.gitml("du", "--json").data["rooms"])


def test_reproduce_of_a_deterministic_run_is_identical(project: Project) -> None:
    answer = project.gitml("reproduce")
    assert re.fullmatch(r"identical: run \w{8} gave the outputs of run \w{8}\n", answer.out)


def test_reproduce_names_the_output_that_differs_and_exits_with_1(project: Project) -> None:
    project.write("src/train.sh", 'date +%N > "$3"; echo \'{"score": 1}\' > "$4"\n')
    project.gitml("run", "-q")
    answer = project.gitml("reproduce", code=1)
    assert re.search(r"^differs  train\.model  differs first at byte \d+, line 1$", answer.out, re.M)
    assert "not identical: run" in answer.out
    assert "usual causes: random numbers without a seed" in answer.err
    for command in re.findall(r"gitml (checkout \S+ [ab])", answer.err):
        project.gitml(*command.split())
    assert (project.root / "a").read_text() != (project.root / "b").read_text()
    data = project.gitml("reproduce", "--json", code=1).data
    assert data["identical"] is False
    assert data["differences"][0]["port"] == "model"


def test_a_full_disk_is_an_error_of_the_machine_not_a_traceback(project: Project) -> None:
    # /dev/full refuses what is written: the same error as that of a full disk.
    import subprocess
    import sys

    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gitml", "show"],
            cwd=project.root, env=project.env, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 5
    assert done.stderr.startswith("gitml: No space left on device: free some space")


def test_a_folder_that_can_not_be_written_to_is_an_error_of_the_machine(project: Project) -> None:
    if os.geteuid() == 0:
        target = "/proc/nowhere"
    else:
        (project.root / "locked").mkdir(mode=0o555)
        target = str(project.root / "locked/x")
    answer = project.gitml("checkout", "latest:train.model", target, code=None)
    assert answer.code in (2, 5)
    assert answer.err.startswith("gitml: ")
    assert "Traceback" not in answer.err
