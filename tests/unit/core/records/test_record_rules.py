"""What a record may say: all that a pipeline file and gitml write, and nothing that they could not have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitml.core.model.action import ActionInput, ActionOutput, CodeFile, StepCommit, decode_action
from gitml.core.model.environment import decode_description
from gitml.core.model.result import Cost
from gitml.core.records.record import Attempt, Run, StepRun, decode_run
from gitml.core.records.rules import check_action, check_run

GOLDEN = Path(__file__).parents[3] / "compat/golden"
RUN = decode_run((GOLDEN / "run.json").read_bytes())._replace(commit="a" * 40, base=None)
ACTION = decode_action((GOLDEN / "action-2-values.json").read_bytes())._replace(
    argv=("true",), environment="sha256:" + "0" * 64, module=None, inputs=(), outputs=(), code=(), params=(), env=()
)
OID, DIGEST = "b" * 40, "sha256:" + "c" * 64


def step(**change: Any) -> Run:
    """The run with a first step that says something else."""
    return RUN._replace(steps=(RUN.steps[0]._replace(**change), *RUN.steps[1:]))


def renamed(port: str = "o", kind: str = "file") -> Run:
    ref = next(ref for one in RUN.steps for ref in one.outputs)
    return step(outputs=(ref._replace(name=port, kind=kind),))


def attempt(**change: Any) -> Run:
    return step(attempts=(Attempt("0-1", "done", 1.0, Cost())._replace(**change),))


RUNS: dict[str, Run] = {
    "a pipeline out of the repository": RUN._replace(pipeline="../../home:p"),
    "a pipeline in .git": RUN._replace(pipeline="sub/.GIT:p"),
    "a pipeline in a folder": RUN._replace(pipeline="a/b"),
    "a pipeline without a name": RUN._replace(pipeline="sub:"),
    "a pipeline of two lines": RUN._replace(pipeline="p\nq"),
    "a project in no normal form": RUN._replace(pipeline="a//b:p"),
    "an absolute path": RUN._replace(path="/etc/passwd"),
    "a path out of the repository": RUN._replace(path="../p.yaml"),
    "a commit with a newline": RUN._replace(commit="a" * 39 + "\n"),
    "a commit that is an option": RUN._replace(commit="--upload-pack=touch${IFS}/tmp/owned;aaaaa"[:40]),
    "a base that is none": RUN._replace(base="HEAD" + "a" * 36),
    "a parameter with a space": RUN._replace(params={"a b": 1}),
    "a parameter without a name": RUN._replace(params={"": 1}),
    "an experiment with NUL": RUN._replace(experiment="a\0b"),
    "a tag with NUL": RUN._replace(tags=("a\0b",)),
    "a module of no content": RUN._replace(modules={"m@1": {"name": "m", "content": "git:HEAD:secret"}}),
    "a module of two lines": RUN._replace(modules={"m\n@1": {"name": "m", "content": "git:" + OID}}),
    "options without end": RUN._replace(options={"a": {"b": {"c": {"d": {"e": {}}}}}}),
    "options of no number": RUN._replace(options={"a": float("nan")}),
    "a step that is a path": step(name="../../etc"),
    "a step that is an option": step(name="-rf"),
    "a step of two lines": step(name="a\nb"),
    "a step with a NUL label": step(name="a[\0]"),
    "a step whose label goes on": step(name="a[b]c"),
    "a step of a long name": step(name="a" * 1000),
    "an origin that is no run": step(origin="../../../../x"),
    "a guarantee of no name": step(guarantees={"\x1b]0;": "strict"}),
    "a port .git": renamed(".git"),
    "a port ..": renamed(".."),
    "a port of no name": renamed(""),
    "a port with an escape": renamed("a\x1b[31m"),
    "a port with a direction": renamed("a\u202eb"),
    "a port of a kind that is none": renamed(kind="../x"),
    "an attempt that is a path": attempt(id="../../x"),
    "an attempt of no name": attempt(id=""),
    "an attempt of an outcome that is none": attempt(outcome="\x1b[2J"),
}

ACTIONS = {
    "no command": ACTION._replace(argv=()),
    "a word with NUL": ACTION._replace(argv=("a", "\0")),
    "a parameter that is none": ACTION._replace(params=(("--x", 1),)),
    "a variable that is none": ACTION._replace(env=(("LD PRELOAD", "x"),)),
    "an input of a revision": ACTION._replace(inputs=(ActionInput("a", "a", "file", "git:100644:HEAD:.env"),)),
    "an input of two lines": ACTION._replace(inputs=(ActionInput("a", "a", "file", f"git:100644:{OID}\n"),)),
    "an input of no kind": ACTION._replace(inputs=(ActionInput("a", "a", "", DIGEST),)),
    "an input of no name": ACTION._replace(inputs=(ActionInput("a/b", "a", "file", DIGEST),)),
    "an input in .git": ACTION._replace(inputs=(ActionInput("a", "sub/.git/config", "file", DIGEST),)),
    "an output in .git": ACTION._replace(outputs=(ActionOutput("a", ".GIT/hooks/x", "file"),)),
    "an output of no name": ACTION._replace(outputs=(ActionOutput("..", "a", "file"),)),
    "an output of no kind": ACTION._replace(outputs=(ActionOutput("a", "a", "\n"),)),
    "code out of the commit": ACTION._replace(code=(CodeFile("../x", "100644", OID),)),
    "code of no mode": ACTION._replace(code=(CodeFile("x", "rwx", OID),)),
    "code of no id": ACTION._replace(code=(CodeFile("x", "100644", "HEAD"),)),
    "no environment": ACTION._replace(environment="sha256:.."),
    "a module that is none": ACTION._replace(module="HEAD"),
    "a repository of a revision": ACTION._replace(repository=StepCommit("HEAD")),
    "a tag of no id": ACTION._replace(repository=StepCommit(OID, (("v1", "v1"),))),
    "a tag of two lines": ACTION._replace(repository=StepCommit(OID, ((f"v1\n{OID} refs/heads/x", OID),))),
    "a tag that is a path": ACTION._replace(repository=StepCommit(OID, (("../../HEAD", OID),))),
    "a tag that is a lock": ACTION._replace(repository=StepCommit(OID, (("a.lock/b", OID),))),
    "a tag of no name": ACTION._replace(repository=StepCommit(OID, (("", OID),))),
    "a change out of the commit": ACTION._replace(repository=StepCommit(OID, (), (CodeFile("../x", "100644", OID),))),
}

DESCRIPTIONS = {
    "no JSON": b"{",
    "a list": b"[]",
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "of a later format": b'{"format": 3}',
    "distributions that are none": b'{"distributions": [1]}',
    "distributions that are text": b'{"distributions": "numpy 1"}',
    "contents that are a list": b'{"contents": ["a"]}',
    "a package of no content": b'{"contents": {"a": {"commit": "1"}}}',
    "files that are none": b'{"contents": {"a": {"content": "x", "files": [1]}}}',
    "a number for content": b'{"contents": {"a": 1}}',
    "a program that is none": b'{"programs": {"sh": 1}}',
    "a program of no Python": b'{"programs": {"python": {}}}',
    "imports that are none": b'{"repository": {"imports": ["ab"]}}',
    "imports of numbers": b'{"repository": {"imports": [[1, 2]]}}',
    "a repository without imports": b'{"repository": {"commands": {}}}',
    "requirements that are none": b'{"requirements": 5}',
    "a number that is none": b'{"kind": NaN}',
}


def test_what_a_pipeline_file_could_say_is_allowed() -> None:
    check_run(RUN)
    check_run(
        RUN._replace(pipeline="ml/a b:träin", path="ml/a b/pipelines/träin.yaml", experiment="a\nb", tags=("\x1b[31m",))
    )
    check_run(RUN._replace(pipeline="a-b.c", path="ml/pipelines/a-b.c.yaml", message="\u202e", by="\x1b]0;x\x07"))
    check_run(step(name="train[svm,0.1]"))
    check_run(step(name="train[../..\n]"))  # a value of a matrix may be any text; nothing is named by it
    check_run(step(name="a" * 100))
    check_action(ACTION)
    tags = ((name, OID) for name in ("v1.0", "release/2026", "@", "-x", "träin", "a@b", "lock"))
    check_action(ACTION._replace(repository=StepCommit(OID, tuple(tags), (CodeFile(".", "40000", OID),))))
    check_action(
        ACTION._replace(
            inputs=(
                ActionInput("a", "data/ü.csv", "executable", DIGEST),
                ActionInput("a_2", "b", "file", f"git:100644:{OID}"),
            ),
            outputs=(ActionOutput("o", ".envrc", "file"), ActionOutput("p", "a/b", "series")),
            code=(CodeFile("a\\b\n", "100755", "d" * 64), CodeFile(".", "40000", OID)),
            env=(("A_B", None),),
            module=OID,
        )
    )


@pytest.mark.parametrize("what", RUNS)
def test_a_run_that_no_pipeline_file_could_have_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"\w{3}"):
        check_run(RUNS[what])


@pytest.mark.parametrize("what", ACTIONS)
def test_an_action_that_no_step_could_have_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"\w{3}"):
        check_action(ACTIONS[what])


@pytest.mark.parametrize("what", DESCRIPTIONS)
def test_what_is_no_description_of_an_environment_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"description of an environment|Expecting"):
        decode_description(DESCRIPTIONS[what])


@pytest.mark.parametrize("name", ["environment.json", "environment-2.json"])
def test_descriptions_that_gitml_wrote_are_read(name: str) -> None:
    content = (GOLDEN / name).read_bytes()
    assert decode_description(content) == json.loads(content)


def test_rules_hold_for_what_attempts_left_of_outputs_too() -> None:
    ref = next(ref for one in RUN.steps for ref in one.outputs)
    run: Callable[[str], Run] = lambda name: attempt(outcome="failed", partial=(ref._replace(name=name),))  # noqa: E731
    check_run(run("model"))
    with pytest.raises(ValueError, match="no pipeline file can name"):
        check_run(run("../model"))
    assert isinstance(run("model").steps[0], StepRun)
