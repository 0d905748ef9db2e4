"""Hypothesis strategies: values of the core, and small pipelines with edits of them.

A pipeline is a `Sketch`; `yaml_of` writes it as a file. Every command depends on nothing but its inputs and parameters, so
whatever the order of edits and runs, a commit has one right result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from gitml.core.kinds.port_kinds import PORT_KINDS
from gitml.core.model.action import READABLE, Action, ActionInput, ActionOutput, CodeFile, Scalar, StepCommit
from gitml.core.model.digest import Digest, from_hex
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.model.step_settings import StepSettings
from gitml.core.model.tree import KINDS, TreeEntry
from gitml.core.records.member_errors import MemberErrors
from gitml.core.records.record import OUTCOMES, RUN_STATES, Attempt, LogRef, Run, StepRun
from gitml.core.text.plot_options import PlotOptions


def examples(fast: int) -> int:
    """How many examples a test that runs pipelines looks at."""
    return fast * 25 if os.environ.get("GITML_TESTS") == "thorough" else fast


# -- values of the core

hex64 = st.text("0123456789abcdef", min_size=64, max_size=64)
digests: st.SearchStrategy[Digest] = hex64.map(from_hex)
oids = st.text("0123456789abcdef", min_size=40, max_size=40)
texts = st.text(max_size=20)  # without lone surrogates, as text of files is
hostile = st.one_of(
    texts,
    st.sampled_from(
        ["", "\n", '"', "\\", "\u2028", "\x00", "\x1b[31m", "\udc80\udcff", "a\udc00b", "𝕏", "💥" * 3, "=" * 300]
    ),
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars: st.SearchStrategy[Scalar] = st.one_of(st.booleans(), st.integers(-(10**63), 10**63), finite, hostile)
sizes = st.integers(0, 2**63 - 1)
times = st.floats(-1e11, 1e11)


def _tuples(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=most).map(tuple)


output_options = st.dictionaries(names, st.booleans() | hostile | _tuples(hostile), max_size=2).map(
    lambda options: tuple(sorted(options.items()))
)
code_files = st.builds(CodeFile, hostile, st.sampled_from(["100644", "100755", "120000", "40000"]), oids)
actions: st.SearchStrategy[Action] = st.builds(
    Action,
    argv=_tuples(hostile, 4),
    shell=st.sampled_from([None, "bash", "sh"]),
    params=_tuples(st.tuples(names, scalars)),
    code=_tuples(code_files),
    inputs=_tuples(
        st.builds(ActionInput, names, hostile, st.sampled_from(["file", "directory"]), st.one_of(digests, oids))
    ),
    outputs=_tuples(st.builds(ActionOutput, names, hostile, st.sampled_from(sorted(PORT_KINDS)), output_options)),
    env=_tuples(st.tuples(names, st.none() | hostile)),
    environment=digests,
    module=st.none() | hostile,
    settings=st.tuples(st.integers(1, 3), st.integers(1, 3)).map(
        lambda gang: StepSettings(nodes=gang[0], processes=gang[1]).keyed()
    ),
    format=st.sampled_from(READABLE),
    repository=st.none() | st.builds(StepCommit, oids, _tuples(st.tuples(hostile, oids)), _tuples(code_files)),
)

file_names = st.binary(min_size=1, max_size=12).filter(
    lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name
)
tree_entries = st.lists(
    st.builds(TreeEntry, file_names, st.sampled_from(KINDS), digests, sizes), max_size=6, unique_by=lambda e: e.name
)

costs = st.builds(Cost, finite, finite, sizes)
output_refs = st.builds(OutputRef, names, st.sampled_from(sorted(PORT_KINDS)), digests, sizes, st.booleans())
outputs = st.lists(output_refs, max_size=3, unique_by=lambda ref: ref.name).map(tuple)
metrics = st.dictionaries(hostile, finite, max_size=3)
guarantees = st.dictionaries(hostile, hostile, max_size=2)
results = st.builds(ActionResult, outputs, metrics, costs, hostile, finite, guarantees, guarantees)

attempts = st.builds(
    Attempt,
    id=hostile,
    outcome=st.sampled_from(["done", "failed", "timeout", "cancelled", "lost"]),
    started=times,
    cost=costs,
    exit_code=st.none() | st.integers(-64, 255),
    error=st.none() | hostile,
    log=st.none() | st.builds(LogRef, digests, sizes, sizes),
    partial=outputs,
)
step_runs = st.builds(
    StepRun,
    name=hostile,
    outcome=st.sampled_from(OUTCOMES),
    reason=hostile,
    seconds=st.floats(0, 1e6).map(lambda s: round(s, 6)),
    key=st.none() | digests,
    outputs=outputs,
    metrics=metrics,
    attempts=_tuples(attempts),
    cost=costs,
    saved=st.none() | costs,
    origin=st.none() | hostile,
    error=st.none() | hostile,
    guarantees=guarantees,
    labels=guarantees,
    parts=st.dictionaries(digests, digests, max_size=2),
).map(lambda step: step._replace(cost=Cost()) if step.outcome == "reused" else step)
runs: st.SearchStrategy[Run] = st.builds(
    Run,
    **dict.fromkeys(("id", "pipeline", "path", "experiment", "commit", "by", "host", "version", "message"), hostile),
    status=st.sampled_from(RUN_STATES),
    started=times,
    ended=times,
    dirty=st.booleans(),
    base=st.none() | oids,
    branch=st.none() | hostile,
    tags=_tuples(hostile),
    params=st.dictionaries(hostile, scalars, max_size=4),
    selected=_tuples(hostile),
    options=st.dictionaries(names, st.booleans(), max_size=2),
    steps=_tuples(step_runs),
    error=st.none() | hostile,
    errors=st.dictionaries(
        hostile,
        st.builds(
            MemberErrors, hostile, st.integers(0, 2**53 - 1), _tuples(hostile), _tuples(hostile), borne=st.booleans()
        ),
        max_size=2,
    ),
    plots=st.dictionaries(hostile, st.builds(PlotOptions, hostile, _tuples(hostile), hostile, hostile), max_size=2),
    modules=st.dictionaries(hostile, st.dictionaries(hostile, hostile, max_size=3), max_size=2),
)


# -- pipelines

LABELS = ("x", "y")
PARAMS = ("p", "q")
FILES = ("data/a.txt", "data/b.txt")
TOOL = 'out=$1; shift; . ./lib.sh; { line; for f in "$@"; do cat "$f"; done; } > "$out"\n'


@dataclass(frozen=True)
class Stage:
    """One step. `how` is concat (of all it reads), constant (the same bytes whatever it reads), count (of bytes, cut
    off to tens) or tool (a script of the commit). With `spread` it has a matrix of two labels."""

    reads: tuple[int, ...]
    files: tuple[int, ...]
    params: tuple[int, ...]
    after: tuple[int, ...]
    how: str
    spread: bool
    reuse: bool
    folder: bool


@dataclass(frozen=True)
class Sketch:
    """A pipeline: stage i reads and follows stages below i only."""

    stages: tuple[Stage, ...]
    values: tuple[int, ...] = (1, 2)
    comment: int = 0


def yaml_of(sketch: Sketch) -> str:
    """The pipeline file."""
    lines = [f"# comment {sketch.comment}", "params:"]
    lines += [f"  {name}: {value}" for name, value in zip(PARAMS, sketch.values, strict=True)]
    lines += ["inputs:", *(f"  f{number}: {path}" for number, path in enumerate(FILES)), "steps:"]
    for number, stage in enumerate(sketch.stages):
        lines += _stage(number, stage, sketch)
    return "\n".join(lines) + "\n"


def _stage(number: int, stage: Stage, sketch: Sketch) -> list[str]:
    read = [f"${{{{ inputs.f{file} }}}}" for file in stage.files]
    for other in stage.reads:
        wanted = sketch.stages[other]
        selector = ("[matrix]" if stage.spread else "[*]") if wanted.spread else ""
        read.append(f"${{{{ steps.s{other}{selector}.outputs.o }}}}")
    values = [f"${{{{ params.{PARAMS[param]} }}}}" for param in stage.params]
    if stage.spread:
        values.append("${{ matrix.m }}")
    out = "${{ outputs.o }}"
    everything = f"for f in {' '.join(read) or '/dev/null'}; do find $f -type f | sort | xargs cat; done"
    if stage.how == "tool":
        command = f"for f in {' '.join(read) or '/dev/null'}; do find $f -type f | sort; done > list; sh tool.sh all $(cat list); T"
        command = command.replace("T", f"cp all {out}" if not stage.folder else f"mkdir -p {out}; cp all {out}/f")
    else:
        made = {
            "concat": f"{{ echo {' '.join(values)}; {everything}; }}",
            "constant": f"{{ {everything}; }} > /dev/null; echo same",
            "count": f"{{ {everything}; }} | wc -c | cut -c1",
        }[stage.how]
        target = f"{out}/f" if stage.folder else out
        command = (f"mkdir -p {out}; " if stage.folder else "") + f"{{ {made}; }} > {target}"
    lines = [f"  s{number}:", "    shell: sh", f"    run: >-\n      {command}"]
    lines.append(f"    outputs: {{o: {'directory' if stage.folder else 'file'}}}")
    if stage.after:
        lines.append(f"    after: [{', '.join(f's{other}' for other in stage.after)}]")
    if stage.how == "tool":
        lines.append("    code: [lib.sh]")
    if stage.spread:
        lines.append(f"    matrix: {{m: [{', '.join(LABELS)}]}}")
    if not stage.reuse:
        lines.append("    reuse: false")
    return lines


@st.composite
def sketches(draw: Callable[..., Any]) -> Sketch:
    """Pipelines of one to five stages."""
    stages = []
    for number in range(draw(st.integers(1, 5))):
        below = list(range(number))
        some = st.lists(st.sampled_from(below), unique=True, max_size=2) if below else st.just([])
        how = draw(st.sampled_from(["concat", "concat", "constant", "count", "tool"]))
        stages.append(
            Stage(
                reads=tuple(draw(some)),
                files=tuple(draw(st.lists(st.sampled_from([0, 1]), unique=True, max_size=2))),
                params=tuple(draw(st.lists(st.sampled_from([0, 1]), unique=True, max_size=1))),
                after=tuple(draw(some)) if draw(st.integers(0, 4)) == 0 else (),
                how=how,
                spread=draw(st.integers(0, 3)) == 0,
                reuse=draw(st.integers(0, 5)) != 0,
                folder=draw(st.integers(0, 3)) == 0,
            )
        )
    return Sketch(tuple(stages))


@dataclass(frozen=True)
class Edit:
    """What is done before a run: `kind` is param, file, tool, comment, readme, reuse, how, delete or commit."""

    kind: str
    which: int = 0
    value: int = 0


edits = st.builds(
    Edit,
    st.sampled_from(["param", "file", "tool", "comment", "readme", "how", "reuse", "delete", "commit"]),
    st.integers(0, 9),
    st.integers(0, 3),
)


def edited(sketch: Sketch, edit: Edit) -> Sketch:
    """The sketch after an edit of the pipeline file; unchanged by edits of other files."""
    if edit.kind == "param":
        values = list(sketch.values)
        values[edit.which % 2] = edit.value
        return replace(sketch, values=tuple(values))
    if edit.kind == "comment":
        return replace(sketch, comment=edit.value)
    if edit.kind in ("how", "reuse"):
        stages = list(sketch.stages)
        index = edit.which % len(stages)
        change: dict[str, Any] = (
            {"how": ("concat", "constant", "count", "tool")[edit.value]}
            if edit.kind == "how"
            else {"reuse": edit.value > 0}
        )
        stages[index] = replace(stages[index], **change)
        return replace(sketch, stages=tuple(stages))
    return sketch


def files_of(sketch: Sketch) -> dict[str, str]:
    """All files of a project with this pipeline."""
    return {
        "pipelines/p.yaml": yaml_of(sketch),
        "tool.sh": TOOL,
        "lib.sh": "line() { echo tool 0; }\n",
        "README.md": "0\n",
        **{path: f"{path}\n" for path in FILES},
    }


def edited_files(sketch: Sketch, edit: Edit) -> dict[str, str]:
    """The files that an edit writes; `sketch` is the one after it."""
    if edit.kind == "file":
        return {FILES[edit.which % 2]: f"content {edit.value}\n"}
    if edit.kind == "tool":
        return {"lib.sh": f"line() {{ echo tool {edit.value}; }}\n"}
    if edit.kind == "readme":
        return {"README.md": f"{edit.value}\n"}
    return {"pipelines/p.yaml": yaml_of(sketch)}
