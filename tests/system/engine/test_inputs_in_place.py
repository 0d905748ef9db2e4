"""A project whose scripts have their paths inside runs as it is: inputs lie where the scripts look for them."""

from __future__ import annotations

from typing import Any

from tests.system.conftest import Project

PIPELINE = """\
inputs: {raw: data/raw.txt}
steps:
  prepare:
    run: sh src/prepare.sh
    inputs: {raw: data/raw.txt}
    outputs:
      clean: {type: file, path: data/clean.txt}
      other: {type: file, path: data/other.txt}
  train:
    run: sh src/train.sh
    inputs:
      clean: "${{ steps.prepare.outputs.clean }}"
      words: {from: "${{ inputs.raw }}", path: conf/words.txt}
    outputs: {model: {type: file, path: models/model.txt}}
"""
FILES = {
    "pipelines/place.yaml": PIPELINE,
    "data/raw.txt": "some words\n",
    "src/prepare.sh": "tr a-z A-Z < data/raw.txt > data/clean.txt; wc -l < data/raw.txt > data/other.txt\n",
    "src/train.sh": (
        'cat data/clean.txt conf/words.txt > models/model.txt\nls data; echo "$GITML_INPUT_CLEAN $GITML_INPUT_WORDS"\n'
    ),
}


def outcomes(run: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in run["steps"]}


def test_scripts_find_their_inputs_at_their_own_paths_and_a_run_is_reused_until_content_or_place_changes(
    project: Project,
) -> None:
    for path, text in FILES.items():
        project.write(path, text)
    project.commit()
    first = project.run("place")
    assert outcomes(first) == {"prepare": "executed", "train": "executed"}
    log = project.gitml("logs", first["run"], "train").out
    assert "clean.txt\ndata/clean.txt conf/words.txt\n" in log
    assert "other.txt" not in log  # nothing but what was declared is there
    project.gitml("checkout", first["run"])
    assert (project.root / "models/model.txt").read_text() == "SOME WORDS\nsome words\n"
    assert outcomes(project.run("place")) == {"prepare": "reused", "train": "reused"}

    # the same bytes under the same name: nothing that uses them runs
    project.write("src/prepare.sh", FILES["src/prepare.sh"].replace("wc -l", "wc -c"))
    project.commit()
    assert outcomes(project.run("place")) == {"prepare": "executed", "train": "reused"}
    # another place: it counts
    project.write("src/train.sh", FILES["src/train.sh"].replace("conf/words", "conf/w"))
    project.write("pipelines/place.yaml", PIPELINE.replace("conf/words.txt", "conf/w.txt"))
    project.commit()
    plan = project.gitml("explain", "place", "train").out
    assert "conf/words.txt -> file conf/w.txt" in plan
    assert outcomes(project.run("place")) == {"prepare": "reused", "train": "executed"}
    # and so does what lies at it, whether or not the command names it
    project.write("data/raw.txt", "other words\n")
    project.commit()
    assert outcomes(project.run("place")) == {"prepare": "executed", "train": "executed"}
    project.gitml("reproduce", "latest")


OPTIONAL = """\
params: {full: false}
steps:
  one:
    shell: sh
    run: |
      echo clean > ${{ outputs.clean }}
      if ${{ params.full }}; then echo '{"n": 1}' > ${{ outputs.scores }}; fi
    outputs: {clean: file, scores: {type: metrics, optional: true}}
  two:
    run: sh src/two.sh --scores ${{ inputs.scores }} end
    inputs: {scores: {from: "${{ steps.one.outputs.scores }}", path: reports/scores.json, optional: true}}
    outputs: {said: {type: file, path: said.txt}}
"""
NEEDY = """\
  needy: {run: "cat ${{ steps.one.outputs.scores }}"}
"""


def test_an_optional_output_may_be_missing_and_who_can_do_without_it_runs_without(project: Project) -> None:
    project.write("pipelines/maybe.yaml", OPTIONAL)
    project.write("src/two.sh", 'echo "$# $* ${GITML_INPUT_SCORES-none}" > said.txt; ls reports >> said.txt || true\n')
    project.commit()
    without = project.run("maybe")
    assert outcomes(without) == {"one": "executed", "two": "executed"}
    project.gitml("checkout", f"{without['run']}:two.said", "without.txt")
    assert (project.root / "without.txt").read_text() == "1 end none\n"
    assert outcomes(project.run("maybe")) == {"one": "reused", "two": "reused"}
    project.gitml("reproduce", "latest")
    missing = project.gitml("checkout", f"{without['run']}:one.scores", "x", code=2).err
    assert "has no output 'scores'" in missing

    with_it = project.run("maybe", "-S", "full=true")
    assert outcomes(with_it) == {"one": "executed", "two": "executed"}
    project.gitml("checkout", f"{with_it['run']}:two.said", "with.txt")
    assert (project.root / "with.txt").read_text() == (
        "3 --scores reports/scores.json end reports/scores.json\nscores.json\n"
    )
    assert outcomes(project.run("maybe")) == {"one": "reused", "two": "reused"}

    project.write("pipelines/maybe.yaml", OPTIONAL + NEEDY)
    told = "step one left out its optional output scores, and step needy needs it"
    blocked = project.gitml("run", "maybe", code=2).err
    assert told in blocked
    assert "inputs: of step needy, scores: {from: ${{ steps.one.outputs.scores }}, optional: true}" in blocked
    project.write("pipelines/maybe.yaml", OPTIONAL.replace("echo clean", "echo other") + NEEDY)
    failed = project.run("maybe", code=1)  # known only once step one has ended
    assert [step["error"] for step in failed["steps"] if step["name"] == "needy"] == [told]


EVALUATION = """\
steps:
  judge:
    run: sh src/judge.sh
    outputs:
      report: {type: directory, path: eval}
      scores: {type: metrics, path: eval/scores.json}
      curve: {type: plot, path: eval/plots/curve.csv}
  read:
    run: sh src/read.sh
    inputs: {report: "${{ steps.judge.outputs.report }}"}
    outputs: {said: {type: file, path: said.txt}}
"""


def test_metrics_and_plots_are_part_of_a_directory_and_outputs_of_their_own(project: Project) -> None:
    project.write("pipelines/judge.yaml", EVALUATION)
    judge = "mkdir eval eval/plots && echo '{\"f1\": 0.5}' > eval/scores.json && printf 'a,b\\n1,2\\n' > eval/plots/curve.csv"
    project.write("src/judge.sh", f"{judge}; echo more > eval/more.txt\n")
    project.write("src/read.sh", "find eval -type f | sort > said.txt\n")
    project.commit()
    run = project.run("judge")
    assert outcomes(run) == {"judge": "executed", "read": "executed"}
    (step,) = [step for step in run["steps"] if step["name"] == "judge"]
    assert step["metrics"] == {"f1": 0.5}
    assert list(step["outputs"]) == ["report", "scores", "curve"]
    project.gitml("checkout", run["run"])
    assert (project.root / "eval/scores.json").read_text() == '{"f1": 0.5}\n'
    assert (project.root / "said.txt").read_text() == "eval/more.txt\neval/plots/curve.csv\neval/scores.json\n"
    project.gitml("checkout", f"{run['run']}:judge.scores", "own.json")
    assert (project.root / "own.json").read_text() == '{"f1": 0.5}\n'

    project.write("src/judge.sh", f"{judge}; exit 1\n")
    failed = project.run("judge", code=1)
    project.gitml("checkout", f"{failed['run']}:judge", "left", "--failed")
    assert (project.root / "left/judge/scores.json").read_text() == '{"f1": 0.5}\n'
    assert (project.root / "left/judge/eval/plots/curve.csv").read_text() == "a,b\n1,2\n"


def test_a_command_runs_in_its_workdir_and_its_code_counts_from_there(project: Project) -> None:
    pipeline = """\
workdir: ml
steps:
  one:
    run: python3 train.py ${{ outputs.model }}
    inputs: {raw: ml/data/raw.txt, lists: {from: data, path: ml/lists}}
    outputs: {model: {type: file, path: ml/out/model.txt}, log: {type: file, path: ml/log.txt}}
  two: {run: python3 -m pkg.show, inputs: {model: "${{ steps.one.outputs.model }}"}}
  three: {run: ./tool.sh ../src/prepare.sh}
  four: {run: python3 ml/train.py x, workdir: .}
"""
    project.write("pipelines/folder.yaml", pipeline)
    project.write("ml/helper.py", "V = 1\n")
    project.write(
        "ml/train.py",
        "import helper, os, sys\n"
        "open(sys.argv[1], 'w').write(open('data/raw.txt').read() + ' '.join(sorted(os.listdir('lists'))))\n"
        "open('log.txt', 'w').write(os.environ['GITML_INPUT_RAW'] + ' ' + os.environ['GITML_OUTPUT_MODEL'])\n",
    )
    project.write("ml/pkg/__init__.py", "")
    project.write("ml/pkg/show.py", "print(open('out/model.txt').read())\n")
    project.write("ml/data/raw.txt", "raw\n")
    project.write("ml/tool.sh", "#!/bin/sh\ncat $1\n")
    (project.root / "ml/tool.sh").chmod(0o755)
    project.commit()
    run = project.run("folder", "one", "two", "three")
    assert outcomes(run) == {"one": "executed", "two": "executed", "three": "executed"}
    assert "raw\nraw.txt\n" in project.gitml("logs", run["run"], "two").out
    project.gitml("checkout", f"{run['run']}:one")
    assert (project.root / "ml/log.txt").read_text() == "data/raw.txt out/model.txt"
    project.git("checkout", "-q", "-f", ".")
    project.git("clean", "-qfd")

    project.write("ml/helper.py", "V = 2\n")  # code that is imported from the folder counts
    project.write("ml/pkg/show.py", "open('gone/x')\n")
    project.commit()
    again = project.run("folder", "one", "two", "three", code=1)
    assert outcomes(again) == {"one": "executed", "two": "failed", "three": "reused"}
    project.write("pipelines/folder.yaml", pipeline.replace("train.py $", "trian.py $"))
    assert "trian.py is not in the commit" in project.gitml("run", "folder", "one", code=2).err


def test_an_optional_input_of_the_pipeline_counts_when_the_commit_has_it(project: Project) -> None:
    project.write(
        "pipelines/o.yaml",
        "inputs: {stop: {from: conf/stop.txt, path: words/s.txt, optional: true}}\n"
        "steps: {words: {run: 'echo a --stop ${{ inputs.stop }} b'}}\n",
    )
    project.commit()
    first = project.run("o")
    assert project.gitml("logs", first["run"], "words").out.strip().endswith("a b")
    project.write("conf/stop.txt", "the\n")
    second = project.run("o")
    assert "a --stop words/s.txt b" in project.gitml("logs", second["run"], "words").out
    project.write("conf/stop.txt", "an\n")
    assert "input stop changed" in project.gitml("plan", "o").out
    (project.root / "conf/stop.txt").unlink()
    assert outcomes(project.run("o")) == {"words": "reused"}
    # what lies there and no commit holds is no absent input
    project.write("conf/stop.txt", "the\n")
    project.write(".gitignore", "conf/\n")
    assert "Git ignores it" in project.gitml("plan", "o", code=None).out
