"""Why a step runs again: each kind of change by name and value, and the line that sums them up."""

from __future__ import annotations

from typing import Any

import pytest

from gitml.core.model.action import Action, ActionInput, ActionOutput, CodeFile
from gitml.core.model.digest import digest_of
from gitml.core.planner.explain import Change, CodeChange, changed_code, changes_between, summary_of

BEFORE = Action(
    argv=("python", "train.py", "--rate", "0.1", "--keep"),
    shell=None,
    params=(("rate", 0.1),),
    code=(CodeFile("train.py", "100644", "1" * 40),),
    inputs=(ActionInput("raw", "data", "directory", "git:40000:" + "2" * 40),),
    outputs=(ActionOutput("model", ".gitml/out/model", "file"),),
    env=(("A", "1"), ("T", None)),
    environment=digest_of(b"env"),
)
CODE, RAW, MODEL = BEFORE.code[0], BEFORE.inputs[0], BEFORE.outputs[0]


def replace(action: Action, **change: Any) -> Action:
    return action._replace(**change)


def told(**change: Any) -> list[str]:
    return [str(found) for found in changes_between(BEFORE, BEFORE._replace(**change))]


def test_nothing_differs_from_itself() -> None:
    assert changes_between(BEFORE, BEFORE) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"params": (("rate", 0.2),)}, ["param rate: 0.1 -> 0.2"]),
        ({"params": (("rate", 0.1), ("n", 1))}, ["param n added: 1"]),
        ({"params": ()}, ["param rate removed"]),
        ({"params": (("rate", ""),)}, ["param rate: 0.1 -> ''"]),
        ({"code": (CODE._replace(oid="3" * 40),)}, ["code train.py changed"]),
        ({"code": (CODE._replace(mode="100755"),)}, ["code train.py changed"]),
        ({"code": (CODE, CodeFile("lib.py", "100644", "4" * 40))}, ["code lib.py added"]),
        ({"code": ()}, ["code train.py removed"]),
        ({"inputs": (RAW._replace(content="git:40000:" + "5" * 40),)}, ["input raw changed"]),
        ({"inputs": ()}, ["input raw removed"]),
        ({"argv": (*BEFORE.argv[:-1], "--drop")}, ["command word: --keep -> --drop"]),
        ({"argv": BEFORE.argv[:-1]}, ["command words removed: --keep"]),
        ({"argv": (*BEFORE.argv, "-v", "2")}, ["command words added: -v 2"]),
        ({"argv": ("python", "train.py", "--fast", "9", "7", "--keep")}, ["command words: --rate 0.1 -> --fast 9 7"]),
        ({"shell": "bash"}, ["command shell: none -> bash"]),
        ({"env": (("A", "2"), ("T", None))}, ["env A: 1 -> 2"]),
        ({"env": (("A", None), ("T", None))}, ["env A: 1 -> (from the machine)"]),
        ({"env": (("A", "1"), ("T", ""))}, ["env T: (from the machine) -> ''"]),
        ({"env": (("A", "1"),)}, ["env T removed"]),
        ({"outputs": (MODEL._replace(kind="plot"),)}, ["output model: file .gitml/out/model -> plot .gitml/out/model"]),
        ({"outputs": (MODEL, ActionOutput("x", "x", "file"))}, ["output x added"]),
        ({"environment": digest_of(b"x")}, [f"environment: {digest_of(b'env')[7:19]} -> {digest_of(b'x')[7:19]}"]),
        ({"module": "m@2"}, ["module added"]),
    ],
)
def test_each_kind_of_change_is_told_by_name_and_value(change: dict[str, Any], expected: list[str]) -> None:
    assert told(**change) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"format": "csv"}, "output model format: none -> csv"),
        ({"format": "csv"}, {"format": "json"}, "output model format: csv -> json"),
        ({"optional": True}, {}, "output model optional: true -> false"),
        ({"pattern": ("a/*",)}, {"pattern": ("a/*", "b/*")}, "output model: file a/* -> file a/* b/*"),
        ({"later": [1]}, {"later": [2]}, "output model later: [1] -> [2]"),
    ],
)
def test_what_a_declaration_of_an_output_says_is_told(
    before: dict[str, Any], after: dict[str, Any], expected: str
) -> None:
    one, two = (
        BEFORE._replace(outputs=(MODEL._replace(options=tuple(sorted(options.items()))),))
        for options in (before, after)
    )
    assert [str(change) for change in changes_between(one, two)] == [expected]


def test_another_order_of_outputs_or_inputs_is_told() -> None:
    def ordered(names: str) -> Action:
        outputs = tuple(MODEL._replace(name=name, mount=name) for name in names)
        return BEFORE._replace(outputs=outputs, inputs=tuple(RAW._replace(name=name, mount=name) for name in names))

    assert [str(change) for change in changes_between(ordered("abcdefg"), ordered("acbdefg"))] == [
        "order of inputs: b, c, d … -> c, b, d …",
        "order of outputs: b, c, d … -> c, b, d …",
    ]


def test_a_word_that_a_parameter_put_there_is_not_told_twice() -> None:
    assert told(params=(("rate", 0.2),), argv=("python", "train.py", "--rate", "0.2", "--keep")) == [
        "param rate: 0.1 -> 0.2"
    ]


def test_the_most_telling_change_comes_first() -> None:
    everything = told(
        environment=digest_of(b"x"),
        argv=(*BEFORE.argv[:-1], "--drop"),
        code=(CODE._replace(oid="3" * 40),),
        params=(("rate", 0.3),),
        inputs=(RAW._replace(content="?"),),
    )
    assert [line.split()[0] for line in everything] == ["param", "code", "input", "command", "environment:"]


def test_gathered_inputs_of_one_name_are_told_apart() -> None:
    many = tuple(ActionInput("o", f".gitml/in/0/{label}/o", "file", digest_of(label.encode())) for label in ("a", "b"))
    before = BEFORE._replace(inputs=many)
    after = BEFORE._replace(inputs=(many[0], many[1]._replace(content=digest_of(b"c"))))
    assert [str(change) for change in changes_between(before, after)] == ["input o (b) changed"]


def test_gathered_inputs_are_told_by_the_steps_that_made_them() -> None:
    def gathered(places: dict[str, bytes]) -> Action:
        return BEFORE._replace(
            inputs=tuple(ActionInput("o", mount, "file", digest_of(content)) for mount, content in places.items())
        )

    def told_of(before: dict[str, bytes], after: dict[str, bytes], made_by: dict[str, str]) -> list[str]:
        found = changes_between(gathered(before), gathered(after), None, made_by)
        return [str(change) for change in found]

    # at places of their own
    made_by = {"models/svm.txt": "train[svm]", "models/nb.txt": "train[nb]"}
    one, two = dict.fromkeys(made_by, b"1"), {"models/svm.txt": b"2", "models/nb.txt": b"1"}
    assert told_of(one, two, made_by) == ["input o of train[svm] changed"]
    assert told_of(one, two, {}) == ["input o (models/svm.txt) changed"]
    # below one another's labels, where another expression stands before it now
    before = {".gitml/in/0/svm/o": b"1", ".gitml/in/0/nb/o": b"1", ".gitml/in/0/old/o": b"1"}
    after = {".gitml/in/1/svm/o": b"1", ".gitml/in/1/nb/o": b"2"}
    made_by = {".gitml/in/1/svm/o": "train[svm]", ".gitml/in/1/nb/o": "train[nb]"}
    assert told_of(before, after, made_by) == [
        "input o of train[nb] changed",
        "input o (old) removed",
        "input o of train[svm] changed",
    ]
    # the first of several
    assert told_of({".gitml/in/1/svm/o": b"1"}, after, made_by) == ["input o of train[nb] added"]


def test_an_input_that_came_is_told_and_not_its_place_in_the_command_too() -> None:
    a, b = (ActionInput("o", f".gitml/in/0/{label}/o", "file", digest_of(b"o")) for label in "ab")
    before = BEFORE._replace(inputs=(a,), argv=("python", "all.py", a.mount, "--end"))
    after = before._replace(inputs=(a, b), argv=("python", "all.py", a.mount, b.mount, "--end"))
    assert {str(change) for change in changes_between(before, after)} == {
        "input o (b) added",
    }
    more = before._replace(inputs=(a, b._replace(name="p")), argv=("python", "all.py", a.mount, "-x", b.mount, "--end"))
    assert [str(change) for change in changes_between(before, more)] == ["input p added", "command words added: -x"]


def test_environments_are_compared_part_by_part_where_they_are_known() -> None:
    old, new = digest_of(b"old"), digest_of(b"new")
    descriptions = {
        old: {
            "python": "3.11.7",
            "distributions": ["numpy 1.0", "scipy 1"],
            "programs": {"sh": digest_of(b"1")},
            "gone": 1,
        },
        new: {"python": "3.12.0", "distributions": ["numpy 2.0", "torch 2"], "programs": {"sh": digest_of(b"2")}},
    }
    found = changes_between(BEFORE._replace(environment=old), BEFORE._replace(environment=new), descriptions)
    assert [str(change) for change in found] == [
        "package numpy: 1.0 -> 2.0",
        "package scipy removed",
        "package torch added: 2",
        "environment gone removed",
        f"program sh: {digest_of(b'1')[7:19]} -> {digest_of(b'2')[7:19]}",
        "environment python: 3.11.7 -> 3.12.0",
    ]
    assert str(changes_between(BEFORE._replace(environment=old), BEFORE, descriptions)[0]).startswith("environment: ")


def test_requirements_files_are_compared_by_package_and_another_kind_of_environment_is_told_first() -> None:
    digests = [digest_of(text) for text in (b"host", b"one", b"two", b"untold")]
    host, one, two, untold = digests
    descriptions = {
        host: {"kind": "host", "distributions": ["numpy 1.0"]},
        one: {"kind": "requirements", "requirements": "sha256:111", "distributions": ("numpy 1.0",)},
        two: {"kind": "requirements", "requirements": "sha256:222", "distributions": ("numpy 2.0",)},
        untold: {"kind": "requirements", "requirements": "sha256:333"},
    }

    def told(before: str, after: str) -> list[str]:
        actions = (BEFORE._replace(environment=digest) for digest in (before, after))
        return [str(change) for change in changes_between(*actions, descriptions)]

    assert told(one, two) == ["package numpy: 1.0 -> 2.0"]
    assert told(host, one) == ["environment kind: host -> requirements"]
    assert told(host, two) == ["environment kind: host -> requirements", "package numpy: 1.0 -> 2.0"]
    assert told(untold, two) == ["environment requirements: 333 -> 222"]


def test_another_python_than_the_steps_own_is_told_by_its_name_and_packages() -> None:
    old, new, newer = digest_of(b"old"), digest_of(b"new"), digest_of(b"newer")
    descriptions = {
        old: {"programs": {}},
        new: {"programs": {"python3": {"python": "cpython 3.11.7", "distributions": ["numpy 1.0", "torch 2"]}}},
        newer: {"programs": {"python3": {"python": "cpython 3.12.0", "distributions": ["numpy 2.0"]}}},
    }

    def told(one: str, two: str) -> list[str]:
        before, after = (BEFORE._replace(environment=digest) for digest in (one, two))
        return [str(change) for change in changes_between(before, after, descriptions)]

    assert told(old, new) == ["program python3 added"]
    assert told(new, newer) == [
        "program python3: cpython 3.11.7 -> cpython 3.12.0",
        "python3 package numpy: 1.0 -> 2.0",
        "python3 package torch removed",
    ]
    assert told(newer, old) == ["program python3 removed"]


def test_a_result_of_an_older_action_format_is_named_as_such_and_its_environment_only_where_parts_are_known() -> None:
    old, new = digest_of(b"old"), digest_of(b"new")
    descriptions = {
        old: {"kind": "host", "python": "3.11.7", "distributions": ["numpy 1.0"]},
        new: {"kind": "host", "format": 2, "python": "3.11.7", "distributions": ["numpy 2.0"]},
    }
    before, after = BEFORE._replace(environment=old, format=1), BEFORE._replace(environment=new)
    recorded = "the result was recorded by an older gitml (Action format 1)"
    assert [str(change) for change in changes_between(before, after)] == [recorded]
    assert [str(change) for change in changes_between(before, after, descriptions)] == [
        recorded,
        "package numpy: 1.0 -> 2.0",
    ]
    assert str(changes_between(after, before)[0]) == "the result was recorded by a newer gitml (Action format 2)"


def test_a_summary_is_the_first_change_and_the_number_of_others() -> None:
    one, two = Change("param", "n", "1", "2"), Change("code", "a.py", "x", "y")
    assert summary_of([one]) == "param n: 1 -> 2"
    assert summary_of([one, two]) == "param n: 1 -> 2, and 1 more change"
    assert summary_of([two, one, one]) == "code a.py changed, and 2 more changes"


def test_a_type_that_changed_is_a_change() -> None:
    assert changes_between(BEFORE._replace(params=(("n", 1),)), BEFORE._replace(params=(("n", 1.0),))) != []
    assert changes_between(BEFORE._replace(params=(("n", 1),)), BEFORE._replace(params=(("n", "1"),))) != []
    assert changes_between(BEFORE._replace(params=(("n", True),)), BEFORE._replace(params=(("n", 1),))) != []
    moved = BEFORE._replace(inputs=(RAW._replace(mount="elsewhere"),))
    assert changes_between(BEFORE, moved) != []
    assert changes_between(BEFORE, BEFORE._replace(inputs=(RAW._replace(kind="file"),))) != []


def test_a_type_that_changed_is_told_so_that_it_can_be_seen() -> None:
    found = changes_between(BEFORE._replace(params=(("n", 1),)), BEFORE._replace(params=(("n", "1"),)))
    assert [str(change) for change in found] == ["param n: 1 -> '1'"]


def test_code_that_moved_is_one_change_and_its_word_in_the_command_none() -> None:
    moved = BEFORE._replace(
        argv=("python", "src/train.py", *BEFORE.argv[2:]), code=(CODE._replace(path="src/train.py"),)
    )
    (change,) = changes_between(BEFORE, moved)
    assert str(change) == "code train.py moved to src/train.py"
    assert change == Change("moved", "train.py", "train.py", "src/train.py")


def test_of_files_alike_each_moves_to_the_one_of_its_name_and_none_twice() -> None:
    def package(*paths: str) -> Action:
        return BEFORE._replace(code=tuple([CodeFile(path, "100644", "7" * 40) for path in paths]))

    found = [str(c) for c in changes_between(package("a/x.py", "a/y.py", "a/z.py"), package("b/y.py", "b/x.py"))]
    assert found == ["code a/x.py moved to b/x.py", "code a/y.py moved to b/y.py", "code a/z.py removed"]
    assert [str(c) for c in changes_between(package("a"), package("a", "b"))] == ["code b added"]


def test_of_a_script_the_lines_that_differ_are_told() -> None:
    def script(*lines: str) -> Action:
        return BEFORE._replace(shell="bash", argv=("\n".join(lines), "0.1"))

    one = script("set -x", "python train.py", "sleep 1", "echo done")
    two = script("set -x", "python train.py --fast", "sleep 1", "sync", "echo done")
    assert [str(change) for change in changes_between(one, two)] == [
        "command line 2: python train.py -> python train.py --fast",
        "command line 4 added: sync",
    ]
    (change,) = changes_between(one, script(*[f"line {number}" for number in range(9)]))
    assert str(change) == ("command lines 1-9: set -x; python train.py (and 2 more) -> line 0; line 1 (and 7 more)")
    (change,) = changes_between(one, script(*[f"line {number}" for number in range(2000)]))
    assert str(change) == "command script: 4 lines -> 2000 others"


def test_changed_code_has_both_contents() -> None:
    new = BEFORE._replace(code=(CODE._replace(oid="3" * 40), CodeFile("lib.py", "100644", "4" * 40)))
    assert changed_code(BEFORE, new) == [CodeChange("train.py", "1" * 40, "3" * 40)]
