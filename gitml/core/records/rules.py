"""What a record may say: what a pipeline file and gitml could have written. Who may push to a remote can write records.

A name in a record becomes the name of a file at a checkout, a word of a hint that is copied into a shell, a line that is asked
of Git. So names and places are held to the rules of pipeline files, ids to their form. Texts that people write (message, tags,
experiment, errors) may be any: they are shown with their control characters escaped.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from functools import lru_cache

from gitml.core.language.expression import NAME
from gitml.core.model.action import Action, StepCommit
from gitml.core.model.environment import is_plain
from gitml.core.model.paths import clean, problem_with, problem_with_output
from gitml.core.model.result import OutputRef
from gitml.core.parameters.value_path import parse_path
from gitml.core.records.record import Attempt, Run, StepRun

_LONGEST_PATH = 2000
LONGEST_NAME = 200  # of names of files 100; what is bound twice gets a number behind it
_DEEPEST = 4  # options within options
_STEP = re.compile(r"([^\[]*)(?:\[([^\0]*)\])?\Z")
_ATTEMPT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z")
_RUN = re.compile(r"[0-9a-f]{16}\Z")
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_MODE = re.compile(r"[0-7]{5,6}\Z")
_CONTENT = re.compile(r"(?:sha256:[0-9a-f]{64}|git:[0-7]{5,6}:[0-9a-f]{40}(?:[0-9a-f]{24})?)\Z")
_MODULE = re.compile(r"git:[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_TAG = re.compile(
    r"(?![/.])(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|\Z)))[^\0-\x20\x7f~^:?*\[\\]+(?<![/.])\Z"
)  # as Git has it
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def check_run(run: Run) -> None:
    """ValueError for the first thing that gitml, running any pipeline file, would not have written of a run."""
    if not _OID.match(run.commit) or (run.base is not None and not _OID.match(run.base)):
        raise ValueError("it names a commit that can be none")
    _check_pipeline(run.pipeline, run.path)
    for name in run.params:
        _check_param("a parameter", name)
    for text in (
        run.experiment,
        run.message,
        run.by,
        run.host,
        run.version,
        run.branch or "",
        *run.tags,
        *run.selected,
    ):
        _check_text(text)
    if not is_plain(run.options, _DEEPEST):
        raise ValueError("it has options that are none")
    for name, plot in run.plots.items():
        for text in (name, plot.x, *plot.y, plot.title, plot.template):
            _check_line(text)
    for name, errors in run.errors.items():
        _check_name("a step with members", name)
        _check_line(errors.budget)
        for member in (*errors.failed, *errors.left_out):
            if not _is_step(member):
                raise ValueError(f"it has a step {member[:60]!r}, which no pipeline file can name")
    for use, module in run.modules.items():
        if not _MODULE.match(module.get("content", "")):
            raise ValueError(f"it names a module {use[:60]!r} of no content")
        for text in (use, *module, *module.values()):
            _check_line(text)
    for step in run.steps:
        check_step(step)


def check_action(action: Action) -> None:
    """ValueError for an Action that no step of a pipeline file has."""
    inputs = [(item.name, item.mount, problem_with(item.mount)) for item in action.inputs]
    outputs = [(item.name, item.mount, problem_with_output(item.mount)) for item in action.outputs]
    for name, mount, problem in (*inputs, *outputs):
        if problem is None and clean(mount) != mount:
            problem = "a path in no normal form"
        if problem is not None:
            raise ValueError(f"{name[:60]!r} of an action lies at {mount[:200]!r}: {problem}")
    if action.project and (problem_with_output(action.project) is not None or clean(action.project) != action.project):
        raise ValueError(f"an action of a project that lies at {action.project[:200]!r}")
    if action.project and any(not output.mount.startswith(f"{action.project}/") for output in action.outputs):
        raise ValueError(f"an action of the project {action.project[:200]!r} has outputs beside it")
    for name, _ in action.params:
        _check_param("a parameter of an action", name)
    for item in action.inputs:
        _check_name("an input of an action", item.name)
        if not _CONTENT.match(item.content) or not NAME.match(item.kind):
            raise ValueError(f"input {item.name!r} of an action has no content: {item.content[:80]!r}")
    for output in action.outputs:
        _check_name("an output of an action", output.name)
        _check_name("the kind of an output", output.kind)
    for name, _ in action.env:
        if not name.isidentifier():
            raise ValueError(f"an action sets {name[:60]!r}, which is no environment variable")
    for file in action.code:
        if not _MODE.match(file.mode) or not _OID.match(file.oid) or not _is_tracked(file.path):
            raise ValueError(
                f"an action's code lies at {file.path[:200]!r} ({file.mode[:20]!r}), where no commit has any"
            )
    if action.repository is not None:
        _check_repository(action.repository)
    if not _DIGEST.match(action.environment):
        raise ValueError("an action of no environment")
    if action.module is not None and not _OID.match(action.module):
        raise ValueError("an action of no module")
    if not action.argv or not action.argv[0] or any("\0" in word for word in action.argv):
        raise ValueError("an action without a command")


def _check_repository(repository: StepCommit) -> None:
    if not _OID.match(repository.commit):
        raise ValueError("the repository of an action is of a commit that can be none")
    for name, oid in repository.tags:
        if len(name) > _LONGEST_PATH or not _TAG.match(name) or not _OID.match(oid):
            raise ValueError(f"the repository of an action has a tag {name[:60]!r}, which Git would refuse")
    for file in repository.instead:
        if not _MODE.match(file.mode) or not _OID.match(file.oid) or not _is_tracked(file.path):
            raise ValueError(f"the commit of an action's repository has nothing at {file.path[:200]!r}")


def _check_pipeline(name: str, path: str) -> None:
    project, _, stem = name.rpartition(":")
    problem = problem_with(path) or (problem_with(project) if project else None)
    if problem is None and (clean(path) != path or (project and clean(project) != project)):
        problem = "a path in no normal form"
    if problem is None and (not stem or "/" in stem or not posixpath.basename(path)):
        problem = "no name of a file"
    if problem is not None:
        raise ValueError(f"its pipeline {name[:100]!r} ({path[:100]!r}) is {problem}")
    _check_line(name)


def check_step(step: StepRun) -> None:
    """ValueError for what no step of a pipeline file would have become."""
    if not _is_step(step.name):
        raise ValueError(f"it has a step {step.name[:60]!r}, which no pipeline file can name")
    _check_outputs(step.name, step.outputs)
    for text in (step.reason, step.error or ""):
        _check_text(text)
    if step.origin is not None and not _RUN.match(step.origin):
        raise ValueError(f"step {step.name[:60]!r} is reused from {step.origin[:60]!r}, which is no run")
    for name, value in step.guarantees.items():
        _check_name("a guarantee", name)
        _check_line(value)
    for name, label in step.labels.items():
        _check_text(name)
        _check_text(label)
    for attempt in step.attempts:
        _check_attempt(step.name, attempt)


def _check_attempt(step: str, attempt: Attempt) -> None:
    if not _ATTEMPT.match(attempt.id):
        raise ValueError(f"an attempt at step {step[:60]!r} is called {attempt.id[:60]!r}")
    _check_name("the outcome of an attempt", attempt.outcome)
    for text in (attempt.error or "", attempt.target, attempt.machine):
        _check_text(text)
    _check_outputs(step, attempt.partial)


def _check_outputs(step: str, outputs: Iterable[OutputRef]) -> None:
    for ref in outputs:
        if not _is_name(ref.name) or not _is_name(ref.kind):
            what = f"output {ref.name[:60]!r} of kind {ref.kind[:20]!r}"
            raise ValueError(f"step {step[:60]!r} has an {what}, which no pipeline file can name")


def _check_name(what: str, name: str) -> None:
    if not _is_name(name):
        raise ValueError(f"it has {what} {name[:60]!r}, which no pipeline file can name")


def _check_param(what: str, name: str) -> None:
    if not _is_name(name) and (len(name) > _LONGEST_PATH or parse_path(name) is None):
        raise ValueError(f"it has {what} {name[:60]!r}, which no pipeline file can name")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError(f"a text in it holds a NUL character: {text[:60]!r}")


def _check_line(text: str) -> None:
    if any(char in text for char in "\0\n\r"):
        raise ValueError(f"a name in it has more than a line: {text[:60]!r}")


@lru_cache(1 << 14)  # a history has the same names again and again
def _is_name(name: str) -> bool:
    return len(name) <= LONGEST_NAME and NAME.match(name) is not None


@lru_cache(1 << 14)
def _is_step(name: str) -> bool:
    """Whether it is the name of a step, or of one combination: ``train[svm]``."""
    found = _STEP.match(name)
    return found is not None and _is_name(found[1])


def _is_tracked(path: str) -> bool:
    """Whether a commit can have something there: Git takes other names than a pipeline file does."""
    return ("\0" not in path and not {"", "..", "."} & set(path.split("/"))) or path == "."
