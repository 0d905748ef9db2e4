"""Before a commit: what is staged is checked, not what lies in the work tree."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.kit.projects.project_with_hooks import PIPELINE, ProjectWithHooks

MODULE = """\
name: shout
version: 1.0.0
inputs: {text: file}
outputs: {loud: file}
run: sh shout.sh ${{ inputs.text }} ${{ outputs.loud }}
"""
USES = 'inputs: {raw: data/raw.txt}\nsteps:\n  loud:\n    module: shout@^1\n    inputs: {text: "${{ inputs.raw }}"}\n'


def refused(project: ProjectWithHooks, *args: str) -> list[str]:
    """What the hook says of `git commit`, which it must refuse, but for its last line."""
    lines = project.git("commit", "-m", "x", *args, code=1).err.splitlines()
    assert "in what is staged" in lines[-1], lines
    return [line.removeprefix("gitml: ") for line in lines[:-1]]


def test_every_mistake_of_all_files_is_told_at_once_with_its_place(hooked: ProjectWithHooks) -> None:
    hooked.stage(
        {
            "pipelines/words.yaml": PIPELINE.replace("params.word", "params.wrod"),
            "pipelines/other.yaml": "steps: {a: {run: 'true', timeout: soon}}\n",
            "modules/m/module.yaml": "name: m\nrun: echo\ninputs: {a: fiel}\n",
            "gitml.yaml": "hooks: {gaet: true}\n",
        }
    )
    said = refused(hooked)
    assert [line.split(": ")[0] for line in said] == [
        "gitml.yaml:1:9",
        "modules/m/module.yaml:3:13",
        "pipelines/other.yaml:1:35",
        "pipelines/words.yaml:8:58",
    ]
    assert "unknown key 'gaet' in hooks (did you mean 'gate'?)" in said[0]


@pytest.mark.slow
def test_what_is_staged_counts_and_not_what_lies_in_the_work_tree(hooked: ProjectWithHooks) -> None:
    good = "steps: {a: {run: 'true'}}\n"
    hooked.stage({"pipelines/a.yaml": good})
    hooked.repo.write({"pipelines/a.yaml": "stepss: {}\n"})
    hooked.git("commit", "-q", "-m", "the good one")
    hooked.stage({"pipelines/a.yaml": "stepss: {}\n"})
    hooked.repo.write({"pipelines/a.yaml": good})
    assert refused(hooked)[0].startswith("pipelines/a.yaml:1:1: ")
    hooked.git("commit", "-q", "-a", "-m", "the good one again", "--allow-empty")


@pytest.mark.slow
def test_commit_of_a_path_alone_checks_that_path_alone(hooked: ProjectWithHooks) -> None:
    hooked.stage({"pipelines/a.yaml": "stepss: {}\n", "README.md": "more\n"})
    hooked.git("commit", "-q", "-m", "only this", "README.md")
    assert refused(hooked)
    hooked.repo.write({"pipelines/words.yaml": "nonsense: 1\n"})
    assert {line.split(":")[0] for line in refused(hooked, "-a")} == {"pipelines/a.yaml", "pipelines/words.yaml"}


def test_a_path_that_the_commit_would_not_hold_is_a_mistake(hooked: ProjectWithHooks) -> None:
    hooked.repo.write({"data/new.txt": "new\n"})
    hooked.stage({"pipelines/words.yaml": PIPELINE.replace("data/raw.txt", "data/new.txt")})
    assert refused(hooked) == ["pipelines/words.yaml:2:15: input 'raw' 'data/new.txt' is not in the commit: git add it"]
    hooked.git("add", "data/new.txt")
    hooked.git("commit", "-q", "-m", "now it is")


@pytest.mark.slow
def test_removing_a_file_that_a_pipeline_reads_is_a_mistake_and_others_that_were_there_are_not(
    hooked: ProjectWithHooks,
) -> None:
    hooked.git("commit", "-q", "--no-verify", "--allow-empty", "-m", "x")
    hooked.stage({"pipelines/old.yaml": "stepss: {}\n"})
    hooked.git("commit", "-q", "--no-verify", "-m", "wrong already")
    hooked.git("rm", "-q", "README.md")
    hooked.git("commit", "-q", "-m", "nothing reads it")
    hooked.git("rm", "-q", "data/raw.txt")
    assert refused(hooked) == [
        "pipelines/words.yaml:2:15: input 'raw' 'data/raw.txt' is not in the commit: fix the path, or add the file"
    ]


def test_code_patterns_without_a_file_are_mistakes_and_forgotten_scripts_a_warning(hooked: ProjectWithHooks) -> None:
    hooked.repo.write({"src/new.sh": "true\n"})
    text = PIPELINE.replace("src/count.sh", "src/new.sh").replace("  count:\n", "  count:\n    code: [conf/*.toml]\n")
    hooked.stage({"pipelines/words.yaml": text})
    said = refused(hooked)
    assert (
        said[0]
        == "warning: pipelines/words.yaml:7:3: step 'count' names src/new.sh, which is here but not in the commit"
    )
    assert said[1].startswith("pipelines/words.yaml:8:12: code 'conf/*.toml' matches no file of the commit")


def test_a_parameter_without_a_default_is_no_mistake(hooked: ProjectWithHooks) -> None:
    hooked.stage({"pipelines/words.yaml": PIPELINE.replace("{word: hello}", "{word: {type: str}}")})
    hooked.git("commit", "-q", "-m", "to be given")


def test_a_module_yaml_of_another_tool_is_left_alone(hooked: ProjectWithHooks) -> None:
    hooked.stage({"puppet/module.yaml": "author: someone\ndependencies: []\n"})
    assert hooked.git("commit", "-q", "-m", "not ours").err == ""


@pytest.mark.slow
def test_the_lock_must_be_true_where_there_is_one(hooked: ProjectWithHooks) -> None:
    hooked.stage({"modules/shout/module.yaml": MODULE, "modules/shout/shout.sh": 'tr a-z A-Z < "$1" > "$2"\n'})
    hooked.git("commit", "-q", "-m", "a module")
    hooked.do("module", "publish", "modules/shout")
    hooked.stage({"pipelines/loud.yaml": USES})
    hooked.git("commit", "-q", "-m", "without a lock")
    hooked.do("lock")
    hooked.git("add", "gitml.lock")
    hooked.git("commit", "-q", "-m", "locked")
    hooked.stage({"pipelines/loud.yaml": USES.replace("@^1", "@1.0.0")})
    assert refused(hooked) == [
        "gitml.lock:4:3: shout@^1: no pipeline uses it any more: gitml lock, then git add gitml.lock",
        "pipelines/loud.yaml:4:13: shout@1.0.0: 1.0.0 is new: gitml lock, then git add gitml.lock",
    ]
    hooked.do("lock")
    hooked.git("add", "gitml.lock")
    hooked.git("commit", "-q", "-m", "locked again")
    hooked.stage({"gitml.lock": "<<<<<<< HEAD\n"})
    assert refused(hooked)[0].startswith("gitml.lock:1:1: not a lock file")


@pytest.mark.slow
def test_modules_that_do_not_exist_or_do_not_fit_are_mistakes_at_their_place(hooked: ProjectWithHooks) -> None:
    hooked.stage({"modules/shout/module.yaml": MODULE, "modules/shout/shout.sh": 'tr a-z A-Z < "$1" > "$2"\n'})
    hooked.git("commit", "-q", "-m", "a module")
    hooked.do("module", "publish", "modules/shout")
    hooked.stage(
        {"pipelines/a.yaml": USES.replace("{text:", "{txt:"), "pipelines/b.yaml": USES.replace("shout@^1", "shuot")}
    )
    said = refused(hooked)
    assert "pipelines/a.yaml:3:3: step 'loud': module shout@^1 has no input 'txt' (did you mean 'text'?)" in said
    assert any(line.startswith("pipelines/b.yaml:4:13: ") and "shuot" in line for line in said)


@pytest.mark.slow
def test_a_large_file_is_refused_with_how_to_keep_it_instead_and_can_be_allowed(hooked: ProjectWithHooks) -> None:
    hooked.stage({"model.bin": b"\0" * (11 << 20), "small.bin": b"\0" * (200 << 10)})
    said = refused(hooked)
    assert len(said) == 1
    assert said[0].startswith("model.bin:1:1: a large file: 11.0 MiB")
    assert "git lfs track" in said[0]
    hooked.stage({"gitml.yaml": "hooks: {large_files: ['*.bin']}\n"})
    hooked.git("commit", "-q", "-m", "on purpose")
    hooked.stage({"gitml.yaml": "hooks: {large_file: 100KiB}\n", "other.dat": b"\1" * (101 << 10)})
    assert "other.dat:1:1: a large file: 0.1 MiB" in refused(hooked)[0]


@pytest.mark.slow
@pytest.mark.needs("git-lfs")
def test_what_git_lfs_took_is_fine_and_what_it_should_have_taken_is_told(project: ProjectWithHooks) -> None:
    hooked = project
    hooked.git("lfs", "install", "--local")
    assert hooked.do("hooks", "install").out.count(" first)") == 3  # git-lfs has hooks of its own
    hooked.stage({".gitattributes": "*.bin filter=lfs -text\n", "model.bin": b"\0" * (11 << 20)})
    hooked.git("commit", "-q", "-m", "a pointer")
    hooked.git("config", "filter.lfs.clean", "cat")
    hooked.git("config", "--unset", "filter.lfs.process")
    hooked.stage({"more.bin": b"\1" * (11 << 20)})
    assert "It is meant for Git LFS, which didn't take it: git lfs install" in refused(hooked)[0]


def test_a_commit_that_touches_nothing_of_gitml_starts_no_python(hooked: ProjectWithHooks) -> None:
    script = hooked.path / ".git/hooks/pre-commit"
    lines = [
        line if not line.startswith("python=") else "python=/bin/false" for line in script.read_text().splitlines()
    ]
    script.write_text("\n".join(lines) + "\n")  # had it been started, the hook would say that it couldn't do its work
    hooked.stage({"README.md": "more\n", "src/upper.sh": "true\n", 'a b\nc"\t.txt': "odd\n"})
    assert hooked.git("commit", "-q", "-m", "x").err == ""
    hooked.stage({"pipelines/\u00e9.yaml": "steps: {a: {run: 'true'}}\n"})
    assert "could not do its work" in hooked.git("commit", "-q", "-m", "x").err


def test_the_first_commit_of_a_repository_is_checked(tmp_path: Path, project: ProjectWithHooks) -> None:
    new = tmp_path / "new"
    subprocess.run(["git", "init", "-q", new], env=project.env, check=True)
    project.do("hooks", "install", cwd=new)
    (new / "gitml.yaml").write_text("nonsense: 1\n")
    project.git("add", "-A", cwd=new)
    assert "gitml.yaml:1:1: unknown key 'nonsense'" in project.git("commit", "-m", "x", cwd=new, code=1).err


def test_a_project_can_leave_a_hook_out(hooked: ProjectWithHooks) -> None:
    hooked.stage({"gitml.yaml": "hooks: {skip: [pre-commit]}\n", "pipelines/words.yaml": "stepss: {}\n"})
    hooked.git("commit", "-q", "-m", "on our own")


def test_run_by_hand_with_nothing_staged_checks_everything_and_answers_in_json(hooked: ProjectWithHooks) -> None:
    hooked.stage(
        {"pipelines/deep.yaml": "stepss: {}\n", "modules/m/module.yaml": "name: m\nrun: echo\ninputs: {a: fiel}\n"}
    )
    hooked.git("commit", "-q", "--no-verify", "-m", "wrong")
    done = hooked.do("hooks", "run", "pre-commit", "--json", code=1)
    assert {item["path"] for item in json.loads(done.out)["mistakes"]} == {
        "pipelines/deep.yaml",
        "modules/m/module.yaml",
    }


def test_checking_writes_neither_index_nor_files(hooked: ProjectWithHooks) -> None:
    hooked.stage({"pipelines/words.yaml": "stepss: {}\n"})
    before = hooked.state()
    hooked.git("commit", "-m", "x", code=1)
    after = hooked.state()
    assert {**after, "index": ""} == {**before, "index": ""}  # git itself writes its index before it calls
    assert not list((hooked.path / ".git/gitml/tmp").glob("index-*"))
