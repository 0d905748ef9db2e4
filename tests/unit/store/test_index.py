"""The index: what is put is found, in order, by many, after damage."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gitml.core.model.action import Action, ActionInput, ActionOutput, CodeFile
from gitml.core.model.digest import digest_of
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.records.record import Run, StepRun
from gitml.errors import IntegrityError
from gitml.store.index.artifacts import makers_of, users_of
from gitml.store.index.index import Index
from gitml.store.index.results import performed_actions, put_action, put_result, variants_of
from gitml.store.index.runs import (
    RunCondition,
    RunSort,
    metric_by_commit,
    newest_runs,
    order_runs,
    put_run,
    run_ids_with_prefix,
    run_row,
    run_rows,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(str(tmp_path / "index.db"))


def result(content: bytes = b"out", run: str = "r1", at: float = 1.0) -> ActionResult:
    output = OutputRef("model", "file", digest_of(content), len(content))
    return ActionResult((output,), {"acc": 0.5}, Cost(1.0, 2.0, 3), run, at)


def action(seed: int = 0, data: bytes = b"data") -> Action:
    return Action(
        argv=("python", "train.py"),
        shell=None,
        params=(("seed", seed),),
        code=(CodeFile("train.py", "100644", "c" * 40),),
        inputs=(
            ActionInput("raw", "data/raw.csv", "file", "git:100644:" + "d" * 40),
            ActionInput("clean", "prepared", "directory", digest_of(data)),
        ),
        outputs=(ActionOutput("model", "model.bin", "file"),),
        env=(),
        environment=digest_of(b"env"),
    )


def run(number: int, **changes: object) -> Run:
    fields: dict[str, object] = {
        "id": f"r{number:06}",
        "pipeline": "train",
        "path": "pipelines/train.yaml",
        "experiment": "base",
        "status": "succeeded",
        "commit": f"{number * 7919:040x}",
        "started": 1000.0 + number,
        "ended": 1001.5 + number,
        "by": "a",
        "host": "h",
        "version": "0",
    }
    return Run(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_new_index_is_fresh_and_a_known_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "er" / "index.db")
    first = Index(path)
    assert first.fresh
    first.set_meta("tip", "abc")
    first.close()
    second = Index(path)
    assert not second.fresh
    assert second.meta("tip") == "abc"
    assert second.meta("nothing") is None


def test_facts_environments_and_inline_blobs_are_remembered(index: Index) -> None:
    assert index.fact("imports", "oid") is None
    index.remember("imports", "oid", ["a", {"b": None}])
    index.remember("imports", "oid", ["a", {"b": 1}])
    assert index.fact("imports", "oid") == ["a", {"b": 1}]
    assert index.fact("other", "oid") is None
    digest = digest_of(b"env")
    assert index.environment(digest) is None
    index.put_environment(digest, b"{}")
    assert index.environment(digest) == b"{}"
    assert index.inline(digest) is None
    index.put_contents([(digest, "e" * 40)])
    assert index.inline(digest) == "e" * 40


def test_a_result_and_its_action_come_back(index: Index) -> None:
    done = action()
    assert index.result(done.key()) is None
    assert not list(index.recent_actions("train", "fit"))
    put_result(index, done.key(), result(), done.preimage(), "train", "fit")
    assert index.result(done.key()) == result()
    assert index.action(done.key()) == done
    assert list(index.recent_actions("train", "fit")) == [done]
    assert not list(index.recent_actions("train", "other"))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_latest_action_and_results_go_by_time_not_by_order_of_arrival(index: Index, order: tuple[int, ...]) -> None:
    done = [action(seed=n) for n in range(3)]
    for n in order:
        put_result(index, done[n].key(), result(run=f"r{n}", at=float(n)), done[n].preimage(), "train", "fit")
    assert next(index.recent_actions("train", "fit")) == done[2]
    assert [(p.key, p.run, p.at) for p in performed_actions(index, "train", "fit", 2)] == [
        (done[2].key(), "r2", 2.0),
        (done[1].key(), "r1", 1.0),
    ]


def test_one_action_under_two_names_is_the_latest_of_both(index: Index) -> None:
    done = action()
    put_result(index, done.key(), result(), done.preimage(), "train", "fit")
    put_result(index, done.key(), result(at=2.0), done.preimage(), "other", "learn")
    assert list(index.recent_actions("train", "fit")) == list(index.recent_actions("other", "learn")) == [done]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_results_that_differ_are_all_kept_and_the_newest_counts(index: Index, order: tuple[int, ...]) -> None:
    key = digest_of(b"key")
    results = [result(b"one", "r0", 0.0), result(b"two", "r1", 1.0), result(b"one", "r2", 2.0)]
    for n in order:
        put_result(index, key, results[n], None, "train", "fit")
    assert index.result(key) == results[2]
    assert [v.outputs for v in variants_of(index, key)] == [results[2].outputs, results[1].outputs]


def test_results_that_agree_are_no_variants(index: Index) -> None:
    key = digest_of(b"key")
    for n in range(3):
        put_result(index, key, result(run=f"r{n}", at=float(n)), None, "train", "fit")
    assert variants_of(index, key) == []
    assert index.result(key) == result(run="r2", at=2.0)


def test_a_result_that_cannot_be_read_counts_as_not_known(index: Index, tmp_path: Path) -> None:
    put_result(index, digest_of(b"key"), result(), None, "train", "fit")
    other = sqlite3.connect(tmp_path / "index.db")
    other.execute("UPDATE results SET result = '[1, '")
    other.commit()
    assert index.result(digest_of(b"key")) is None


def test_a_run_is_listed_with_what_a_list_shows(index: Index) -> None:
    steps = (
        StepRun("fit", "executed", "new", 1.0, key=digest_of(b"k"), metrics={"acc": 0.9}),
        StepRun("prepare", "reused", "same", 0.0, key=digest_of(b"p")),
        StepRun("report", "reused", "same", 0.0, key=digest_of(b"q")),
    )
    put_run(
        index,
        run(1, steps=steps, tags=("best", "v1"), dirty=True, base="b" * 40, branch="main", message="try"),
        "f" * 40,
    )
    row = run_row(index, "r000001")
    assert row is not None
    assert (row.tags, row.dirty, row.base, row.branch, row.message) == (("best", "v1"), True, "b" * 40, "main", "try")
    assert (row.counts, row.metrics, row.record) == ({"executed": 1, "reused": 2}, {"fit.acc": 0.9}, "f" * 40)
    assert row.seconds == 1.5
    assert newest_runs(index) == [row]
    assert run_row(index, "r00000") is None


def test_runs_are_filtered_and_paged_newest_first(index: Index) -> None:
    for n in range(12):
        put_run(
            index,
            run(
                n,
                pipeline=("train", "score")[n % 2],
                experiment=("base", "wide", "deep")[n % 3],
                status="failed" if n in (3, 7) else "succeeded",
                branch="main" if n < 6 else None,
                tags=("even",) if n % 2 == 0 else (),
                started=1000.0 + n // 2,  # pairs that began in the same moment
            ),
            "",
        )

    def numbers(**filters: object) -> list[int]:
        return [int(row.id[1:]) for row in newest_runs(index, **filters)]  # type: ignore[arg-type]

    everything = list(range(11, -1, -1))
    assert numbers() == numbers(limit=None) == everything
    assert numbers(limit=3) == everything[:3]
    assert numbers(pipeline="score") == [11, 9, 7, 5, 3, 1]
    assert numbers(experiment="wide", pipeline="train") == [10, 4]
    assert numbers(status="failed") == [7, 3]
    assert numbers(branch="main", tag="even") == [4, 2, 0]
    assert numbers(commit=f"{5 * 7919:040x}") == numbers(commit=f"{5 * 7919:040x}"[:38], pipeline="score") == [5]
    assert numbers(since=1004.0) == [11, 10, 9, 8]
    assert numbers(tag="even", since=1004.0, before="r000010") == [8]
    assert numbers(tag="odd") == []
    paged: list[int] = []
    while page := numbers(limit=5, before=f"r{paged[-1]:06}" if paged else None):
        paged += page
    assert paged == everything


def test_all_runs_are_put_in_any_order_and_the_rows_are_found_by_it(index: Index) -> None:
    shuffled = [number * 37 % 300 for number in range(300)]
    for number in shuffled:
        changes = {"started": 1000.0 + number // 2, "ended": 1100.0 + number * 7 % 50, "pipeline": f"p{number % 5}"}
        put_run(index, run(number, branch=None if number % 3 else f"b{number % 7}", **changes), "")

    def ids(sort: RunSort, *conditions: RunCondition) -> list[str]:
        order = order_runs(index, conditions, sort)
        return [row.id for at in range(0, len(order), 100) for row in run_rows(index, order[at : at + 100])]

    newest = [f"r{number:06}" for number in range(299, -1, -1)]
    assert ids(RunSort()) == newest
    assert ids(RunSort(descending=False)) == newest[::-1]
    assert ids(RunSort("pipeline", descending=False)) == sorted(newest, key=lambda id: int(id[1:]) % 5)
    branches = [int(id[1:]) % 7 if int(id[1:]) % 3 == 0 else -1 for id in ids(RunSort("branch"))]
    assert branches == sorted(branches, reverse=True)
    assert ids(RunSort(), RunCondition("field", "p2", "pipeline")) == [id for id in newest if int(id[1:]) % 5 == 2]
    assert ids(RunSort(), RunCondition("text", "nowhere")) == []


def test_nan_and_infinities_come_last_in_any_order_and_meet_no_condition(index: Index) -> None:
    values = {0: 0.5, 1: float("nan"), 2: 0.9, 3: float("inf"), 4: float("-inf"), 5: None}
    for number, value in values.items():
        metrics = {} if value is None else {"loss": value}
        put_run(index, run(number, steps=(StepRun("s", "executed", "", 1.0, metrics=metrics),)), f"c{number}")

    def found(conditions: list[RunCondition], sort: RunSort) -> list[float | None]:
        return [row.metrics.get("s.loss") for row in run_rows(index, order_runs(index, conditions, sort))]

    assert found([], RunSort("metric:s.loss"))[:2] == [0.9, 0.5]
    assert found([], RunSort("metric:s.loss", descending=False))[:2] == [0.5, 0.9]
    assert len(found([], RunSort("metric:s.loss"))) == len(values)
    for sign, met in ((">", [0.9]), ("<", [0.5]), ("=", []), (">=", [0.9])):
        assert found([RunCondition("metric", 0.6, "loss", sign)], RunSort()) == met
    odd = {repr(row.metrics["s.loss"]) for row in newest_runs(index, limit=None) if "s.loss" in row.metrics}
    assert odd == {"0.5", "nan", "0.9", "inf", "-inf"}
    assert set(metric_by_commit(index, "train", "s.loss").values()) == {0.5, 0.9}


def test_a_result_with_nan_comes_back(index: Index) -> None:
    odd = result()._replace(metrics={"a": float("nan"), "b": float("-inf"), "c": 1})
    put_result(index, action().key(), odd, None, "p", "s")
    back = index.result(action().key())
    assert back is not None
    assert [repr(value) for value in back.metrics.values()] == ["nan", "-inf", "1"]


def test_runs_are_found_by_a_unique_beginning(index: Index) -> None:
    for n in (1, 12, 13):
        put_run(index, run(n), "")
    assert run_ids_with_prefix(index, "r00001") == ["r000013", "r000012"]
    assert run_ids_with_prefix(index, "r000001") == ["r000001"]
    assert run_ids_with_prefix(index, "x") == []


def test_putting_a_run_again_replaces_it_whole(index: Index) -> None:
    made = StepRun("fit", "executed", "new", 1.0, key=digest_of(b"k"), outputs=result().outputs)
    put_run(index, run(1, status="running", steps=(made,), tags=("old",)), "")
    put_run(index, run(1, steps=(made,), tags=("new",)), "record")
    assert [(row.status, row.record) for row in newest_runs(index)] == [("succeeded", "record")]
    assert newest_runs(index, tag="old") == []
    assert len(makers_of(index, digest_of(b"out"))) == 1


def test_reused_steps_cost_no_row(index: Index, tmp_path: Path) -> None:
    steps = tuple(StepRun(f"s{n}", "reused", "same", 0.0, key=digest_of(b"%d" % n)) for n in range(1000))
    put_run(index, run(1, steps=steps), "")
    other = sqlite3.connect(tmp_path / "index.db")
    for table in ("steps", "made", "actions"):
        assert other.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_lineage_goes_up_to_makers_and_down_to_users(index: Index) -> None:
    prepare, train, failing = action(), action(seed=1, data=b"clean"), action(seed=2, data=b"clean")
    clean = OutputRef("clean", "directory", digest_of(b"clean"), 5)
    put_result(index, prepare.key(), result(b"clean"), prepare.preimage(), "train", "prepare")
    put_result(index, train.key(), result(b"model"), train.preimage(), "train", "fit")
    put_action(index, failing.key(), failing.preimage())
    steps = (
        StepRun("prepare", "executed", "new", 1.0, key=prepare.key(), outputs=(clean,)),
        StepRun("fit", "executed", "new", 1.0, key=train.key(), outputs=result(b"model").outputs),
        StepRun("bad", "failed", "new", 1.0, key=failing.key()),
        StepRun("never", "skipped", "after bad", 0.0),
    )
    put_run(index, run(1, steps=steps), "")
    put_run(index, run(2, steps=(steps[0]._replace(outcome="reused"),)), "")
    assert makers_of(index, digest_of(b"clean")) == [(prepare.key(), "clean", "r000001", "prepare", "train")]
    assert makers_of(index, digest_of(b"nothing")) == []
    users = users_of(index, digest_of(b"clean"))
    assert {(use.key, use.step) for use in users} == {(train.key(), "fit"), (failing.key(), "bad")}
    assert {use.path for use in users} == {"prepared"}
    assert {use.step for use in users_of(index, "c" * 40)} == {"prepare", "fit", "bad"}


def test_an_action_without_a_recorded_run_is_a_user_all_the_same(index: Index) -> None:
    done = action()
    put_result(index, done.key(), result(), done.preimage(), "train", "fit")
    assert [(use.key, use.run) for use in users_of(index, "c" * 40)] == [(done.key(), None)]


def test_a_batch_is_kept_whole_or_not_at_all(index: Index, tmp_path: Path) -> None:

    def fail() -> None:
        with index.batch():
            put_run(index, run(1), "")
            with index.batch():
                index.set_meta("tip", "x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert newest_runs(index) == []
    assert index.meta("tip") is None
    with index.batch():
        put_run(index, run(1), "")
    assert [row.id for row in newest_runs(Index(str(tmp_path / "index.db")))] == ["r000001"]


DAMAGE = {
    "no database": lambda path: path.write_bytes(b"this is not a database, by far not one" * 100),
    "cut short": lambda path: os.truncate(path, 5000),
    "no tables": lambda path: (path.unlink(), sqlite3.connect(path).execute("CREATE TABLE other (x)")),
    "of another version": lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 999"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_what_cannot_be_used_is_set_aside_and_begun_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "index.db"
    for n in (1, 2):
        index = Index(str(path))
        index.set_meta("tip", "x")
        index.close()
        DAMAGE[damage](path)
        index = Index(str(path))
        assert index.fresh
        assert index.meta("tip") is None
        index.set_meta("tip", "y")
        assert (tmp_path / f"index.db.bad-{n}").exists()
        index.close()


def test_an_empty_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "index.db").touch()
    assert Index(str(tmp_path / "index.db")).fresh
    assert not (tmp_path / "index.db.bad-1").exists()


def test_damage_found_late_is_an_error_once_and_mended_by_the_next_opening(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = Index(str(path))
    with index.batch():
        for n in range(2000):
            put_run(index, run(n), "")
    index.close()
    with open(path, "r+b") as file:
        file.seek(5 * 4096)
        file.write(os.urandom(path.stat().st_size - 6 * 4096))
    index = Index(str(path))
    assert not index.fresh

    def rewrite() -> None:
        with index.batch():
            for row in newest_runs(index, limit=None):
                put_run(index, run(int(row.id[1:])), "again")

    with pytest.raises(IntegrityError, match="damaged") as caught:
        rewrite()
    assert caught.value.hint
    again = Index(str(path))
    assert again.fresh
    assert newest_runs(again) == []
    assert (tmp_path / "index.db.bad-1").exists()


def test_a_check_of_the_whole_file_finds_nothing_in_a_good_one(index: Index) -> None:
    assert index.faults() == []


WRITER = """
import sys
from gitml.core.model.digest import digest_of
from gitml.core.model.result import ActionResult, Cost
from gitml.store.index.index import Index
from gitml.store.index.results import put_result
for turn in range(10):
    index = Index(sys.argv[1])
    for n in range(30):
        key = digest_of(f"{sys.argv[2]} {turn} {n}".encode())
        put_result(index, key, ActionResult((), {}, Cost(), "r", 1.0), None, "p", key)
        index.meta("count")
        with index.batch():
            index.set_meta("count", str(int(index.meta("count") or 0) + 1))
    index.close()
"""


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing_and_are_never_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "index.db")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [subprocess.Popen([*command, str(n)], env=environment, stderr=subprocess.PIPE) for n in range(3)]
    for writer in writers:
        _, complaint = writer.communicate(timeout=120)
        assert writer.returncode == 0, complaint.decode()
    index = Index(str(tmp_path / "index.db"))
    assert index.meta("count") == "900"
    keys = [digest_of(f"{writer} {turn} {n}".encode()) for writer in "012" for turn in range(10) for n in range(30)]
    assert all(index.result(key) is not None for key in keys)
    assert sorted(os.listdir(tmp_path)) == ["index.db", "index.db-shm", "index.db-wal", "index.db.lock"]


@pytest.mark.slow
def test_a_killed_writer_leaves_an_index_that_opens_with_all_that_was_committed(tmp_path: Path) -> None:
    code = """
    import sys
    from gitml.store.index.index import Index
    index = Index(sys.argv[1])
    n = int(index.meta("n") or 0)
    print("open", flush=True)
    while True:
        n += 1
        with index.batch():
            index.set_meta("n", str(n))
            index.remember("k", str(n), n)
        print(n, flush=True)
    """
    last = 0
    for turn in range(5):
        command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "index.db")]
        child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(20 + turn):
            last = int(child.stdout.readline())
        child.kill()
        child.communicate()
        index = Index(str(tmp_path / "index.db"))
        assert not index.fresh
        now = int(index.meta("n") or 0)
        assert now >= last
        assert index.fact("k", str(now)) == now
        assert index.fact("k", str(now + 1)) is None
        index.close()


@pytest.mark.campaign
@pytest.mark.slow
def test_the_first_page_of_a_hundred_thousand_runs_comes_at_once(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.db"))
    took = []
    for begin in range(0, 100_000, 10_000):
        started = time.process_time()
        with index.batch():
            for n in range(begin, begin + 10_000):
                outputs = result(b"%d" % n).outputs
                step = StepRun("fit", "executed", "new", 1.0, key=digest_of(b"%d" % n), outputs=outputs)
                status = "failed" if n % 1000 == 0 else "succeeded"
                put_run(
                    index, run(n, pipeline=f"p{n % 3}", status=status, branch="main", tags=("t",), steps=(step,)), ""
                )
        took.append(time.process_time() - started)
    assert min(took[-3:]) < 3 * max(took[:3]), took
    for filters in (
        {},
        {"pipeline": "p1"},
        {"status": "failed"},
        {"tag": "t"},
        {"branch": "main"},
        {"before": "r050000"},
    ):
        started = time.process_time()
        assert len(newest_runs(index, limit=50, **filters)) == 50  # type: ignore[arg-type]
        assert time.process_time() - started < 0.2, filters
    started = time.process_time()
    put_run(index, run(100_001), "")
    assert time.process_time() - started < 0.2


def test_opening_costs_little(tmp_path: Path) -> None:
    Index(str(tmp_path / "index.db")).close()
    times = []
    for _ in range(10):
        started = time.process_time()
        index = Index(str(tmp_path / "index.db"))
        times.append(time.process_time() - started)
        index.close()
    assert min(times) < 0.01
