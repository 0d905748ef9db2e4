"""A run of many steps keeps their rows in files that the next run shares."""

from __future__ import annotations

import json

import pytest

from gitml.core.model.digest import digest_of, hex_of
from gitml.core.model.result import Cost
from gitml.core.records.record import (
    MANY_STEPS,
    Run,
    StepRun,
    decode_run,
    encode_record,
    encode_run,
    step_as_json,
)
from gitml.core.records.step_rows import EVERY, MOST, split
from tests.kit.large_runs import again, cold, step_names

COMMIT = "c" * 40


def read_back(files: dict[str, bytes]) -> Run:
    return decode_run(files["run.json"], lambda name: files[f"steps/{name}.jsonl"])


def rows_of(files: dict[str, bytes]) -> set[str]:
    return {name for name in files if name.startswith("steps/")}


def test_a_thousand_steps_are_written_as_they_always_were_and_one_more_in_rows() -> None:
    few = cold(COMMIT, step_names(MANY_STEPS))
    assert encode_record(few) == {"run.json": encode_run(few)}
    assert json.loads(encode_run(few))["format"] == 1
    many = cold(COMMIT, step_names(MANY_STEPS + 1))
    files = encode_record(many)
    assert json.loads(files["run.json"])["format"] == 2
    assert read_back(files) == many


@pytest.mark.slow
def test_a_run_that_reuses_all_shares_every_row_with_the_run_that_performed_them() -> None:
    first = cold(COMMIT, step_names(20_000))
    second = again(first, "b" * 16)
    performed, reused = encode_record(first), encode_record(second)
    assert rows_of(reused) < rows_of(performed)
    assert len(reused["run.json"]) < 4000
    assert read_back(reused) == second
    third = again(second, "c" * 16)
    assert rows_of(encode_record(third)) == rows_of(reused)
    assert 10 <= len(rows_of(reused)) <= 40


def test_a_step_that_changed_or_came_writes_one_file_of_rows_anew() -> None:
    names = step_names(10_000)
    first = again(cold(COMMIT, names), "b" * 16)
    known = rows_of(encode_record(first))
    changed = encode_record(again(first, "c" * 16, {"train[5000]"}))
    assert len(rows_of(changed) - known) == 2  # the rows around it, and what is of this run alone
    new = first.steps[0]._replace(name="new")
    more = first._replace(id="d" * 16, steps=(*first.steps[:5000], new, *first.steps[5000:]))
    assert len(rows_of(encode_record(more)) - known) == 1


@pytest.mark.slow
def test_a_file_of_rows_is_bounded_whatever_the_names() -> None:
    counts = [n for _, n in split([step_as_json(s) for s in cold(COMMIT, step_names(30_000)).steps], "a")[0].rows]
    assert sum(counts) == 30_000
    assert max(counts) <= MOST
    assert sum(counts) / len(counts) < 2 * EVERY
    wide = [StepRun(f"s{n}", "skipped", "x" * 3_000_000, 0.0) for n in range(8)]
    _, files = split([step_as_json(step) for step in wide], "a")
    assert all(len(content) < 9 << 20 for content in files.values())


def test_a_run_whose_few_steps_say_very_much_takes_rows_too() -> None:
    run = cold(COMMIT, step_names(9))
    long = run._replace(steps=tuple([step._replace(reason="x" * (4 << 20)) for step in run.steps]))
    files = encode_record(long)
    assert max(map(len, files.values())) < 9 << 20
    assert read_back(files) == long


def test_a_metric_that_json_lacks_is_written_as_text_in_format_2_and_read_back() -> None:
    run = cold(COMMIT, ["a"])
    odd = {"a": float("nan"), "b": float("inf"), "c": float("-inf"), "d": 0.5}
    content = encode_run(run._replace(steps=(run.steps[0]._replace(metrics=odd),)))
    raw = json.loads(content)
    assert raw["format"] == 2
    assert raw["steps"][0]["metrics"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 0.5}
    back = decode_run(content).steps[0].metrics
    assert repr(back) == repr(odd)


def test_keys_that_a_later_gitml_adds_are_passed_over() -> None:
    run = cold(COMMIT, step_names(MANY_STEPS + 1))
    files = encode_record(run)
    head = json.loads(files["run.json"])
    renamed: dict[str, bytes] = {}
    for kind in ("rows", "changes"):
        for item in head["steps"][kind]:
            lines = files[f"steps/{item[0]}.jsonl"].splitlines()
            content = b"".join(line[:-1] + b', "members": {"total": 3}}\n' for line in lines)
            item[0] = hex_of(digest_of(content))
            renamed[item[0]] = content
    head |= {"budget": [1], "trigger": {"kind": "http"}}
    head["steps"]["items"] = []
    assert decode_run(json.dumps(head).encode(), renamed.__getitem__) == run


def _spoilt(how: str) -> tuple[bytes, dict[str, bytes]]:
    run = cold(COMMIT, step_names(MANY_STEPS + 200))
    files = encode_record(run)
    head = json.loads(files["run.json"])
    rows = {name.removeprefix("steps/").removesuffix(".jsonl"): files[name] for name in rows_of(files)}
    first = head["steps"]["rows"][0]
    if how == "a file is missing":
        del rows[first[0]]
    elif how == "other bytes":
        rows[first[0]] = rows[first[0]].replace(b"0.5", b"0.6", 1)
    elif how == "another number of rows":
        first[1] += 1
    elif how == "twice":
        head["steps"]["changes"] *= 2
    elif how == "a change of no step":
        del head["steps"]["rows"][0]
    elif how == "no lists":
        head["steps"]["rows"] = 7
    elif how == "a path":
        first[0] = "../../../x"
    else:
        content = {"no rows": b"7\n8\n", "cut off": b'{"name": "a"', "deep": b"[" * 90_000 + b"\n"}[how]
        head["steps"]["rows"] = [[hex_of(digest_of(content)), content.count(b"\n") or 1]]
        rows[hex_of(digest_of(content))] = content
    return json.dumps(head).encode(), rows


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("a file is missing", "did not come"),
        ("other bytes", "other bytes than its name says"),
        ("another number of rows", "rows, not"),
        ("twice", "two changes of one step"),
        ("a change of no step", "does not have"),
        ("no lists", "not a run record"),
        ("a path", "not a file of steps"),
        ("no rows", "no file of rows"),
        ("cut off", "ends within a row"),
        ("deep", "no file of rows"),
    ],
)
def test_rows_that_contradict_themselves_are_refused_with_a_value_error(how: str, why: str) -> None:
    head, rows = _spoilt(how)

    def read(name: str) -> bytes:
        if name not in rows:
            raise ValueError(f"{name} did not come")
        return rows[name]

    with pytest.raises(ValueError, match=why):
        decode_run(head, read)


def test_rows_that_are_not_here_are_named_and_not_passed_over() -> None:
    with pytest.raises(ValueError, match="files beside it"):
        decode_run(encode_record(cold(COMMIT, step_names(MANY_STEPS + 1)))["run.json"])


def test_a_step_that_is_neither_performed_nor_reused_in_the_usual_way_is_read_back() -> None:
    run = cold(COMMIT, step_names(MANY_STEPS + 1))
    odd = [
        StepRun("failed", "failed", "x", 1.5, run.steps[0].key, attempts=run.steps[0].attempts, cost=Cost(1, 1, 1), error="e"),
        StepRun("twin", "reused", "made meanwhile", 0.0, run.steps[0].key, saved=Cost(1.0, 1.0, 1), origin=run.id),
        StepRun("skipped", "skipped", "needs failed, which did not succeed", 0.0),
        run.steps[0]._replace(name="other", origin="d" * 16),
    ]  # fmt: skip
    longer = run._replace(steps=(*run.steps, *odd))
    assert read_back(encode_record(longer)) == longer
