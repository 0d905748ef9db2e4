"""What people mistype, and what a newcomer doesn't know yet: one line that names the place and the mend."""

from __future__ import annotations

import re

import pytest

from tests.system.conftest import Project

STEP = "steps:\n  a:\n    run: {}\n    outputs: {{o: file}}\n"


def told(project: Project, *words: str, code: int = 2) -> str:
    """The one line that a mistake gets."""
    answer = project.gitml(*words, code=code)
    assert answer.out == ""
    assert answer.err.startswith("gitml: ")
    assert answer.err.count("\n") == 1
    return answer.err.removeprefix("gitml: ").rstrip("\n")


def test_a_first_word_near_a_step_s_name_is_told_so(project: Project) -> None:
    assert told(project, "run", "trian") == (
        "no pipeline and no step of 'words' is called 'trian' (did you mean 'train'?)"
    )
    assert told(project, "plan", "word").startswith("no pipeline 'word' (did you mean 'words'?)")
    assert told(project, "run", "nothing-like-it").startswith("no pipeline 'nothing-like-it' (there is 'words')")


def test_an_empty_word_is_no_pipeline(project: Project) -> None:
    assert told(project, "run", "").startswith("no pipeline ''")


def test_a_parameter_s_mistake_is_told_though_the_step_stands_alone(project: Project) -> None:
    assert told(project, "run", "train", "-S", "rat=3") == "unknown parameter 'rat' (did you mean 'rate'?) (-S rat=…)"


def test_a_word_that_means_nothing_is_told_before_a_parameter_that_another_pipeline_would_have(
    project: Project,
) -> None:
    assert told(project, "run", "nothing-like-it", "-S", "t=3").startswith("no pipeline 'nothing-like-it'")
    assert "is called 'trian' (did you mean 'train'?)" in told(project, "run", "trian", "-S", "t=3")


def test_status_of_a_pipeline_that_is_not_there_is_a_mistake(project: Project) -> None:
    assert told(project, "status", "wrods").startswith("no pipeline 'wrods' (did you mean 'words'?)")
    project.write("pipelines/words.yaml", "steps: {}\n")
    assert "wrong: pipelines/words.yaml:1:8: " in project.gitml("status", "words").out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("run", "-j", "x"),
            "invalid value for '-j' / '--jobs': 'x' is not a whole number (gitml run): see gitml run --help",
        ),
        (("run", "-j", "0"), "invalid value for '-j' / '--jobs': 0 is not in the range 1<=x<=4096"),
        (("completion",), "missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish (gitml completion): see"),
        (("run", "-S", "rate"), "not name=value: 'rate' (-S)"),
        (("run", "--at", ""), "not a revision: ''"),
        (("run", "--at", "HEAD:src"), "'HEAD:src' is a tree, not a commit"),
        (("run", "--at", "man"), "unknown revision 'man' ("),
        (("show", "latest:train"), "not a run: 'latest:train': give the first 4 or more"),
        (("metrics", "diff", "a...b"), "not a range: 'a...b': write it as A..B"),
        (("log", "--since", "yesterday"), "not a date: 'yesterday': write 2026-07-01"),
        (("gc", "--keep-since", "soon"), "not a date: 'soon': write 2026-07-01"),
        (("checkout", "latest:train.modle"), "step 'train' of run"),
        (("run", "--tag", ""), "an empty name (--tag): give one"),
        (("run", "--experiment", ""), "an empty name (--experiment): give one"),
        (("log", "-n", "99999999999999999999"), "invalid value for '-n' / '--limit': 99999999999999999999 is not"),
        (("cancel", "--timeout", "x"), "invalid value for '--timeout': 'x' is not a number"),
        (("-C", "nowhere", "log"), "no such folder (nowhere)"),
    ],
)
def test_a_wrong_word_is_one_line(project: Project, words: tuple[str, ...], line: str) -> None:
    answer = told(project, *words)
    assert answer.startswith(line)
    assert "\\n" not in answer


@pytest.mark.parametrize(
    ("command", "operator"),
    [
        ("cat data/raw.txt | tee ${{ outputs.o }}", "|"),
        ("sh src/a.sh > ${{ outputs.o }}", ">"),
        ("sh src/a.sh >${{ outputs.o }}", ">${{ outputs.o }}"),
        ("mkdir x && cp data/raw.txt ${{ outputs.o }}", "&&"),
        ("mkdir x; cp data/raw.txt ${{ outputs.o }}", "x;"),
        ("sh src/a.sh ${{ outputs.o }} 2>&1", "2>&1"),
    ],
)
def test_what_only_a_shell_understands_is_told_before_anything_runs(
    project: Project, command: str, operator: str
) -> None:
    project.write("pipelines/new.yaml", STEP.format(command))
    column = 10 + command.index(operator)
    assert told(project, "run", "new") == (
        f"pipelines/new.yaml:3:{column}: step 'a': {operator} needs `shell: bash`; without a shell, quote it to mean itself"
    )


def test_quoted_operators_and_lists_of_words_mean_themselves(project: Project) -> None:
    for command in ("printf '%s' '>' \"a | b\" --x=\"a > b\" x\\;", '[printf, "%s", ">", "|"]'):
        project.write("pipelines/new.yaml", f"steps:\n  a:\n    run: {command}\n")
        project.gitml("run", "new", "-q")
        assert ">" in project.gitml("logs").out


def test_a_shell_s_command_and_a_variable_in_front_are_told_with_the_mend(project: Project) -> None:
    project.write("pipelines/new.yaml", STEP.format("cd ${{ outputs.o }}"))
    assert told(project, "run", "new").endswith("cd is a command of shells: add `shell: bash`")
    project.write("pipelines/new.yaml", STEP.format("THREADS=1 sh ${{ outputs.o }}"))
    assert told(project, "run", "new").endswith("set variables under `env:` of the step")


def test_a_shell_s_command_in_a_list_of_words_is_told_with_the_mend(project: Project) -> None:
    project.write("pipelines/new.yaml", "steps:\n  a:\n    run: [cd, src]\n")
    assert told(project, "run", "new").endswith(
        "command not found: cd: it is a command of shells: add `shell: bash` to the step"
    )


def test_a_second_line_without_a_shell_is_a_mistake_where_it_stands(project: Project) -> None:
    project.write("pipelines/new.yaml", "steps:\n  a:\n    run: |\n      sh src/a.sh x\n      sh src/a.sh y\n")
    assert told(project, "run", "new").startswith(
        "pipelines/new.yaml:5:7: step 'a': a second line is a command of its own only in a shell: add `shell: bash`"
    )


def test_a_list_of_commands_is_told_what_a_list_means(project: Project) -> None:
    project.write("pipelines/new.yaml", "steps:\n  a:\n    run:\n      - sh src/a.sh\n      - sh src/b.sh\n")
    line = told(project, "run", "new")
    assert line.startswith(
        "pipelines/new.yaml:4:9: step 'a': a list is the words of one command, and 'sh src/a.sh' is no"
    )
    assert line.endswith("or several commands as lines of `run: |` with `shell: bash`")


def test_a_step_without_run_is_told_besides_its_unknown_keys(project: Project) -> None:
    project.write("pipelines/new.yaml", "steps:\n  a:\n    help: ls\n    nonsense: [x]\n")
    lines = project.gitml("run", "new", code=2).err.splitlines()
    assert [line.rpartition("yaml:")[2].split(" (")[0] for line in lines] == [
        "2:3: step 'a' needs run: the command",
        "4:5: unknown key 'nonsense' in step 'a'",
    ]
    project.write("pipelines/new.yaml", "steps:\n  a:\n    cmd: ls\n    deps: [x]\n")
    lines = project.gitml("run", "new", code=2).err.splitlines()
    assert [line.rpartition("yaml:")[2] for line in lines] == [
        "3:5: unknown key 'cmd' in step 'a' (write run: the command)",
        "4:5: unknown key 'deps' in step 'a' (write inputs: {NAME: source} for data that the command "
        "doesn't name, and `code:` for code)",
    ]
    project.write("pipelines/new.yaml", "steps:\n  a:\n    runs: ls\n")
    assert told(project, "run", "new").endswith("unknown key 'runs' in step 'a' (did you mean 'run'?)")


def test_the_plan_tells_of_a_step_that_asks_for_more_than_there_is(project: Project) -> None:
    project.write("pipelines/new.yaml", "steps:\n  a:\n    run: ls\n    resources: {cpus: 5000}\n")
    plan = project.gitml("plan", "new").out
    assert re.match(r"blocked  a  it asks for 5000 cpus \(there are [\d.]+\) \(ask for less, ", plan)
    assert re.match(
        r"step 'a' can't run: it asks for 5000 cpus \(there are [\d.]+\): ask for less", told(project, "run", "new")
    )


def test_a_machine_of_less_than_one_cpu_still_runs_a_step_that_says_nothing(project: Project) -> None:
    project.write("gitml.yaml", "targets: {local: {cpus: 0.5}}\n")
    assert told(project, "run") == "gitml.yaml:1:25: cpus must be at least 1"
    project.write("gitml.yaml", "targets: {local: {cpus: 1}}\n")
    project.gitml("run", "-q", "-f")


def test_a_log_with_an_empty_filter_has_no_runs_that_match(project: Project) -> None:
    assert project.gitml("log", "--experiment", "").err == "no runs that match\n"


def test_differences_of_one_value_are_told_in_the_singular(project: Project) -> None:
    project.gitml("run", "-q")
    assert project.gitml("params", "diff").err.endswith("the one param is the same\n")
    assert project.gitml("metrics", "diff").err.endswith("all 2 metrics are the same\n")


def test_an_environment_that_can_not_be_built_is_told_in_uv_s_words_with_the_mend(project: Project) -> None:
    project.write("pipelines/new.yaml", "steps:\n  a:\n    run: python3 -c pass\n    environment: env.txt\n")
    project.write("env.txt", f"no-such-package-of-ours==1.0 --hash=sha256:{'0' * 64}\n")
    cache = {"XDG_CACHE_HOME": str(project.root.parent), "UV_NO_CACHE": "1"}
    there = project.gitml("run", "new", code=1, env={**cache, "UV_NO_INDEX": "1"}).err
    assert re.search(r"^failed a  uv could not install the requirements: No solution found", there, re.M)
    assert "(lock it again: gitml env lock env.txt)\n" in there
    gone = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_TIMEOUT": "5", "UV_HTTP_RETRIES": "0"}
    far = project.gitml("run", "new", code=1, env={**cache, **gone}).err
    assert "(see whether the package index can be reached: UV_DEFAULT_INDEX, HTTPS_PROXY …)\n" in far
    assert not [place for place in project.root.parent.glob("gitml/envs/*") if place.is_dir()]
    rooms = {room["what"]: room["items"] for room in project.gitml("du", "--json", env=cache).data["rooms"]}
    assert rooms["environments (shared)"] == 0


def test_a_step_with_brackets_is_named_as_a_shell_takes_it(project: Project) -> None:
    project.write(
        "pipelines/new.yaml", "steps:\n  a:\n    matrix: {i: [1]}\n    run: sh -c 'echo no; exit 3' ${{ matrix.i }}\n"
    )
    said = project.gitml("run", "new", code=1).err
    command = re.search(r"all it wrote: gitml (.*)", said)
    assert command
    assert command[1].endswith(" 'a[1]'")
    assert project.gitml("logs", *command[1].replace("'", "").split()[1:]).out == "no\n"
