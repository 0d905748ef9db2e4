"""`env show`, `env build`, `env explain` and `env diff`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.servers.package_index import PackageIndex, package_index
from tests.system.conftest import Project


def test_show_has_each_environment_with_its_steps_and_whether_it_is_built(locked: Project) -> None:
    first = locked.gitml("env", "show").out
    assert re.search(r"^r\.txt  \(requirements\)\n  steps     a\n  identity  [0-9a-f]{12}\n", first)
    assert "\n  packages  1\n  here      not built: gitml env build\n" in first
    assert "\nhost\n  steps     c\n" in first
    assert locked.gitml("env", "show", "c").out.startswith("host\n")
    assert "\n    leaf 1.0\n" in locked.gitml("env", "show", "a", "--all").out
    (shown,) = locked.gitml("env", "show", "a", "--json").data
    key = locked.run("a")["steps"][0]["key"]
    (built,) = locked.gitml("env", "show", "a", "--json").data
    assert shown["identity"] == built["identity"] != key
    assert (shown["built"], shown["bytes"], shown["packages"]) == (False, None, ["leaf 1.0"])
    assert built["built"]
    assert built["bytes"] > 0
    assert os.path.isdir(built["place"])


def test_a_misspelt_environment_file_is_answered_with_the_one_beside_it(locked: Project) -> None:
    right = (locked.root / "pipelines/p.yaml").read_text()
    locked.write("env/requirements.txt", "leaf==1.0\n")
    locked.write("uv.lock", "")
    for written, meant in (
        ("env/requirement.txt", "did you mean env/requirements.txt?"),
        ("uv.lcok", "did you mean uv.lock?"),
    ):
        locked.write("pipelines/p.yaml", right.replace("r.txt", written))
        shown = locked.gitml("env", "show", "a", "--json").data[0]
        assert (shown["problem"], shown["hint"]) == (f"environment file {written!r} is not in the commit", meant)
    locked.write("pipelines/p.yaml", right.replace("r.txt", "other.txt"))
    assert locked.gitml("env", "show", "a", "--json").data[0]["hint"] == "commit it, or fix the path"


def test_show_names_what_keeps_an_environment_from_being_known(locked: Project) -> None:
    locked.write("r.txt", "leaf\n")
    shown = locked.gitml("env", "show", "a").out
    assert "  problem   leaf is not pinned to one version (r.txt:1) (gitml env lock r.txt)\n" in shown
    assert locked.gitml("env", "show", "a", "--at", "HEAD", "--json").data[0]["problem"] is None
    answer = locked.gitml("env", "show", "nowhere", code=2)
    assert "no pipeline 'nowhere'" in answer.err or "no step 'nowhere'" in answer.err


def test_a_run_of_another_clone_is_compared_package_by_package(locked: Project, tmp_path: Path) -> None:
    run = locked.run("a")["run"]
    for path in (locked.root / ".git/gitml").glob("index.db*"):
        path.unlink()  # as a clone has it, which knows the record alone
    locked.write("r.txt", "leaf==1.1\n")
    (found,) = locked.gitml("env", "diff", run, "--json").data["environments"][:1]
    assert [(change["kind"], change["name"], change["after"]) for change in found["changes"]] == [
        ("package", "leaf", "1.1")
    ]
    assert "    package leaf: 1.0 -> 1.1\n" in locked.gitml("env", "explain", "a").out
    assert "    package leaf: 1.0 -> 1.1\n" in locked.gitml("explain", "a").out


def test_a_run_that_failed_at_once_is_compared_package_by_package_too(locked: Project) -> None:
    locked.write("a.py", "raise SystemExit(3)\n")
    run = locked.run("a", code=1)["run"]
    locked.write("r.txt", "leaf==1.1\n")
    reason = f"package leaf: 1.0 -> 1.1 since it failed in run {run[:8]}"
    assert locked.gitml("plan", "a", "--json").data["steps"][0]["reason"] == reason
    assert "package leaf: 1.0 -> 1.1\n" in locked.gitml("explain", "a").out


def test_build_builds_once_what_steps_share_and_run_finds_it_built(locked: Project) -> None:
    first = locked.gitml("env", "build", "--json")
    assert [(one["environment"], one["outcome"], one["steps"]) for one in first.data] == [
        ("r.txt", "built", ["a", "b"]),
        ("host", "there", ["c"]),
    ]
    assert locked.gitml("env", "build").out.startswith("there      r.txt  ")
    assert "building" not in locked.gitml("run").err


def test_a_piped_run_names_the_building_apart_from_what_the_step_took(locked: Project) -> None:
    said = locked.gitml("run", "a").err.splitlines()
    words = [line.split()[0] for line in said]
    assert words[:2] == ["run", "wait"]
    assert said[1] == "wait   a  building the environment"
    built = next(line for line in said if "built the environment in" in line)
    assert said.index(built) < words.index("done")


def test_what_cannot_be_built_is_reported_in_the_words_of_uv_and_keeps_no_other(locked: Project) -> None:
    locked.write("bad.txt", "absent==1.0\n")
    text = (locked.root / "pipelines/p.yaml").read_text().replace("r.txt", "bad.txt", 1)
    locked.write("pipelines/p.yaml", text)
    answer = locked.gitml("env", "build", code=1)
    assert re.search(r"^failed     bad\.txt  uv could not install the requirements: .*absent", answer.out, re.M)
    assert re.search(r"^built      r\.txt  ", answer.out, re.M)
    assert "bad.txt: building the environment\n" in answer.err


def test_a_clone_builds_nothing_before_its_steps_may_run(locked: Project, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(locked.root), str(clone)], check=True)
    locked.env = {name: value for name, value in locked.env.items() if name != "GITML_TRUST"}
    answer = locked.gitml("env", "build", cwd=clone, code=7)
    assert "may not run yet" in answer.err
    assert not (tmp_path / "uv").exists()
    assert locked.gitml("env", "build", "--trust", "a", cwd=clone).out.startswith("built ")


def test_explain_names_what_counts_and_what_changed_since_the_last_run(locked: Project) -> None:
    assert "no run of these steps is recorded" in locked.gitml("env", "explain", "a").out
    run = locked.run("a")["run"]
    explained = locked.gitml("env", "explain", "a").out
    assert "  counts:\n" in explained
    assert "the version and the content of 1 package\n" in explained
    assert f"  the same as in run {run[:8]}\n" in explained
    locked.write("r.txt", "# another\nleaf==1.1\n")
    assert (
        f"compared with run {run[:8]}, 1 difference:\n    package leaf: 1.0 -> 1.1\n"
        in locked.gitml("env", "explain", "a").out
    )


def test_diff_names_packages_between_revisions_runs_and_the_files(locked: Project) -> None:
    run = locked.run("a", "c")["run"]
    locked.write("r.txt", "# only a comment\nleaf==1.0\n")
    assert locked.gitml("env", "diff", "--exit-code").err == "no environment differs\n"
    locked.write("r.txt", "leaf==1.1\n")
    changed = "  package leaf: 1.0 -> 1.1\n"
    assert locked.gitml("env", "diff").out == f"a  r.txt\n{changed}b  r.txt\n{changed}"
    locked.commit("an update")
    assert locked.gitml("env", "diff", "HEAD~1..HEAD", "--exit-code", code=1).out.count(changed) == 2
    found = locked.gitml("env", "diff", run, "HEAD", "--json").data["environments"]
    by_step = {one["steps"][0]: one for one in found}
    assert [change["name"] for change in by_step["a"]["changes"]] == ["leaf"]
    assert "a  requirements -> r.txt\n" in locked.gitml("env", "diff", run, "HEAD").out
    assert by_step["b"]["before"] is None
    assert "c" not in by_step
    same = locked.gitml("env", "diff", "HEAD", "HEAD", "--all").out
    assert same.count("  the same\n") == 3


def test_the_packages_of_another_platform_are_known_by_locks_alone(locked: Project) -> None:
    locked.write("r.txt", "leaf==1.0\nblas==2.0 ; platform_machine == 'aarch64'\n")
    here, there = (
        locked.gitml("env", "show", "--json", *words).data for words in ((), ("--platform", "linux-aarch64"))
    )
    assert (here[0]["packages"], there[0]["packages"]) == (["leaf 1.0"], ["blas 2.0", "leaf 1.0"])
    assert there[0]["platform"] == "linux-aarch64"
    assert there[0]["identity"] != here[0]["identity"]
    assert next(one for one in there if one["environment"] == "host")["problem"] == (
        "what host is on linux-aarch64 is known there alone"
    )
    assert "  here  " not in locked.gitml("env", "show", "a", "--platform", "linux-aarch64").out
    for misspelt, meant in (
        ("windows-x86", "linux-x86_64, linux-aarch64, darwin-arm64"),
        ("linux-amd64", "linux-x86_64"),
        ("macos-arm64", "darwin-arm64"),
    ):
        refused = locked.gitml("env", "show", "--platform", misspelt, "--json").data[0]
        assert refused["problem"] == f"'{misspelt}' is not a platform that packages are chosen for"
        assert refused["hint"] == f"such as {meant}"


def test_a_mistake_in_the_file_of_a_revision_names_the_revision(locked: Project) -> None:
    right = (locked.root / "pipelines/p.yaml").read_text()
    locked.write("pipelines/p.yaml", "stepz: {}\n")
    locked.git("commit", "-qam", "wrong")
    locked.write("pipelines/p.yaml", right)
    assert "gitml: HEAD:pipelines/p.yaml:1:1: " in locked.gitml("env", "diff", code=2).err


@pytest.mark.parametrize("words", [("a", "b", "c"), ("HEAD...HEAD",), ("nowhere",)])
def test_a_mistake_in_what_is_compared_is_one_line(locked: Project, words: tuple[str, ...]) -> None:
    assert locked.gitml("env", "diff", *words, code=2).err.count("\n") == 1


@pytest.fixture
def slow(locked: Project, tmp_path: Path) -> Iterator[PackageIndex]:
    """An index that sends each file after some seconds."""
    with package_index(tmp_path / "wheels") as index:
        index.delay = 4.0
        locked.env |= {"UV_OFFLINE": "0", "UV_DEFAULT_INDEX": index.url, "UV_FIND_LINKS": ""}
        yield index


@pytest.mark.slow
def test_ctrl_c_ends_the_build_and_leaves_nothing(locked: Project, slow: PackageIndex) -> None:
    slow.delay = 600.0
    building = locked.start("env", "build", "a")
    wait_until(lambda: any(path.startswith("/files/") for path in slow.asked))
    building.send_signal(signal.SIGINT)
    said = building.communicate(timeout=30)[1]
    slow.closed.set()
    assert building.returncode == 130, said
    assert "stopping" in said
    assert "Traceback" not in said
    assert not locked.gitml("env", "show", "a", "--json").data[0]["built"]
    folder = Path(locked.env["HOME"]) / ".cache/gitml/envs"
    assert [path for path in folder.iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_of_two_that_build_at_once_one_waits_and_a_pipe_says_how_far_it_is(locked: Project, slow: PackageIndex) -> None:
    first = locked.start("env", "build", "a")
    wait_until(lambda: any(path.startswith("/files/") for path in slow.asked))
    second = locked.start("env", "build", "b")
    (out, said), (waited_out, waited) = first.communicate(timeout=60), second.communicate(timeout=60)
    assert out.startswith("built ")
    assert waited_out.startswith("built ")
    assert "r.txt: downloading 1 package" in said
    assert "r.txt: waiting for another process that builds the environment" in waited
    assert "building the environment\n" not in waited.replace("that builds the environment", "")


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
