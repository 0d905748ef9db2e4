"""Values, paths, files and steps that mean harm, or do it by mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit.patience import in_little_work
from tests.kit.projects.command_line import Project, alive

PIPELINE = "pipelines/main.yaml"


def one_step(run: str, outputs: str = "{o: file}", more: str = "") -> dict[str, str]:
    return {
        PIPELINE: f"inputs: {{data: data.txt}}\nsteps:\n  s:\n    run: |\n      {run}\n    outputs: {outputs}\n    {more}\n",
        "data.txt": "data\n",
    }


@pytest.mark.parametrize(
    "value",
    ["x; touch {}", "$(touch {})", "`touch {}`", "'; touch {}; '", '"; touch {}; "', "x\ntouch {}", "|| touch {}"],
)
@pytest.mark.parametrize("shell", ["", "shell: bash", "shell: sh"])
def test_a_value_runs_nothing(tmp_path: Path, value: str, shell: str) -> None:
    target = tmp_path / "injected"
    value = value.format(target)
    spec = f"""
params: {{v: ""}}
steps:
  s:
    {shell}
    run: echo ${{{{ params.v }}}} "${{{{ params.v }}}}" '${{{{ params.v }}}}' {"> ${{ outputs.o }}" if shell else ""}
    outputs: {{o: {{type: file, path: o.txt}}}}
"""
    if not shell:
        spec = spec.replace(
            "run: echo", 'run: python3 -c \'import sys; open("o.txt", "w").write(chr(10).join(sys.argv[1:]))\''
        )
    project = Project(tmp_path / "p", {PIPELINE: spec})
    run = project.run("-S", f"v={value}")
    assert not target.exists()
    assert value in project.content(run, "s", "o").decode()


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", ".git/config", "a/../../b", "x/.git/HEAD"])
@pytest.mark.parametrize("place", ["input", "output", "code"])
def test_a_path_out_of_the_tree_is_refused_before_any_step(tmp_path: Path, path: str, place: str) -> None:
    spec = {
        "input": f"inputs: {{x: {path}}}\nsteps:\n  s: {{run: 'cp ${{{{ inputs.x }}}} ${{{{ outputs.o }}}}', outputs: {{o: file}}}}\n",
        "output": f"steps:\n  s: {{run: touch x, outputs: {{o: {{type: file, path: {path}}}}}}}\n",
        "code": f"steps:\n  s: {{run: 'touch ${{{{ outputs.o }}}}', outputs: {{o: file}}, code: [{path}]}}\n",
    }[place]
    done = Project(tmp_path / "p", {PIPELINE: spec}).do("run", code=2)
    assert f"{PIPELINE}:" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("target", ["../../etc/passwd", "/etc/passwd", "../../../x"])
def test_a_link_out_of_the_tree_is_refused_before_any_step(tmp_path: Path, target: str) -> None:
    project = Project(tmp_path / "p", {"data/real.txt": "x", **one_step("cp ${{ inputs.data }} ${{ outputs.o }}")})
    (project.path / "data.txt").unlink()
    os.symlink(target, project.path / "data.txt")
    project.repo.commit("link")
    assert "leads out" in project.do("run", code=2).err
    (project.path / "data.txt").unlink()
    (project.path / "data.txt").mkdir()
    os.symlink(target, project.path / "data.txt" / "inner")
    project.repo.commit("inner link")
    assert "holds the link 'inner', which leads out" in project.do("run", code=2).err


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{n}: &{n} [{','.join([f'*{p}'] * 10)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB,
        "params: {n: " + "9" * 5000 + "}\n",
        "[" * 100_000,
        "- " * 20_000 + "x",
        "steps: {}\nsteps: {}\n",
        "steps:\0",
        "steps: !!python/object/apply:os.system [id]\n",
        "\xff\xfe",
    ],
    ids=["aliases", "digits", "brackets", "dashes", "duplicate", "nul", "tag", "encoding"],
)
def test_a_hostile_file_is_one_line_in_under_a_second(tmp_path: Path, content: str) -> None:
    project = Project(tmp_path / "p", {PIPELINE: content.encode("latin-1")})

    def refused() -> None:
        done = project.do("plan", code=2)
        assert done.err.startswith("gitml: ")
        assert PIPELINE in done.err
        assert len(done.err.strip().splitlines()) == 1

    in_little_work(1.0, refused)


def test_a_step_that_writes_into_its_input_fails_and_nothing_is_kept(tmp_path: Path) -> None:
    spec = """
steps:
  make: {shell: sh, run: 'echo good > ${{ outputs.o }}', outputs: {o: file}}
  spoil:
    shell: sh
    run: chmod u+w ${{ steps.make.outputs.o }}; echo bad > ${{ steps.make.outputs.o }}; echo x > ${{ outputs.p }}
    outputs: {p: file}
"""
    project = Project(tmp_path / "p", {PIPELINE: spec})
    run = project.run(code=1)
    assert [s["outcome"] for s in run["steps"]] == ["executed", "failed"]
    assert "input" in run["steps"][1]["error"]
    again = project.run("make")
    assert [s["outcome"] for s in again["steps"]] == ["executed"]
    assert project.content(again, "make", "o") == b"good\n"


@pytest.mark.needs_linux("a process that leaves the process group of its step is ended with it")
def test_a_daemon_left_behind_is_ended_with_its_step(tmp_path: Path) -> None:
    marker = f"gitml-test-daemon-{os.getpid()}"
    spec = f"""
steps:
  s:
    shell: bash
    run: |
      setsid bash -c 'exec -a {marker} sleep 300' &
      (setsid bash -c 'exec -a {marker} sleep 300' & )
      echo x > ${{{{ outputs.o }}}}
    outputs: {{o: file}}
"""
    project = Project(tmp_path / "p", {PIPELINE: spec})
    run = project.run()
    assert run["steps"][0]["outcome"] == "executed"
    assert run["steps"][0]["seconds"] < 60
    assert not alive(marker)


def test_a_gigabyte_of_log_is_bounded_and_quick(tmp_path: Path) -> None:
    spec = "steps:\n  s:\n    shell: sh\n    run: yes | head -c 1000000000; echo x > ${{ outputs.o }}\n    outputs: {o: file}\n"
    project = Project(tmp_path / "p", {PIPELINE: spec})
    run = project.run()
    log = run["steps"][0]["attempts"][0]["log"]
    assert log["written"] >= 1_000_000_000
    assert log["size"] < 20_000_000


@pytest.mark.parametrize(
    ("run", "word"),
    [
        ("mkfifo ${{ outputs.o }}", "o"),
        ("mkdir ${{ outputs.o }}", "o"),
        ("ln -s /etc/passwd ${{ outputs.o }}", "o"),
        ("true # ${{ outputs.o }}", "did not make"),
    ],
)
def test_an_output_that_is_no_file_is_refused_and_nothing_is_kept(tmp_path: Path, run: str, word: str) -> None:
    spec = f"steps:\n  s:\n    shell: sh\n    run: {run}\n    outputs: {{o: file}}\n"
    project = Project(
        tmp_path / "p",
        {
            PIPELINE: spec.replace("true #", "'true #").replace("}}\n    outputs", "}}'\n    outputs")
            if "#" in run
            else spec
        },
    )
    result = project.run(code=1)
    assert result["status"] == "failed"
    assert word in result["steps"][0]["error"]
    assert project.run(code=1)["steps"][0]["outcome"] == "failed"


def test_a_flipped_byte_is_found_before_use_set_aside_and_healed_by_running_again(tmp_path: Path) -> None:
    spec = """
params: {n: 1}
steps:
  make: {shell: sh, run: 'echo good > ${{ outputs.o }}', outputs: {o: file}}
  use: {shell: sh, run: 'cat ${{ steps.make.outputs.o }} > ${{ outputs.p }}; echo ${{ params.n }} >> ${{ outputs.p }}', outputs: {p: file}}
"""
    project = Project(tmp_path / "p", {PIPELINE: spec})
    run = project.run()
    path = project.object(run["steps"][0]["outputs"]["o"]["digest"])
    path.chmod(0o644)
    path.write_bytes(b"gOod\n")
    again = project.run("-S", "n=2")
    assert [s["outcome"] for s in again["steps"]] == ["executed", "executed"]
    assert project.content(again, "use", "p") == b"good\n2\n"
    assert path.read_bytes() == b"good\n"
    assert list((project.path / ".git/gitml/quarantine").iterdir())


def test_what_python_would_warn_of_in_a_source_is_not_said_by_who_only_looks_through_it(tmp_path: Path) -> None:
    files = {"pipelines/p.yaml": "steps: {a: {run: python3 a.py}}\n", "a.py": "x = 1if 2else 3\ny = '\\d'\nx is 'y'\n"}
    for command in (["plan"], ["status"]):
        done = Project(tmp_path / command[0], files).do(*command)
        assert "Warning" not in done.out + done.err
