"""Secret parameters: given by a variable or asked for, handed to the step, and nowhere else: not in Git, in no file, on no line."""

from __future__ import annotations

import base64
import hashlib
import os
import pty
import select
import stat
import sys
import time
from pathlib import Path

import pytest

from tests.kit.attacks.leaks import holders
from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project

VALUE = "s3cr3t/Value+of-the-Token"
OTHER = "another-Value-0123456789"
GIVEN = {"GITML_SECRET_TOKEN": VALUE}
PIPELINE = """
params:
  token: {secret: true, help: for the server}
  n: 3
steps:
  plain: {run: "python3 plain.py ${{ params.n }} ${{ outputs.o }}", outputs: {o: file}}
  fetch:
    shell: bash
    env: {API_TOKEN: "${{ params.token }}", HEADER: "Bearer ${{ params.token }}"}
    run: |
      set -x
      echo "$API_TOKEN and $HEADER and ${GITML_PARAM_TOKEN} and" ${{ params.token }}
      printf 'user:%s' "$API_TOKEN" | base64 -w0
      printf %s "$API_TOKEN" | sha256sum > ${{ outputs.o }}
    outputs: {o: file}
"""
FILES = {"pipelines/p.yaml": PIPELINE, "plain.py": "import sys; open(sys.argv[2], 'w').write(sys.argv[1])\n"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "p", FILES)


LOOK = """
import glob, hashlib, os, sys
value = os.environ["API_TOKEN"].encode()
found = 0
for name in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        found += value in open(name, "rb").read()
    except OSError:
        continue
open(sys.argv[1], "w").write(f"{found} {hashlib.sha256(value).hexdigest()}")
"""


def digest_of(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def test_the_step_gets_the_value_and_nothing_that_lasts_does(project: Project) -> None:
    run = project.run(env=GIVEN)
    assert project.content(run, "fetch", "o").decode().split()[0] == digest_of(VALUE)
    log = project.do("logs", "latest", "fetch").out
    assert "*** and Bearer *** and *** and ***" in log
    project.do("plan", env=GIVEN)
    project.do("show", "--json")
    assert holders([VALUE], project.path, project.path.parent / "cache") == {}


def test_the_record_has_a_digest_that_only_this_clone_can_make(project: Project, tmp_path: Path) -> None:
    project.run(env=GIVEN)
    first = project.do("show", "--json").json["params"]["token"]
    assert first.startswith("secret:hmac-sha256:")
    assert digest_of(VALUE) not in first
    twin = Project(tmp_path / "twin", FILES)
    twin.run(env=GIVEN)
    assert twin.do("show", "--json").json["params"]["token"] != first
    salt = project.path / ".git/gitml/salt"
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert len(salt.read_bytes()) == 32
    assert holders([salt.read_bytes().hex(), base64.b64encode(salt.read_bytes()).decode()], project.path) == {}


def test_a_result_is_reused_for_the_same_value_in_this_clone_and_that_is_said(project: Project, tmp_path: Path) -> None:
    project.run(env=GIVEN)
    steps = {step["name"]: step for step in project.run(env=GIVEN)["steps"]}
    assert steps["fetch"]["outcome"] == "reused"
    assert "secret parameter token: reused in this clone only" in steps["fetch"]["reason"]
    assert "secret" not in steps["plain"]["reason"]
    plan = {
        step["name"]: step for step in project.do("plan", "--json", env={"GITML_SECRET_TOKEN": OTHER}).json["steps"]
    }
    assert plan["fetch"]["decision"] == "run"
    assert "secret parameter token: reused in this clone only" in plan["fetch"]["reason"]
    assert plan["plain"]["decision"] == "reuse"
    project.repo.git("clone", "-q", ".", str(tmp_path / "clone"))
    project.repo.git("push", "-q", str(tmp_path / "clone"), "refs/gitml/runs:refs/gitml/runs")
    clone = Project(tmp_path / "clone")
    plan = {step["name"]: step["decision"] for step in clone.do("plan", "--json", env=GIVEN).json["steps"]}
    assert plan == {"plain": "reuse", "fetch": "run"}


def test_explain_names_the_parameter_and_shows_no_value(project: Project) -> None:
    project.run(env=GIVEN)
    told = project.do("explain", "fetch", env={"GITML_SECRET_TOKEN": OTHER}).out
    assert "param token: (secret, " in told
    assert OTHER not in told
    assert VALUE not in told


@pytest.mark.parametrize("command", ["plan", "status", "dag", "explain fetch", "run -n"])
def test_without_a_value_what_only_looks_asks_nothing_and_says_what_to_set(project: Project, command: str) -> None:
    done = project.do(*command.split())
    if command not in ("dag", "status"):
        assert "secret parameter 'token' is not given" in done.out
        assert "export GITML_SECRET_TOKEN" in done.out
    assert "Traceback" not in done.err


def test_without_a_value_a_run_ends_before_it_begins_and_names_the_variable(project: Project) -> None:
    for words in (["run"], ["run", "--secret", "token"], ["run", "--detach"]):
        done = project.do(*words, code=2)
        assert "GITML_SECRET_TOKEN" in done.err
    assert project.do("log", "--json").json == []


def test_steps_that_do_not_use_it_need_no_value(project: Project) -> None:
    assert project.run("p", "plain")["status"] == "succeeded"


def test_a_value_on_the_command_line_is_refused_and_not_repeated(project: Project) -> None:
    typed = "typed/Value+of-a-Token"  # not VALUE: another test looks for that among the arguments of all processes
    for words in (["-S", f"token={typed}"], ["--secret", f"token={typed}"]):
        done = project.do("run", *words, code=2)
        assert "--secret token" in done.err
        assert typed not in done.err
    assert "is not secret" in project.do("run", "--secret", "n", env=GIVEN, code=2).err
    assert "did you mean 'token'" in project.do("run", "--secret", "tokn", env=GIVEN, code=2).err


def test_a_value_that_could_not_be_masked_is_refused(project: Project) -> None:
    done = project.do("run", env={"GITML_SECRET_TOKEN": "ab1"}, code=2)
    assert "must have 6 characters or more" in done.err
    assert "ab1" not in done.err


def on_terminal(project: Project, *words: str, answer: str) -> tuple[int, str]:
    """A command in a terminal of its own, where `answer` is typed once it asks; its exit code and what the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.path)
        os.execve(sys.executable, [sys.executable, "-m", "gitml", *words], dict(project.env))
    shown, typed = b"", False
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        if not typed and b"value of the secret parameter token" in shown:
            os.write(terminal, answer.encode() + b"\n")
            typed = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode("utf-8", "replace")


def test_a_person_is_asked_without_an_echo(project: Project) -> None:
    code, shown = on_terminal(project, "run", "--secret", "token", answer=VALUE)
    assert code == 0, shown
    assert VALUE not in shown
    run = project.do("show", "--json").json
    assert project.content(run, "fetch", "o").decode().split()[0] == digest_of(VALUE)
    code, shown = on_terminal(project, "run", "--no-reuse", "--detach", "--secret", "token", answer=OTHER)
    assert code == 0, shown
    project.do("logs", "latest", "-f")
    run = project.do("show", "--json").json
    assert project.content(run, "fetch", "o").decode().split()[0] == digest_of(OTHER)
    assert holders([VALUE, OTHER], project.path) == {}


def test_nobody_is_asked_who_did_not_say_so(project: Project) -> None:
    code, shown = on_terminal(project, "plan", answer="")
    assert code == 0
    assert "value of" not in shown


def test_reproduce_asks_again_and_says_when_the_digest_differs(project: Project) -> None:
    project.run(env=GIVEN)
    assert "identical" in project.do("reproduce", env=GIVEN).out
    assert "GITML_SECRET_TOKEN" in project.do("reproduce", code=2).err
    done = project.do("reproduce", env={"GITML_SECRET_TOKEN": OTHER}, code=1)
    assert "secret parameter token is not known to have the value of the run" in done.err
    assert holders([VALUE, OTHER], project.path) == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("params: {token: {secret: true, default: x}}", "has no default"),
        ("params: {token: {secret: true, type: int}}", "it is text"),
        ("params: {token: {secret: true, choices: [a, b]}}", "would reveal its value"),
        ("params: {token: {secret: 1}}", "must be true or false"),
    ],
)
def test_what_would_write_a_secret_down_is_a_mistake_in_the_file(tmp_path: Path, change: str, says: str) -> None:
    steps = "\nsteps: {s: {run: 'true'}}\n"
    assert says in Project(tmp_path / "p", {"pipelines/p.yaml": change + steps}).do("plan", code=2).err


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("{run: 'curl -H ${{ params.token }} x'}", "env: {TOKEN: ${{ params.token }}}"),
        ("{run: 'true', code: ['${{ params.token }}']}", "paths are recorded"),
        ("{run: 'true', outputs: {o: {type: file, path: 'a/${{ params.token }}'}}}", "paths are recorded"),
    ],
)
def test_a_secret_is_no_word_of_a_command_and_no_part_of_a_path(tmp_path: Path, step: str, says: str) -> None:
    text = f"params: {{token: {{secret: true}}}}\nsteps: {{s: {step}}}\n"
    done = Project(tmp_path / "p", {"pipelines/p.yaml": text}).do("plan", code=2, env=GIVEN)
    assert says in done.err
    assert VALUE not in done.err


def test_no_process_has_it_among_its_arguments(tmp_path: Path) -> None:
    text = """
params: {token: {secret: true}}
steps:
  s:
    shell: sh
    env: {API_TOKEN: "${{ params.token }}"}
    run: true ${{ params.token }}; python3 look.py ${{ outputs.o }}
    outputs: {o: file}
"""
    project = Project(tmp_path / "p", {"pipelines/p.yaml": text, "look.py": LOOK})
    run = project.run(env=GIVEN)
    assert project.content(run, "s", "o").decode() == f"0 {digest_of(VALUE)}"


def test_names_that_fold_to_one_variable_get_numbers(tmp_path: Path) -> None:
    text = """
params: {api-key: {secret: true}, api_key: {secret: true}}
steps:
  s:
    env: {ONE: "${{ params.api-key }}", TWO: "${{ params.api_key }}"}
    shell: sh
    run: printf '%s %s' "$ONE" "$TWO" | sha256sum > ${{ outputs.o }}
    outputs: {o: file}
"""
    project = Project(tmp_path / "p", {"pipelines/p.yaml": text})
    assert "GITML_SECRET_API_KEY_2" in project.do("run", env={"GITML_SECRET_API_KEY": VALUE}, code=2).err
    run = project.run(env={"GITML_SECRET_API_KEY": VALUE, "GITML_SECRET_API_KEY_2": OTHER})
    assert project.content(run, "s", "o").decode().split()[0] == digest_of(f"{VALUE} {OTHER}")


def test_a_failing_step_does_not_show_it(project: Project) -> None:
    project.repo.commit(
        "fail", {"pipelines/p.yaml": PIPELINE.replace("sha256sum", 'cat >&2; echo "no $API_TOKEN" >&2; exit 3; true')}
    )
    done = project.do("run", env=GIVEN, code=1)
    assert "no ***" in done.err
    assert VALUE not in done.out + done.err
    assert holders([VALUE], project.path) == {}


def test_a_module_may_have_one_and_only_a_secret_can_be_given_to_it(tmp_path: Path) -> None:
    module = """
name: lab/fetch
version: 1.0.0
params: {key: {secret: true}}
outputs: {o: file}
env: {KEY: "${{ params.key }}"}
run: python3 fetch.py ${{ outputs.o }}
code: [fetch.py]
"""
    program = "import os, sys, hashlib\nprint(os.environ['KEY'])\nopen(sys.argv[1], 'w').write(hashlib.sha256(os.environ['KEY'].encode()).hexdigest())\n"
    use = "params: {token: {secret: true}, plain: x}\nsteps: {s: {module: lab/fetch, params: {key: %s}}}\n"
    project = Project(
        tmp_path / "p",
        {"mod/module.yaml": module, "mod/fetch.py": program, "pipelines/p.yaml": use % '"${{ params.token }}"'},
    )
    tried = project.do("module", "run", "mod", "--out", str(tmp_path / "out"), env={"GITML_SECRET_KEY": VALUE})
    assert (tmp_path / "out/o").read_text() == digest_of(VALUE)
    assert VALUE not in tried.out + tried.err
    assert "GITML_SECRET_KEY" in project.do("module", "run", "mod", code=2).err
    project.do("module", "publish", "mod")
    run = project.run(env=GIVEN)
    assert project.content(run, "s", "o").decode() == digest_of(VALUE)
    assert "***" in project.do("logs", "latest", "s").out
    assert holders([VALUE], project.path) == {}
    for value, says in (
        ("literal-value", "never written down"),
        ('"${{ params.plain }}"', "give it a secret parameter"),
    ):
        project.repo.commit("other", {"pipelines/p.yaml": use % value})
        assert says in project.do("plan", code=2).err


def test_a_credential_of_the_environment_is_not_recorded_as_a_value_or_a_note(project: Project) -> None:
    key = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI7K7MDENGbPxRfiCYEXAMPLEKEY1", **GIVEN}
    for words in (["-S", f"n={key['AWS_SECRET_ACCESS_KEY']}"], ["-m", f"with {key['AWS_SECRET_ACCESS_KEY']}"]):
        done = project.do("run", *words, env=key, code=2)
        assert "the value of the variable AWS_SECRET_ACCESS_KEY would be recorded" in done.err
        assert "secret: true" in done.err
        assert key["AWS_SECRET_ACCESS_KEY"] not in done.err
    assert "looks like a credential" in project.do("run", "--tag", f"ghp_{'a1B2' * 9}", env=GIVEN, code=2).err


def test_the_gate_of_a_push_knows_what_was_run_without_the_value(project: Project) -> None:
    project.repo.git("init", "-q", "--bare", "../remote.git")
    project.repo.git("remote", "add", "origin", "../remote.git")
    project.repo.commit("a gate", {"gitml.yaml": "hooks: {gate: true, send: []}\n"})
    project.do("hooks", "install")
    project.run(env=GIVEN)
    project.repo.commit("another commit of the same steps", {"README.md": "x"})
    project.repo.git("push", "-q", "origin", "main", env=project.env)
    project.repo.write({"pipelines/p.yaml": PIPELINE.replace("user:", "me:")})
    project.repo.git("commit", "-qam", "another step", env=project.env)
    with pytest.raises(AssertionError, match=r"has not run: p, step fetch \(command "):
        project.repo.git("push", "-q", "origin", "main", env=project.env)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(300)
def test_a_machine_of_a_cluster_gets_it_in_memory_alone(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {**FILES, "gitml.yaml": "targets:\n  own: {ray: local, cpus: 2}\n"})
    ray = tmp_path / "ray"
    ray.mkdir()
    env = {**GIVEN, "TMPDIR": str(ray), "HOME": str(tmp_path / "home")}
    run = project.run("--on", "own", env=env)
    assert project.content(run, "fetch", "o").decode().split()[0] == digest_of(VALUE)
    assert "*** and Bearer *** and *** and ***" in project.do("logs", run["run"], "fetch").out
    assert holders([VALUE], tmp_path) == {}
