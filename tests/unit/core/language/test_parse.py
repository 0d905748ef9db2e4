"""Pipeline files: what they may say, and every mistake at once, each at its line and column."""

from __future__ import annotations

import json
import time

import pytest

from gitml.core.config.parse import parse_config
from gitml.core.config.project import Config, RayTarget, Target, machine_resources
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expand import build_graph
from gitml.core.language.expression import Ref
from gitml.core.language.parse import parse_pipeline
from gitml.core.language.spec import Pipeline, Port
from gitml.core.model.environment import REQUIREMENTS, EnvironmentSpec, spec_from_json
from gitml.core.model.resources import Resources
from gitml.core.model.step_settings import USUAL, StepSettings
from gitml.core.parameters.matrix import Axis, Matrix


def parse(text: str, defaults: StepSettings = USUAL) -> Pipeline:
    return parse_pipeline(text.encode(), "pipelines/p.yaml", defaults)


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(text)
    return [str(d).removeprefix("pipelines/p.yaml:") for d in caught.value.diagnostics]


def mistake(text: str) -> str:
    found = mistakes(text)
    assert len(found) == 1, found
    return found[0]


def steps(*lines: str) -> str:
    """A pipeline whose step ``a``, on line 2, has these lines, from line 3 on."""
    return "\n".join(["steps:", "  a:", *(f"    {line}" for line in lines), ""])


FULL = """\
name: p
help: All that can be said
experiment: tries
params:
  seed: 7
  rate: {type: float, default: 1, min: 0, max: 1.5, help: how fast}
  mode: {choices: [fast, slow], default: fast}
  data: {type: str}
inputs:
  raw: data/${{ params.mode }}.csv
env: {A: "1", TOKEN: null, B: 2, C: true}
environment: env/requirements.txt
sandbox: strict
code: [conf/]
steps:
  make:
    help: makes
    run: python3 make.py ${{ inputs.raw }} ${{ params.seed }} ${{ matrix.m }} ${{ outputs.o }}
    outputs:
      o: directory
      fixed: {type: metrics, path: "metrics/${{ matrix.m }}.json"}
    matrix: {m: [svm, 0.10, true]}
    env: {A: "${{ matrix.m }}"}
    environment: host
    sandbox: normal
    retries: 2
    timeout: 2h
    reuse: false
    resources: {cpus: 0.5, gpus: 1, memory: 8GiB, labels: {zone: a, n: 1}, custom: {license: 2}}
    code: src/*.sql
  use:
    run: [cat, "${{ steps.make[*].outputs.o }}", "${{ outputs.x }}"]
    outputs: {x: {type: file}}
    after: make
  shell:
    shell: bash
    run: |
      cat ${{ steps.make[0.1].outputs.o }} > ${{ outputs.y }}
    outputs: {y: plot}
"""


def test_everything_that_can_be_said_is_read() -> None:
    pipeline = parse(FULL)
    assert (pipeline.name, pipeline.help, pipeline.experiment) == ("p", "All that can be said", "tries")
    assert pipeline.params["rate"].default == 1.0
    assert type(pipeline.params["rate"].default) is float
    assert (pipeline.params["rate"].min, pipeline.params["rate"].max) == (0, 1.5)
    assert pipeline.params["mode"].choices == ("fast", "slow")
    assert pipeline.params["data"].default is None
    assert pipeline.inputs["raw"].source == ("data/", Ref("params", "mode"), ".csv")
    make, use, shell = pipeline.steps.values()
    assert make.matrix == Matrix((Axis("m", ("svm", 0.1, True)),))
    assert make.env == (("A", (Ref("matrix", "m"),)), ("B", ("2",)), ("C", ("true",)), ("TOKEN", None))
    assert (
        str(make.settings.environment),
        make.settings.strict,
        make.settings.retries,
        make.settings.timeout,
        make.settings.reuse,
    ) == ("host", False, 2, 7200.0, False)
    assert make.settings.resources == Resources(0.5, 1.0, 8 << 30, {"zone": "a", "n": "1"}, {"license": 2})
    assert make.code == (("conf/",), ("src/*.sql",))
    assert make.outputs == (Port("o", "directory"), Port("fixed", "metrics", ("metrics/", Ref("matrix", "m"), ".json")))
    assert use.words == (("cat",), (Ref("steps", "make", "o", "*"),), (Ref("outputs", "x"),))
    assert (str(use.settings.environment), use.settings.strict, use.settings.reuse, use.settings.timeout, use.after) == (
        "env/requirements.txt", True, True, None, ("make",),
    )  # fmt: skip
    assert shell.shell == "bash"
    assert (make.place.line, make.place.column) == (16, 3)


def test_defaults_of_the_project_hold_where_the_file_says_nothing() -> None:
    step = parse(steps("run: x"), StepSettings(EnvironmentSpec(REQUIREMENTS, "env.txt"), True)).steps["a"]
    assert (str(step.settings.environment), step.settings.strict) == ("env.txt", True)


def test_all_mistakes_are_told_at_once_in_order_of_place() -> None:
    text = """\
name: q
parms: {}
params:
  a:
  b: {type: flot, default: 1}
  c: {type: int, default: x, mx: 3}
  1d: 2
inputs:
  i: ../out
  j: /etc/passwd
steps:
  one:
    run: cat ${{ inputs.k }} ${{ params.e }} ${{ outputs.o }}
    outputs: {o: fil, n: file}
    retries: -1
    timeout: soon
    after: [tow]
  two:
    run: cat ${{ steps.on.outputs.o }} ${{ steps.one.outputs.p }} ${{ oops }}
    resources: {cpus: many, memory: 3 bananas, gpu: 1}
  three:
    shel: bash
  four: 7
"""
    assert mistakes(text) == [
        "1:7: the name is 'q' but the file is 'p'; make them the same",
        "2:1: unknown key 'parms' in the pipeline (did you mean 'params'?)",
        "4:5: parameter 'a' needs a default (text, number, true or false), or a type",
        "5:13: type must be str or int or float or bool or list or mapping, not 'flot'",
        "6:27: parameter 'c' must be int, not 'x'",
        "6:30: unknown key 'mx' in parameter 'c' (did you mean 'max'?)",
        "7:3: '1d' is not a name (letters, digits, '_' and '-', a letter or '_' first)",
        "9:6: input 'i' is a path that leaves the tree ('..')",
        "10:6: input 'j' is an absolute path; paths are relative to the repository",
        "12:3: step 'one' is after 'tow', which is no step (did you mean 'two'?)",
        "12:3: step 'one' never says where to write output 'n': use ${{ outputs.n }} in run, or give it a path",
        "13:14: unknown input 'k' (there is 'i', 'j')",
        "13:30: unknown parameter 'e' (there is 'a', 'b', 'c')",
        "14:18: output 'o' must be file or directory or metrics or plot, not 'fil'",
        "15:14: retries must be at least 0",
        "16:14: timeout must be a time such as 90s, 10m or 2h",
        "19:67: not an expression: 'oops' (params.x, inputs.x, outputs.x, matrix.x or steps.x.outputs.y)",
        "20:23: cpus must be a number",
        "20:37: memory must be a size such as 512MiB or 8GiB",
        "20:48: unknown key 'gpu' in resources (did you mean 'gpus'?)",
        "21:3: step 'three' needs run: the command (or module: the module to use)",
        "22:5: unknown key 'shel' in step 'three' (did you mean 'shell'?)",
        "23:9: step 'four' must be a mapping (name: value)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: steps is missing: a pipeline has at least one step"),
        ("[]", None),
        ("steps:", "1:7: a pipeline has at least one step"),
        ("steps: {}", "1:8: a pipeline has at least one step"),
        ("steps:\n  a:", "2:3: step 'a' is empty: it needs run"),
        (steps("help: x"), "2:3: step 'a' needs run: the command (or module: the module to use)"),
        (steps("run:"), "3:9: run of step 'a' must be text"),
        (steps("run: ''"), "3:10: step 'a': run is empty"),
        (steps("run: []"), "3:10: step 'a': run is empty"),
        (steps("run: {a: b}"), "3:10: run of step 'a' must be text"),
        (steps('run: "a\\0b"'), "3:10: run of step 'a' holds a NUL character"),
        (steps("run: cat 'x"), "3:10: step 'a': no closing quotation in the command"),
        (steps("run: [a]", "shell: bash"), "3:10: step 'a': with shell, run is one text"),
        (steps("run: a", "shell: zsh"), "4:12: shell must be bash or sh, not 'zsh'"),
        (steps("run: a ${{ params.x"), "3:12: an expression is not closed: '}}' is missing"),
        (steps("run: a", "outputs: {o: {path: x}}"), "4:18: output 'o' needs a type: file, directory, metrics, plot"),
        (steps("run: a", "outputs: {o: {type: file, path: ../x}}"), "4:37: output 'o' is a path that leaves the tree ('..')"),
        (steps("run: a", "outputs: {o: {type: file, path: .gitml/x}}"), "4:37: output 'o' can't lie in .gitml"),
        (steps("run: a", "outputs: {o: {type: file, path: .git/x}}"), "4:37: output 'o' is a path into .git"),
        (
            steps("run: a", "outputs: {o: {type: file, path: '${{ inputs.i }}'}}"),
            "4:37: output 'o' can use params.x and matrix.x, not inputs.i",
        ),
        (steps("run: a", "env: {GITML_X: 1}"), "4:11: 'GITML_X' can't be the name of an environment variable here"),
        (steps("run: a", "env: {a-b: 1}"), "4:11: 'a-b' can't be the name of an environment variable here"),
        (steps("run: a", "env: {A: [1]}"), "4:14: env 'A' must be text"),
        (steps("run: a", "env: {A: '${{ inputs.x }}'}"), "2:3: env 'A' can use params.x and matrix.x, not inputs.x"),
        (steps("run: a", "environment: /x"), "4:18: environment is an absolute path; paths are relative to the repository"),
        (steps("run: a", "sandbox: loose"), "4:14: sandbox must be strict or normal, not 'loose'"),
        (steps("run: a", "reuse: never"), "4:12: reuse must be true or false"),
        (steps("run: a", "retries: 1.5"), "4:14: retries must be a whole number"),
        (steps("run: a", "matrix: {m: []}"), "4:14: matrix 'm' has no values"),
        (steps("run: a", "matrix: {m: [1, '1']}"), "4:21: matrix 'm' has '1' twice"),
        (steps("run: a", "matrix: {m: [true, 'true']}"), "4:24: matrix 'm' has 'true' twice"),
        (steps("run: a", "matrix: {m: [[1]]}"), "4:18: a value of matrix 'm' must be text, a number, true or false, or a mapping"),
        (
            steps("run: a", "matrix: {m: ['x', 'x,y'], n: [z, 'y,z']}"),
            "4:13: two combinations of the matrix have the label 'x,y,z'",
        ),
        (
            steps("run: a", f"matrix: {{m: [{', '.join(map(str, range(101)))}], n: [{', '.join(map(str, range(100)))}]}}"),
            "4:13: a matrix of 10,100 combinations; at most 10,000",
        ),
        (steps("run: a ${{ outputs.o }}"), "3:12: step 'a' has no output 'o'"),
        (steps("run: a ${{ matrix.m }}"), "3:12: step 'a' has no matrix value 'm'"),
        (steps("run: a ${{ steps.b.outputs.o }}"), "3:12: unknown step 'b' (there is 'a')"),
        (steps("run: a", "code: ['${{ steps.a.outputs.o }}']"), "4:12: code can use params.x and matrix.x, not steps.a.outputs.o"),
        ("params: {p: {min: 1, default: x}}\nsteps: {a: {run: x}}", "1:14: min is for numbers; parameter 'p' is str"),
        ("params: {p: {min: 3, default: 2}}\nsteps: {a: {run: x}}", "1:31: parameter 'p' must be at least 3, not 2"),
        ("params: {p: {choices: [1, x], default: 1}}\nsteps: {a: {run: x}}", "1:23: a choice: parameter 'p' must be int, not 'x'"),
        ("params: {p: 1e999}\nsteps: {a: {run: x}}", "1:13: parameter 'p' must be finite"),
        ('params: {p: "a\\0"}\nsteps: {a: {run: x}}', "1:13: parameter 'p' holds a NUL character"),
        ("inputs: {i: 'x/${{ params.q }}'}\nsteps: {a: {run: x}}", "1:1: input 'i': unknown parameter 'q'"),
        ("inputs: {i: ''}\nsteps: {a: {run: x}}", "1:13: input 'i' is an empty path"),
        (
            "inputs: {i: 'https://example.com/x.csv'}\nsteps: {a: {run: x}}",
            "1:13: input 'i' is a URL, and inputs are files of the commit: commit the file (with Git LFS if it is large), "
            "or fetch it in a step",
        ),
        (
            "inputs: {i: 'data/*.csv'}\nsteps: {a: {run: x}}",
            "1:13: input 'i' is a pattern, and an input is one file or folder: name the folder, or write the pattern under "
            "`code:`",
        ),
        ("inputs: {i: 'a\\b'}\nsteps: {a: {run: x}}", "1:13: input 'i' is a path with a backslash; names are separated by '/'"),
        ("experiment: [x]\nsteps: {a: {run: x}}", "1:13: experiment must be text"),
    ],
)  # fmt: skip
def test_one_mistake_is_told_at_its_place(text: str, expected: str | None) -> None:
    found = mistakes(text)
    if expected is None:
        assert found
    else:
        assert found == [expected]


def test_expressions_are_placed_in_every_kind_of_scalar() -> None:
    assert mistakes(steps("run: |", "  first", "  then ${{ params.b }} ${{ params.c }}", "shell: sh")) == [
        "5:12: unknown parameter 'b'",
        "5:28: unknown parameter 'c'",
    ]
    assert mistakes(steps("run: >-", "  first ${{ params.a }}", "  then", "  ${{ params.b }}")) == [
        "4:13: unknown parameter 'a'",
        "6:7: unknown parameter 'b'",
    ]
    assert mistakes(steps('run: "é💥 ${{ params.b }}"')) == ["3:14: unknown parameter 'b'"]
    assert mistakes(steps("run:", "- cat", "- ${{ params.b }}", "- '${{ params.c }}'")) == [
        "5:7: unknown parameter 'b'",
        "6:8: unknown parameter 'c'",
    ]


def test_an_escaped_expression_is_none_and_does_not_shift_the_places_of_others() -> None:
    assert parse(steps("run: echo $${{ params.a }}")).steps["a"].words[1] == ("${{",)
    assert mistake(steps("run: echo $${{ a }} ${{ params.b }}")) == "3:25: unknown parameter 'b'"
    assert mistake(steps("run: echo $${{ a }} ${{ b }}")).startswith("3:25: not an expression: 'b'")


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (("run: cat 'a|b' a | b",), "3:22"),
        (("run: |", "  cat a '|'", "    --x y | z"), "5:9"),
        (("run: >-", "  cat a > b", "  --x y | z"), "4:13"),
        (('run: "cat \\"|\\" | b"',), "3:21"),
        (("run:", "  cat a |", "  b"), "4:13"),
    ],
)
def test_what_only_a_shell_understands_is_placed_in_every_kind_of_scalar(lines: tuple[str, ...], place: str) -> None:
    assert mistake(steps(*lines)).partition(": ")[0] == place


def test_indented_lines_of_a_folded_command_are_part_of_it() -> None:
    words = parse(steps("run: >-", "  python3 a.py", "    --b 1", "    --c 2")).steps["a"].words
    assert ["".join(map(str, word)) for word in words] == ["python3", "a.py", "--b", "1", "--c", "2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (steps("run: a", "env: {A: 'x/${params.p}'}"), "4:17: ${params.p} is no expression here: did you mean ${{ params.p }}?"),
        (steps("run: a", "code: ['{{ params.p }}/x']"), "4:13: {{ params.p }} is no expression here: did you mean ${{ params.p }}?"),
        (
            steps("run: a", "outputs: {o: {type: file, path: 'x/${matrix.m}'}}"),
            "4:40: ${matrix.m} is no expression here: did you mean ${{ matrix.m }}?",
        ),
        (steps("run: [echo, '${params.p}']"), "3:18: ${params.p} is no expression here: did you mean ${{ params.p }}?"),
        ("inputs: {i: 'd/${params.p}'}\n" + steps("run: x"), "1:16: ${params.p} is no expression here: did you mean ${{ params.p }}?"),
        (
            steps("run: |", "  # {{ params.p }}", "  echo '${params.p}' ${params.p}", "shell: sh"),
            "5:26: step 'a': ${params.p} is no expression here: did you mean ${{ params.p }}?",
        ),
    ],
)  # fmt: skip
def test_another_tool_s_expression_is_a_mistake_wherever_expressions_may_stand(text: str, expected: str) -> None:
    assert mistakes(text)[0] == expected


def test_the_words_of_a_list_are_text_whatever_a_shell_would_make_of_them() -> None:
    words = parse(steps('run: [echo, "$x", "*.csv", "a | b", "`c`", "{{ x }}", "~/d", "#"]')).steps["a"].words
    assert words == (("echo",), ("$x",), ("*.csv",), ("a | b",), ("`c`",), ("{{ x }}",), ("~/d",), ("#",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("output.clean", "did you mean outputs.clean?"),
        ("input.raw", "did you mean inputs.raw?"),
        ("param.rate", "did you mean params.rate?"),
        ("params['rate']", "did you mean params.rate?"),
        ("parent.inputs.raw", "did you mean inputs.raw?"),
        ("parent.jobs.prepare.outputs.clean", "did you mean steps.prepare.outputs.clean?"),
        ("jobs.prepare.outputs.clean", "did you mean steps.prepare.outputs.clean?"),
        ("steps.prepare.output.clean", "did you mean steps.prepare.outputs.clean?"),
        ("env.HOME", "params.x, inputs.x, outputs.x, matrix.x or steps.x.outputs.y"),
        ("rate", "params.x, inputs.x, outputs.x, matrix.x or steps.x.outputs.y"),
    ],
)
def test_what_is_no_expression_is_told_with_what_may_be_meant(text: str, expected: str) -> None:
    assert mistake(steps(f"run: a ${{{{ {text} }}}}")) == f"3:12: not an expression: {text!r} ({expected})"


@pytest.mark.parametrize(
    ("key", "mend"),
    [
        ("cmd: ls", "write run: the command"),
        ("outs: [x]", "write outputs: {NAME: {type: file, path: PLACE}}"),
        ("metrics: [x]", "write outputs: {NAME: {type: metrics, path: PLACE}}"),
        ("wdir: src", "did you mean 'workdir'?"),
        ("continue-on-error: true", "write errors: 3, or 10%, beside matrix: so many combinations may fail"),
        ("foreach: [a]", "write matrix: {NAME: [values]} and ${{ matrix.NAME }}"),
        ("always_changed: true", "write reuse: false"),
        ("frozen: true", "leave it out: a step runs only where"),
        ("needs: [b]", "using ${{ steps.NAME.outputs.PORT }} is waiting for it"),
        ("if: x", "a step can't be left out by a condition"),
        ("uses: x", "write module: NAME"),
        ("input: x", "did you mean 'inputs'?"),
        ("output: x", "did you mean 'outputs'?"),
        ("threads: 4", "write resources: {cpus: N}"),
        ("schedule: x", "gitml has no schedules"),
        ("image: x", "write environment: {image: NAME@sha256:…}"),
        ("conda: x", "write environment: conda-lock.yml"),
    ],
)
def test_a_key_of_another_tool_is_told_with_what_is_written_here(key: str, mend: str) -> None:
    found = [line for line in mistakes(steps("help: x", key)) if line.startswith("4:5: ")]
    assert len(found) == 1
    assert found[0].startswith(f"4:5: unknown key {key.partition(':')[0]!r} in step 'a' ({mend}")


@pytest.mark.parametrize(
    ("key", "mend"),
    [
        ("stages", "did you mean 'steps'?"),
        ("jobs", "did you mean 'steps'?"),
        ("components", "write steps"),
        ("vars", "write params: {NAME: default}"),
        ("schedule", "gitml has no schedules"),
        ("on", "gitml has no triggers"),
        ("configfile", "write params: {NAME: default}"),
    ],
)
def test_a_key_of_another_tool_at_the_top_is_told_with_what_is_written_here(key: str, mend: str) -> None:
    assert mistakes(f"{key}: x\n" + steps("run: x"))[0].startswith(f"1:1: unknown key {key!r} in the pipeline ({mend}")


@pytest.mark.parametrize(
    ("path", "what", "mend"),
    [
        ("environment.yml", "a conda environment, which does not lock its packages", "gitml env lock environment.yml"),
        (
            "env/environment-gpu.yaml",
            "a conda environment, which does not lock its packages",
            "gitml env lock env/environment-gpu.yaml",
        ),
        ("pyproject.toml", "a project, which does not lock its packages", "gitml env lock pyproject.toml"),
        ("poetry.lock", "a lock of Poetry", "poetry export -o requirements.txt"),
        ("Pipfile.lock", "a file of Pipenv", "pipenv requirements --hash > requirements.txt"),
        ("sub/pdm.lock", "a lock of PDM", "pdm export -f pylock -o sub/pylock.toml"),
        ("pixi.toml", "a project of pixi, which does not lock its packages", "gitml env lock pixi.toml"),
        ("setup.py", "a project, which does not lock its packages", "gitml env lock setup.py"),
        ("renv.lock", "a lock of renv", "gitml env lock environment.yml"),
        ("docker/Dockerfile", "a recipe of an image", "{image: NAME@sha256:…}"),
    ],
)
def test_an_environment_file_that_is_not_taken_is_told_with_the_way_to_one_that_is(
    path: str, what: str, mend: str
) -> None:
    line = mistake(steps("run: x", f"environment: {path}"))
    assert line.startswith(f"4:18: environment {path!r} is {what}: ")
    assert mend in line
    assert mistakes(f"environment: {path}\n" + steps("run: x"))[0].startswith(f"1:14: environment {path!r} is {what}")
    with pytest.raises(SpecError, match=what):
        parse_config(f"defaults: {{environment: {path}}}\n".encode())


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{docker: a}", "environment names no kind of environment: one of "),
        (
            "{Uv: uv.lock}",
            "environment names no kind of environment: one of conda, host, image, pixi, pylock, requirements, script, uv, venv (did you mean 'uv'?)",
        ),
        ("{host: [], python: '3.12'}", "environment names no distributions: host: [torch, numpy]"),
        ("{requirements: r.txt, host: [a]}", "environment is of one kind, not requirements and host"),
        (
            "{requirements: r.txt, python: 3.10}",
            'python of environment must be text, as 3.10 is the number 3.1: python: "3.10"',
        ),
        ("{requirements: r.txt, python: '3'}", "python of environment must be a version such as"),
        ("{requirements: r.txt, groups: [a]}", "'groups' is no option of an environment of kind requirements"),
        ("{requirements: /etc/r.txt}", "environment is an absolute path"),
        ("{requirements: r.txt, install: ../x}", "install of environment is a path that leaves the tree"),
    ],
)
def test_a_mistake_in_an_environment_that_is_a_mapping_is_told_at_its_place(written: str, message: str) -> None:
    found = mistakes(steps("run: x", f"environment: {written}"))
    assert any(line.startswith("4:") and message in line for line in found), found


def test_an_environment_that_is_a_mapping_has_its_options_in_normal_form() -> None:
    step = parse(steps("run: x", "environment: {install: ./, python: '3.12', requirements: ./r.txt}")).steps["a"]
    assert step.settings.environment == EnvironmentSpec("requirements", "r.txt", (("install", "."), ("python", "3.12")))
    host = parse(steps("run: x", "environment: {host: [Torch, scikit_learn, torch]}")).steps["a"].settings.environment
    assert host == EnvironmentSpec("host", "", (("packages", ("scikit-learn", "torch")),))
    for spec in (step.settings.environment, host, EnvironmentSpec("requirements", "r.txt"), EnvironmentSpec()):
        assert spec_from_json(json.loads(json.dumps(spec.as_json()))) == spec


@pytest.mark.parametrize(
    ("place", "path", "message"),
    [
        ("data", "data/x", "(data/x) and the input 'i' (data) lie in one another: give it another path"),
        ("data/x", "data", "(data) and the input 'i' (data/x) lie in one another: give it another path, or take the input from the step: ${{ steps.b.outputs.o }}/x"),
        ("data/x", "./data/x", "(data/x) is the input 'i': give it another path, or take the input from the step: ${{ steps.b.outputs.o }}"),
        ("data/x", "data/xy", None),
    ],
)  # fmt: skip
def test_an_output_in_an_input_of_any_step_is_a_mistake_at_its_path(place: str, path: str, message: str | None) -> None:
    text = f"inputs: {{i: {place}}}\nsteps:\n  a: {{run: 'cat ${{{{ inputs.i }}}}'}}\n"
    text += f"  b: {{run: x, outputs: {{o: {{type: file, path: {path}}}}}}}\n"
    if message is None:
        assert parse(text).steps
    else:
        assert mistake(text) == f"4:47: output 'o' of step 'b' {message}"


CHAIN = "  {name}:\n    run: cat {read} ${{{{ outputs.o }}}}\n    outputs: {{o: file}}\n"


def test_a_cycle_is_told_with_its_full_path() -> None:
    text = "steps:\n" + "".join(
        CHAIN.format(name=name, read=f"${{{{ steps.{parent}.outputs.o }}}}")
        for name, parent in (("a", "c"), ("b", "a"), ("c", "b"), ("d", "c"))
    )
    assert mistake(text) == "2:3: steps wait for each other: a -> b -> c -> a"
    assert mistake(steps("run: x", "after: a")) == "2:3: steps wait for each other: a -> a"


def test_two_cycles_are_both_told() -> None:
    text = "steps:\n" + "".join(f"  {n}:\n    run: x\n    after: [{p}]\n" for n, p in ("ab", "ba", "cd", "dc"))
    assert len(mistakes(text)) == 2


def test_a_chain_of_5000_steps_is_read_in_any_order_without_a_recursion_error() -> None:
    lines = [CHAIN.format(name="s0", read="x")]
    lines += [CHAIN.format(name=f"s{n}", read=f"${{{{ steps.s{n - 1}.outputs.o }}}}") for n in range(1, 5000)]
    start = time.process_time()
    assert len(parse("steps:\n" + "".join(reversed(lines))).steps) == 5000
    assert time.process_time() - start < 10
    ring = lines[1:] + [CHAIN.format(name="s0", read="${{ steps.s4999.outputs.o }}")]
    told = mistake("steps:\n" + "".join(ring))
    assert told.count(" -> ") == 5000


def test_5000_steps_with_paths_of_their_own_are_read_in_seconds() -> None:
    lines = [f"  s{n}:\n    run: x\n    outputs: {{o: {{type: file, path: out/{n}/o}}}}\n" for n in range(5000)]
    start = time.process_time()
    parse("steps:\n" + "".join(lines))
    assert time.process_time() - start < 6


def test_200_expressions_with_labels_of_a_matrix_of_5000_are_checked_in_seconds() -> None:
    values = ", ".join(map(str, range(5000)))
    used = " ".join(f"${{{{ steps.m[{n}].outputs.o }}}}" for n in range(200))
    text = (
        f"steps:\n  m: {{run: 'x ${{{{ outputs.o }}}}', outputs: {{o: file}}, matrix: {{a: [{values}]}}}}\n  g: {{run: 'g {used}'}}\n"
        f"  h: {{run: 'h ${{{{ steps.m[matrix].outputs.o }}}}', matrix: {{a: [7, 4999]}}}}\n"
    )
    start = time.process_time()
    parse(text)
    assert "no combination [5000]" in mistake(text.replace("m[199]", "m[5000]"))
    assert "[matrix] needs step 'h' to have the matrix value 'a' too" in mistake(text.replace("7, 4999", "7, 5000"))
    assert time.process_time() - start < 8


@pytest.mark.parametrize(
    ("one", "two", "shared"),
    [("out/x", "out/x", "out/x"), ("out", "out/x", "out/x"), ("out/x", "out", "out"), ("./out//x/", "out/x", "out/x")]
    + [("out/x", "out/y", None), ("out", "output", None), ("out/x", "out/xy", None)],
)
def test_two_steps_with_one_output_are_refused(one: str, two: str, shared: str | None) -> None:
    text = "steps:\n" + "".join(
        f"  {name}:\n    run: x\n    outputs: {{o: {{type: file, path: {path}}}}}\n"
        for name, path in (("a", one), ("b", two))
    )
    if shared is None:
        parse(text)
    else:
        assert mistake(text) == f"5:3: steps 'a' and 'b' both make {shared!r}"


def test_two_outputs_of_a_step_with_one_path_are_refused() -> None:
    text = steps("run: x", "outputs:", "  o: {type: directory, path: out}", "  p: {type: file, path: out/x}")
    assert mistake(text) == "2:3: outputs 'o' and 'p' of step 'a' share the path 'out/x'"
    assert "share the path" in mistake(
        text.replace("directory, path: out", "file, path: out").replace("file, path: out/x", "metrics, path: out/x")
    )
    assert "share the path" in mistake(text.replace("file, path: out/x", "metrics, path: out"))


@pytest.mark.parametrize("kind", ["metrics", "plot"])
@pytest.mark.parametrize("outer_first", [True, False])
def test_what_is_read_or_drawn_may_be_a_file_of_a_directory(kind: str, outer_first: bool) -> None:
    lines = ["  o: {type: directory, path: out}", f"  p: {{type: {kind}, path: out/deep/x.csv}}"]
    text = steps("run: x", "outputs:", *(lines if outer_first else lines[::-1]))
    assert parse(text).steps["a"].port("p") is not None


MATRIX = """\
steps:
  many:
    run: x ${{ outputs.o }}
    outputs: {o: file}
    matrix: {m: [a, b], n: [1, 2]}
  one:
    run: x SELECTED ${{ outputs.o }}
    outputs: {o: file}
"""


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", "7:12: step 'many' has a matrix: say steps.many[*].outputs.o, or one label in the brackets"),
        ("[a]", "7:12: step 'many' has no combination [a] (there is 'a,1', 'a,2', 'b,1', 'b,2')"),
        ("[a,1 ]", "7:12: step 'many' has no combination [a,1 ] (did you mean 'a,1'?)"),
        ("[matrix]", "7:12: [matrix] needs step 'one' to have the matrix value 'm' too"),
        ("[*]", None),
        ("[b,2]", None),
    ],
)
def test_a_selector_must_fit_the_matrix(selector: str, expected: str | None) -> None:
    text = MATRIX.replace("SELECTED", f"${{{{ steps.many{selector}.outputs.o }}}}")
    if expected is None:
        parse(text)
    else:
        assert mistake(text) == expected


def test_a_selector_of_a_step_without_a_matrix_is_refused() -> None:
    text = MATRIX.replace("    matrix: {m: [a, b], n: [1, 2]}\n", "").replace(
        "SELECTED", "${{ steps.many[*].outputs.o }}"
    )
    assert mistake(text) == "6:12: step 'many' has no matrix to choose from: leave [*] out"


@pytest.mark.parametrize(
    ("own", "fits"),
    [("{m: [a], n: [1, 2]}", True), ("{m: [a, b], n: [1, 2], k: [x]}", True), ("{m: [c], n: [1]}", False)]
    + [("{m: [a], n: [1.0]}", False), ("{m: [a], n: [true]}", False), ("{m: [a], n: ['1']}", True)],
)
def test_the_matrix_selector_needs_the_same_values_as_commands_see_them(own: str, fits: bool) -> None:
    text = MATRIX.replace("SELECTED", "${{ steps.many[matrix].outputs.o }}") + f"    matrix: {own}\n"
    if fits:
        parse(text)
    else:
        assert "[matrix] needs step 'one' to have the matrix value" in mistake(text)


# -- gitml.yaml


def config_mistakes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_config(text.encode())
    return [str(d).removeprefix("gitml.yaml:") for d in caught.value.diagnostics]


def test_a_configuration_is_read() -> None:
    text = """\
defaults: {pipeline: p, experiment: e, environment: ./env/requirements.txt, sandbox: strict}
targets: {local: {cpus: 4, gpus: 1, memory: 8GiB, labels: {zone: a}, custom: {license: 1}}}
records: {inline_file: 1KiB, inline_run: 0}
"""
    config = parse_config(text.encode())
    assert config.defaults == StepSettings(EnvironmentSpec(REQUIREMENTS, "env/requirements.txt"), True)
    assert (config.pipeline, config.experiment, config.inline_file, config.inline_run) == ("p", "e", 1024, 0)
    assert machine_resources(config.local, Resources(64, 0, 1 << 40)) == Resources(
        4, 1, 8 << 30, {"zone": "a"}, {"license": 1}
    )
    assert parse_config(b"") == Config()
    assert machine_resources({}, Resources(2, 1, 3)) == Resources(2, 1, 3)


def test_all_mistakes_of_a_configuration_are_told() -> None:
    text = "default: 1\ndefaults: {pipelin: p, environment: /x}\ntargets: {ray: {}, local: {cpus: -1, memory: big}}\nrecords: {inline_file: x}\n"
    assert config_mistakes(text) == [
        "1:1: unknown key 'default' in gitml.yaml (did you mean 'defaults'?)",
        "2:12: unknown key 'pipelin' in defaults (did you mean 'pipeline'?)",
        "2:37: environment is an absolute path; paths are relative to the repository",
        "3:11: target 'ray' needs ray: host:port, ray://host:port, auto or local",
        "3:34: cpus must be at least 1",
        "3:46: memory must be a size such as 512MiB or 8GiB",
        "4:24: inline_file must be a size such as 512MiB or 8GiB",
    ]


def test_clusters_are_read_with_all_that_can_be_said_of_them() -> None:
    text = """\
targets:
  local: {cpus: 2}
  big: {ray: "10.0.0.1:6379", token: ~/.token, cache: 10GiB, resources: {memory: 4GiB, labels: {zone: a}}}
  far: {ray: "ray://head.example.com:10001", insecure: true}
  near: {ray: auto}
  own: {ray: local, cpus: 4, gpus: 2, custom: {licence: 1}}
"""
    config = parse_config(text.encode())
    requests = Resources(memory=4 << 30, labels={"zone": "a"})
    assert config.targets == {
        "big": Target("big", "ray", RayTarget("big", "10.0.0.1:6379", "~/.token", False, 10 << 30), requests),
        "far": Target("far", "ray", RayTarget("far", "ray://head.example.com:10001", insecure=True)),
        "near": Target("near", "ray", RayTarget("near", "auto")),
        "own": Target("own", "ray", RayTarget("own", "local", has={"cpus": 4, "gpus": 2, "custom": {"licence": 1}})),
    }
    assert config.local == {"cpus": 2}


def test_what_a_target_wishes_is_asked_for_by_steps_that_say_nothing_of_it() -> None:
    target = Target(
        "t", "ray", requests=Resources(memory=5, labels={"zone": "a", "disk": "ssd"}, custom={"licence": 1})
    )
    asked = Resources(2.0, 1.0, 0, {"zone": "b"}, {"seat": 2})
    assert target.request(asked) == Resources(2.0, 1.0, 5, {"zone": "b", "disk": "ssd"}, {"licence": 1, "seat": 2})
    assert target.request(Resources(memory=7)).memory == 7


def test_all_mistakes_of_targets_are_told() -> None:
    text = """\
targets:
  a: {ray: 10.0.0.1, token: secret, resources: {gpus: 1, label: 3}}
  b: {insecur: true}
  c: 1.2.3.4:6
  d: {ray: "h:77777", cpus: 3, labels: {a: b}, insecure: 3, dashboard: "http://h:1"}
  e f: {ray: auto}
  g:
"""
    assert config_mistakes(text) == [
        "2:12: ray must be host:port, ray://host:port, auto or local, not '10.0.0.1'",
        "2:29: token is the path of a file outside the repository: write it with / or ~/ in front; the token itself never belongs here",
        "2:49: gpus are said by steps: one that says nothing asks for one CPU and no GPU",
        "2:58: unknown key 'label' in resources of target 'a' (did you mean 'labels'?)",
        "3:3: target 'b' needs ray: host:port, ray://host:port, auto or local",
        "3:7: unknown key 'insecur' in target 'b' (did you mean 'insecure'?)",
        "4:3: target 'c' needs ray: host:port, ray://host:port, auto or local",
        "5:12: ray must be host:port, ray://host:port, auto or local, not 'h:77777'",
        "5:23: cpus is for ray: local; its machines say what they have",
        "5:32: labels is for ray: local; say what steps ask for under resources",
        "5:58: insecure must be true or false",
        "5:72: dashboard must be host:port, not 'http://h:1'",
        "6:3: 'e f' is not a name (letters, digits, '_' and '-', a letter or '_' first)",
        "7:3: target 'g' needs ray: host:port, ray://host:port, auto or local",
    ]


def test_a_step_says_its_target_and_gang_and_the_pipeline_the_target_of_the_others() -> None:
    text = "target: big\nsteps:\n  a: {run: x}\n  b: {run: x, target: local, nodes: 4, processes: 2}\n"
    pipeline = parse(text)
    assert [(step.settings.target, step.settings.gang) for step in pipeline.steps.values()] == [
        ("big", (1, 1)),
        ("local", (4, 2)),
    ]
    assert [(s.settings.target, s.settings.gang) for s in build_graph(pipeline, {}).steps.values()] == [
        ("big", (1, 1)),
        ("local", (4, 2)),
    ]


def test_mistakes_in_target_and_gang_are_told() -> None:
    assert mistakes("target: a b\nsteps:\n  a: {run: x, target: 3, nodes: 0, processes: 1.5}\n") == [
        "1:9: target must be the name of a target, not 'a b'",
        "3:23: target must be the name of a target, not '3'",
        "3:33: nodes must be at least 1",
        "3:47: processes must be a whole number",
    ]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("{type: file, path: a, pattern: b}", "output 'x' has a path and a pattern: keep one of them"),
        ("{type: metrics, pattern: b}", "output 'x' is of type metrics, and only `file` and `directory` has `pattern`"),
        ("{type: file, pattern: ../b}", "pattern of output 'x' is a path that leaves the tree"),
        ("{type: file, pattern: .gitml/*}", "nothing in .gitml is an output"),
        ("{type: file, pattern: []}", "pattern of output 'x' is empty"),
        ('{type: file, pattern: "${{ inputs.x }}"}', "pattern of output 'x' can use params.x and matrix.x"),
    ],
)
def test_a_pattern_of_an_output_that_can_match_nothing_is_a_mistake(output: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_pipeline(f"steps:\n  s:\n    run: a\n    outputs:\n      x: {output}\n".encode(), "pipelines/p.yaml")
    assert any(said in str(found) for found in caught.value.diagnostics)


def test_an_output_with_a_pattern_has_no_place_to_write_to() -> None:
    text = b"steps:\n  s:\n    run: a ${{ outputs.x }}\n    outputs: {x: {type: file, pattern: '*.bin'}}\n"
    with pytest.raises(SpecError, match=r"outputs.x is what matches a pattern and has no place to write to"):
        parse_pipeline(text, "pipelines/p.yaml")
