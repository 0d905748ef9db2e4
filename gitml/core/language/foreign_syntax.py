"""Syntax of other tools: expressions and keys that their users write, and what to write instead of them here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gitml.core.language.expression import parse_ref

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_OURS = r"(?:params|inputs|outputs|matrix|steps)"
_THEIRS = r"(?:params?|parameters|inputs?|outputs?|matrix|steps|wildcards|item|config|vars|threads|log)"
_INNER = r"[^{}\n]{0,200}?"
# Where a shell would leave the characters alone, only what is surely meant as an expression is one.
_SURE = re.compile(
    rf"\$\{{\s*{_OURS}\.{_INNER}\}}"  # dvc
    rf"|(?<!\$)\{{\{{-?\s*{_OURS}\.{_INNER}-?\}}\}}"  # Jinja
    rf"|\$\[\[{_INNER}\]\]"  # Azure
)
_BARE = re.compile(
    rf"\$\{{\s*{_THEIRS}[.\[]{_INNER}\}}|\$\{{item\}}|\$\{{{_NAME}\.{_INNER}\}}"
    rf"|\$\({_OURS}\.{_INNER}\)|\${_OURS}\.{_NAME}"
    rf"|(?<!\$)\{{\{{-?\s*[\w.\[\]'\"-]+\s*-?\}}\}}"
    r"|\$\[\[[^\]\n]{0,200}\]\]"
    rf"|\{{\s*{_THEIRS}(?:[.\[][\w.\[\]'\"-]+)?\s*\}}"  # Snakemake
    rf"|%\({_NAME}(?:\.{_NAME})?\)s|%{_OURS}\.{_NAME}%|@{_OURS}\.{_NAME}"
)
_SPACES = {
    "params": "params", "param": "params", "parameters": "params", "config": "params", "vars": "params",
    "inputs": "inputs", "input": "inputs", "outputs": "outputs", "output": "outputs",
    "matrix": "matrix", "wildcards": "matrix", "item": "matrix",
}  # fmt: skip
_MEMBER = re.compile(rf"({'|'.join(_SPACES)})(?:\.|\[['\"]?)({_NAME})['\"]?\]?\Z")
_JOB = re.compile(rf"(?:parent\.)?(?:jobs|steps|needs)\.({_NAME})\.outputs?\.({_NAME})\Z")


def expression_at(text: str, index: int, *, quoted: bool = False) -> tuple[str, str] | None:
    """Another tool's expression that begins at `index`: what is written, and what is meant."""
    match = (_SURE if quoted else _BARE).match(text, index)
    return (match[0], translation(match[0])) if match else None


def expression_in(text: str) -> tuple[str, str, int] | None:
    """The first thing in a text that can only be another tool's expression: what is written, what is meant, and where."""
    match = next(expressions_in(text), None)
    return (match[0], translation(match[0]), match.start()) if match else None


def expressions_in(text: str) -> Iterator[re.Match[str]]:
    """All that can only be another tool's expressions."""
    return _SURE.finditer(text) if "{" in text or "[[" in text else iter(())


def no_expression(written: str, meant: str) -> str:
    """What to say of another tool's expression."""
    return f"{' '.join(written.split())[:60]} is no expression here: did you mean {meant}?"


def translation(written: str) -> str:
    """The expression of gitml that another tool's means, as far as it can be guessed."""
    inner = written.strip("${}[]()%@ \t")
    if written.startswith("%(") and inner.endswith(")s"):
        inner = inner[:-2]
    guess = translation_inside(inner)
    return f"${{{{ {guess or 'params.NAME'} }}}}"


def translation_inside(inner: str) -> str | None:
    """What could be meant between the braces; None when nothing is near."""
    inner = inner.strip("- \t")
    if parse_ref(inner):
        return inner
    if match := _JOB.match(inner):
        return f"steps.{match[1]}.outputs.{match[2]}"
    inner = inner.removeprefix("parent.")
    if match := _MEMBER.match(inner):
        return f"{_SPACES[match[1]]}.{match[2]}"
    if inner in _SPACES:
        return f"{_SPACES[inner]}.NAME"
    if inner.partition(".")[0] in ("env", "github", "secrets", "threads", "log") or not re.match(rf"{_NAME}\Z", inner):
        return None
    return f"params.{inner}"


# Hints by the keys that they are for, which may be several.
_STEP_WORDS: Mapping[str, str] = {
    "cmd command": "write run: the command",
    "script": "write run: the command, such as python3 FILE",
    "deps dependencies": "write inputs: {NAME: source} for data that the command doesn't name, and `code:` for code",
    "depends_on": "use what the other step makes by ${{ steps.NAME.outputs.PORT }}, or wait for it with after",
    "outs": "write outputs: {NAME: {type: file, path: PLACE}}",
    "output": "did you mean 'outputs'?",
    "outs_persist": "write cache: {NAME: {path: PLACE}} for what a tool keeps between runs; outputs are made from nothing",
    "metrics": "write outputs: {NAME: {type: metrics, path: PLACE}}",
    "plots": "write outputs: {NAME: {type: plot, path: PLACE}}",
    "input": "did you mean 'inputs'?",
    "wdir": "did you mean 'workdir'?",
    "foreach wildcards expand": "write matrix: {NAME: [values]} and ${{ matrix.NAME }}",
    "do": "write matrix: {NAME: [values]} beside run",
    "always_changed": "write reuse: false",
    "frozen": "leave it out: a step runs only where something it depends on has changed",
    "desc description": "did you mean 'help'?",
    "meta": "write help: a sentence for people",
    "needs requires": "using ${{ steps.NAME.outputs.PORT }} is waiting for it; after waits for a step without using its outputs",
    "if when": "a step can't be left out by a condition: name the steps to run, gitml run -n PIPELINE STEP",
    "uses component": "write module: NAME for a module of the registry, or run: the command",
    "with": "write params: and inputs: beside module",
    "rule": "a step's name is its key under steps",
    "threads": "write resources: {cpus: N}",
    "log": "leave it out: what a step prints is kept (gitml logs)",
    "conda": "write environment: conda-lock.yml, which gitml env lock environment.yml makes",
    "container image docker": "write environment: {image: NAME@sha256:…}",
    "compute": "write target: NAME",
    "instance_count": "write nodes: N",
    "schedule": "gitml has no schedules: call gitml run from cron or your CI",
    "working-directory": "did you mean 'workdir'?",
    "continue-on-error allow_failure max_failures": "write errors: 3, or 10%, beside matrix: so many combinations may fail",
}  # fmt: skip
_PIPELINE_WORDS: Mapping[str, str] = {
    "stages jobs rules rule tasks": "did you mean 'steps'?",
    "components": "write steps; a step with module: NAME uses a module of the registry",
    "outputs": "outputs are made by steps: write them there",
    "vars config configfile": "write params: {NAME: default}",
    "parameters": "did you mean 'params'?",
    "metrics": "write outputs: {NAME: {type: metrics, path: PLACE}} in the step that makes them",
    "plots": "write outputs: {NAME: {type: plot, path: PLACE}} in the step that makes them",
    "artifacts": "outputs of steps are kept; there is no list of artifacts",
    "datasets": "write inputs: {NAME: path of the commit}",
    "schedule": "gitml has no schedules: call gitml run from cron or your CI",
    "on triggers": "gitml has no triggers: call gitml run from cron, your CI or a hook of Git",
    "description": "did you mean 'help'?",
    "display_name": "the name of the file is the name of the pipeline",
    "experiment_name": "did you mean 'experiment'?",
    "settings": "write target and environment, or defaults in gitml.yaml",
    "compute": "did you mean 'target'?",
    "type": "leave it out: a file in pipelines/ is a pipeline",
    "$schema": "leave it out",
    "include": "write extends: and the path of a base file",
    "conda": "write environment: conda-lock.yml, which gitml env lock environment.yml makes",
    "container": "write environment: {image: NAME@sha256:…}",
}  # fmt: skip
_OUTPUT_WORDS: Mapping[str, str] = {
    "cache": "outputs are always kept",
    "persist": "write cache: {NAME: {path: PLACE}} in the step for what a tool keeps between runs",
    "remote push": "remotes stand in gitml.yaml",
    "desc mode": "leave it out",
    "x y template title": "it is a key of plots: write type: plot",
}  # fmt: skip


def key_hint(word: str, where: str) -> str | None:
    """What to write for a key of another tool in a ``step``, a ``pipeline`` or an ``output``; None when it is no known one."""
    hints = {"step": _STEP_WORDS, "pipeline": _PIPELINE_WORDS, "output": _OUTPUT_WORDS}[where]
    return next((hint for words, hint in hints.items() if word in words.split()), None)
