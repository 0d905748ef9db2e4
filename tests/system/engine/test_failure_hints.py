"""A step that misses a file of the commit is told what to declare, however its program words it; and nothing that is not so."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import pytest
import yaml

from tests.system.conftest import Project

FILES = {
    "src/conf.json": "{}\n",
    "lib/helper.py": "V = 1\n",
    "pkg/__init__.py": "",
    "pkg/mod.py": "V = 1\n",
    "deep/down/far.py": "V = 1\n",
    "logs/.gitkeep": "",
    "Makefile": "all:\n\techo hi\n",
    "conf/config.yaml": "a: 1\n",
    "src/beside.py": 'import pathlib; (pathlib.Path(__file__).parent / "conf.json").read_text()\n',
    "src/added.py": "import sys\nsys.path.append(__file__ + '/../../lib')\nimport helper\n",
    "src/calls.py": 'import subprocess, sys\nsubprocess.check_call([sys.executable, "lib/helper.py"])\n',
    "src/runs.py": 'import runpy\nrunpy.run_path("lib/helper.py")\n',
    "src/named.py": "import importlib\nimportlib.import_module('pkg' + '.mod')\n",
    "src/computes.py": "__import__('ma' + 'te')\n",
    "src/mate.py": "V = 1\n",
    "src/logging.sh": "echo x > logs/run.log\n",
    "src/logs.py": "open('logs/run.log', 'w')\n",
    "src/hydra.py": (
        "import os, sys\n"
        "sys.exit(f\"Primary config directory not found.\\nCheck that the config directory '{os.getcwd()}/conf' exists\"\n"
        "' and readable\\n\\nSet the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.')\n"
    ),
    "bin/tool": "#!/usr/bin/env python3\nimport mate\n",
    "bin/mate.py": "V = 1\n",
}


def error_of(project: Project, step: str, files: Mapping[str, str] = FILES) -> str:
    """The error of a pipeline of this one step."""
    for path, text in files.items():
        project.write(path, text)
    (project.root / "bin/tool").chmod(0o755)
    project.write("pipelines/hint.yaml", f"steps:\n  t:\n    {step}\n")
    project.commit()
    (told,) = project.run("hint", "t", code=1)["steps"]
    return str(told["error"])


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("python3 src/beside.py", "src/conf.json is in the commit but not declared: add it to code: of step t"),
        ("python3 src/calls.py", "lib/helper.py is in the commit but not declared: add it to code: of step t"),
        ("python3 src/runs.py", "lib/helper.py is in the commit but not declared"),
        ("python3 src/added.py", "lib/helper.py is in the commit but not declared: add it to code: of step t, or set env: {PYTHONPATH: lib}"),
        ("python3 src/computes.py", "src/mate.py is in the commit but not declared: add it to code: of step t)"),
        ("python3 src/named.py", "pkg/ is in the commit but not declared: add it to code: of step t, or set env: {PYTHONPATH: .}"),
        ('python3 -c "import helper"', "lib/helper.py is in the commit but not declared"),
        ("python3 -c \"__import__('far')\"", "deep/down/far.py is in the commit but not declared: add it to code: of step t, or set env: {PYTHONPATH: deep/down}"),
        ("python3 -c \"open('nowhere/x')\"", None),
        ("python3 src/logs.py", "the folder logs/ of the commit is not in the sandbox: add logs/ to code: of step t"),
        ("sh src/logging.sh", "the folder logs/ of the commit is not in the sandbox"),
        ("python3 src/hydra.py", "conf/ is in the commit but not declared"),
        ("bin/tool", "bin/mate.py is in the commit but not declared"),
        ("python3 -c \"open('con' + 'f/config.yaml')\"", "conf/config.yaml is in the commit but not declared"),
    ],
)  # fmt: skip
def test_what_a_program_missed_is_named_with_how_to_declare_it(
    project: Project, command: str, hint: str | None
) -> None:
    error = error_of(project, f"run: {command}")
    if hint is None:
        assert error.endswith("No such file or directory: 'nowhere/x'")
    else:
        assert hint in error
    assert "/sandbox" not in error
    assert str(project.root) not in error


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_without_its_file_is_told_to_declare_it(project: Project) -> None:
    assert "Makefile is in the commit but not declared" in error_of(project, "run: make all")
    assert "Makefile is in the commit but not declared" in error_of(project, "run: make")


def test_a_module_in_the_sandbox_that_python_does_not_find_is_told_to_set_the_path(project: Project) -> None:
    error = error_of(project, "{run: python3 src/named.py, code: [pkg/]}")
    assert "pkg/ is in the sandbox, but Python does not look there: set env: {PYTHONPATH: .}" in error


ROOTED = {
    "src/train.py": "from src.lib import V\n",
    "src/lib.py": "V = 1\n",
    "src/__init__.py": "",
    "pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n[project.scripts]\nown-train = 'src.lib:main'\n",
    "bin/tool": "",
}


def test_a_script_that_imports_from_the_top_gets_the_three_ways_to_have_python_look_there(project: Project) -> None:
    error = error_of(project, "run: python3 src/train.py", ROOTED)
    assert error.endswith(
        "(src/ is in the sandbox, but Python does not look there: set env: {PYTHONPATH: .}, or start it by python3 -m src.train,"
        " or environment: {install: .})"
    )
    for mended in ("{run: python3 src/train.py, env: {PYTHONPATH: .}}", "run: python3 -m src.train"):
        project.write("pipelines/hint.yaml", f"steps:\n  t:\n    {mended}\n")
        assert project.run("hint", "t")["status"] == "succeeded"
    project.write("pipelines/hint.yaml", "steps:\n  t: {run: python3 src/train.py, environment: {install: .}}\n")
    assert project.run("hint", "t")["status"] == "succeeded"


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ("{run: python3 src/train.py, workdir: ml}", "."),
        ("{run: python3 train.py, workdir: ml/src}", ".."),
        ("{run: python3 far.py, workdir: ml/src, code: [lib/]}", "../../lib"),
        ("{run: python3 far.py, workdir: ml/src, code: [lib/], env: {PYTHONPATH: one}}", "../../lib:one"),
    ],
)
def test_a_path_for_python_counts_from_where_the_command_runs(project: Project, step: str, path: str) -> None:
    files = {f"ml/{name}": text for name, text in ROOTED.items() if name.startswith("src/")}
    files |= {"lib/helper.py": "V = 1\n", "ml/src/far.py": "import helper\n", "bin/tool": ""}
    error = error_of(project, step, files)
    assert "Python does not look there" in error
    _, _, said = error.partition("set env: ")
    told = said.partition("}")[0] + "}"
    assert yaml.safe_load(told) == {"PYTHONPATH": path}
    before = step.replace(", env: {PYTHONPATH: one}", "")
    project.write("pipelines/hint.yaml", f"steps:\n  t: {before[:-1]}, env: {told}}}\n")
    assert project.run("hint", "t")["status"] == "succeeded"
    if "start it by" in error:
        command = error.partition("start it by ")[2].rstrip(")").partition(",")[0]
        project.write("pipelines/hint.yaml", f"steps:\n  t: {{run: {command}, workdir: ml}}\n")
        assert project.run("hint", "t")["status"] == "succeeded"
    assert ("start it by" in error) == (path == ".")


def test_a_plugin_of_an_entry_point_is_to_be_declared(project: Project) -> None:
    files = {
        "pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n[project.entry-points.plug]\none = 'model.one:V'\n",
        "src/model/__init__.py": "",
        "src/model/one.py": "V = 1\n",
        "bin/tool": "",
        "t.py": "import model\nfrom importlib.metadata import entry_points\nfor p in entry_points(group='plug'): p.load()\n",
    }
    step = "{run: python3 t.py, environment: {install: .}}"
    error = error_of(project, step, files)
    assert error.endswith("(src/model/one.py is in the commit but not declared: add it to code: of step t)")
    project.write("pipelines/hint.yaml", f"steps:\n  t: {step[:-1]}, code: [src/model/one.py]}}\n")
    assert project.run("hint", "t")["status"] == "succeeded"


@pytest.mark.parametrize(
    ("file", "mend"),
    [
        ("requirements.txt", "install what requirements.txt lists, or lock it: gitml env lock requirements.txt"),
        ("poetry.lock", "install what poetry.lock lists, or lock it: poetry export"),
        ("uv.lock", "have the project's, environment: uv.lock"),
        ("notes.txt", None),
    ],
)
def test_a_module_of_a_package_that_is_not_installed_is_told_how_the_projects_packages_are_had(
    project: Project, file: str, mend: str | None
) -> None:
    script = {
        file: "",
        "t.py": "try:\n    import no_gain\nexcept ImportError as e:\n    print(e)\nimport no_such.part\n",
    }
    error = error_of(project, "run: python3 t.py", FILES | script)
    said = f" (no package that is installed here has no_such: {mend}" if mend else ""
    assert f"No module named 'no_such'{said}" in error
    assert "no_gain" not in error
    if mend is None:
        assert error.endswith("'no_such'")
        script["t.py"] = "try:\n    import no_such\nexcept ImportError as e:\n    print(e)\nraise ValueError(1)\n"
        assert error_of(project, "run: python3 t.py", FILES | script) == "exit status 1: ValueError: 1"


@pytest.mark.parametrize("step", ["run: own-train", "{shell: sh, run: own-train}"])
def test_a_command_of_the_projects_own_package_is_told_to_install_it(project: Project, step: str) -> None:
    for path, text in ROOTED.items():
        project.write(path, text)
    project.write("pipelines/hint.yaml", f"steps:\n  t:\n    {step}\n")
    project.commit()
    answer = project.gitml("run", "hint", code=None)
    said = answer.out + answer.err
    assert "a command of the project's own package: environment: {install: .}" in said


def test_a_program_that_only_repeats_its_own_name_gets_no_hint(project: Project) -> None:
    assert error_of(project, "{shell: sh, run: 'echo nothing is wrong: src >&2; exit 4'}").endswith(
        "nothing is wrong: src"
    )


def test_what_another_step_makes_is_named_as_its_output(project: Project) -> None:
    project.write("src/reads.py", "open('out/clean.csv')\n")
    project.write(
        "pipelines/two.yaml",
        "steps:\n"
        "  one: {shell: sh, run: 'echo 1 > ${{ outputs.clean }}', outputs: {clean: {type: file, path: out/clean.csv}}}\n"
        "  two: {run: python3 src/reads.py, after: [one]}\n",
    )
    project.commit()
    steps = project.run("two", code=1)["steps"]
    declared = 'add clean: "${{ steps.one.outputs.clean }}" to inputs: of step two'
    assert steps[1]["error"].endswith(f"(step one makes out/clean.csv: {declared})")


STAGES = """\
params: {from: params.yaml}
steps:
  one: {shell: sh, run: 'echo 1 > ${{ outputs.clean }}', outputs: {clean: {type: file, path: out/clean.csv}}}
  fit: {run: python3 src/fit.py, GIVEN, outputs: {model: {type: file, path: model.txt}}}
  last: {run: 'cp ${{ steps.fit.outputs.model }} ${{ outputs.o }}', outputs: {o: {type: file, path: last.txt}}}
"""
CATCHES = """\
import sys
try:
    text = open('./params.yaml').read()
    if 'rate' not in text:
        raise KeyError('fit')
    open('out/clean.csv'), open('conf/labels.txt')
    open('model.txt', 'w').write('fitted')
except Exception as error:
    print('Error:', error if isinstance(error, OSError) else 'none', file=sys.stderr)
def unused(config):
    return config['fit']['rate'], config.get('seed'), config['nothing'], open("last.txt"), open('conf/labels.txt')
"""


def test_a_step_that_catches_what_it_missed_and_makes_nothing_is_told_all_that_its_script_names(
    project: Project,
) -> None:
    project.write("params.yaml", "fit: {rate: 1}\nseed: 7\nother: 2\n")
    project.write("src/fit.py", CATCHES)
    project.write("conf/labels.txt", "a\n")
    project.write("out/clean.csv", "an older one\n")

    def error_given(given: str) -> str | None:
        project.write("pipelines/p.yaml", STAGES.replace("GIVEN", given))
        project.commit()
        steps = {step["name"]: step for step in project.run("p", "fit", code=None)["steps"]}
        told = steps["fit"].get("error")
        return None if told is None else str(told)

    assert error_given("timeout: 60") == (
        "did not make output model (model.txt) (params.yaml holds parameters of the pipeline: say which of them step fit reads,"
        ' params: [fit.rate, seed] or ["*"]; it names out/clean.csv (of step one), conf/labels.txt (in the commit), too)'
    )
    assert error_given("params: [fit, seed]") == (
        'did not make output model (model.txt) (step one makes out/clean.csv: add clean: "${{ steps.one.outputs.clean }}" to inputs: of step fit;'
        " it names conf/labels.txt (in the commit), too)"
    )
    assert error_given('params: [fit, seed], code: [conf/], inputs: {clean: "${{ steps.one.outputs.clean }}"}') is None


def test_a_missing_key_is_named_as_deep_as_the_script_takes_values_from_it(project: Project) -> None:
    project.write("params.yaml", "fit: {rate: 1, deep: {on: 1, off: 2}}\nseed: 7\nbase: {level: 1}\n")
    read = "import json, re\nc = {'seed': 7}\n"
    given = "params: {from: params.yaml}\nsteps:\n  t: {run: python3 src/k.py, params: [seed]}\n"
    for code, said in (
        ("c['fit']['rate'], c[\"fit\"]['deep'].get('on'), c['base']", "fit.rate, which"),
        ("c['fit']['deep'] ['on'], c['fit']", "fit, which"),
    ):
        project.write("src/k.py", f"{read}{code}\n")
        project.write("pipelines/k.yaml", given)
        project.commit()
        (told,) = project.run("k", code=1)["steps"]
        assert f"params.yaml has {said} step t does not declare: add it to its params" in told["error"]
        if "base" in code:
            assert told["error"].endswith("; it names fit.deep.on, base, too)")


def test_a_step_that_made_an_output_elsewhere_or_not_at_all_is_told_where_to_write(project: Project) -> None:
    files = {**FILES, "src/m.py": "import os\nos.makedirs('models/a')\nopen('models/a/m[1].pkl', 'w').write('x')\n"}
    output = "outputs: {o: {type: file, path: 'model/m[1].pkl'}}"
    elsewhere = "(it made models/a/m[1].pkl: give the output that path, or write to model/m[1].pkl)"
    assert error_of(project, f"{{run: python3 src/m.py, {output}}}", files).endswith(elsewhere)
    must = "(the command must write to the path that ${{ outputs.o }} stands for)"
    assert error_of(project, "{run: python3 -c pass, outputs: {o: {type: file, path: o.txt}}}").endswith(must)
    given = "{run: python3 -c pass, code: [conf/], outputs: {o: {type: file, path: o/config.yaml}}}"
    assert error_of(project, given).endswith(must)


@pytest.mark.parametrize(
    "command", ["{run: python3 src/var.py}", "{shell: bash, run: 'echo $A_TOKEN'}", "{shell: sh, run: 'echo $A_TOKEN'}"]
)
def test_a_variable_that_a_step_does_not_declare_is_told_to_be_passed_on(project: Project, command: str) -> None:
    files = {**FILES, "src/var.py": "import os\nprint(os.environ['A_TOKEN'])\n"}
    error = error_of(project, command, files)
    assert error.endswith(
        "(a step has only the variables that it declares: env: {A_TOKEN: } passes the machine's on, or give it a value there)"
    )
    assert "variables that it declares" not in error_of(project, "run: python3 -c \"{}['A_TOKEN']\"")


def test_a_step_that_went_to_another_folder_is_told_where_paths_count_from(project: Project) -> None:
    project.write("ml/t.py", "import sys\nopen(sys.argv[1], 'w').write('x')\n")
    error = error_of(project, "{shell: bash, run: 'cd ml && python3 t.py ${{ outputs.o }}', outputs: {o: file}}")
    assert "the step went to the folder ml, and .gitml/out/o counts from the top of the sandbox" in error
    assert "hidden" not in error


def test_the_error_is_the_line_that_tells_why(project: Project) -> None:
    project.write("src/why.py", "raise ValueError('the reason\\nand more\\n - of it')\n")
    error = error_of(project, "run: python3 src/why.py")
    assert error == "exit status 1: ValueError: the reason"
