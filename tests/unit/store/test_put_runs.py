"""Many runs at once leave the index as the same runs one by one."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from gitml.core.model.action import Action, ActionOutput, CodeFile
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.records.record import Run, StepRun
from gitml.store.index.index import Index
from gitml.store.index.results import Preimage, put_action, put_result
from gitml.store.index.runs import RecordedRun, put_run, put_runs


def action(number: int) -> Action:
    code = (CodeFile("a.py", "100644", f"{number % 3:040x}"),)
    outputs = (ActionOutput("o", "o", "file"),)
    return Action(("x", str(number)), None, (), code, (), outputs, (), digest_of(b"environment"))


def runs(dice: random.Random, count: int) -> list[RecordedRun]:
    """Runs that share Actions, disagree on some results, fail, repeat and have tags."""
    made = []
    for number in range(count):
        steps, actions = [], {}
        for name in ("a", "b", "c"):
            of = action(dice.randrange(8))
            key = of.key()
            outcome = dice.choice(["executed", "executed", "reused", "failed", "skipped"])
            content = b"%d" % dice.randrange(2)
            outputs = (OutputRef("o", "file", digest_of(content), 1),) if outcome in ("executed", "reused") else ()
            steps.append(
                StepRun(
                    name,
                    outcome,
                    "",
                    1.0,
                    key if outcome != "skipped" else None,
                    outputs,
                    {"m": float(number)},
                    (),
                    Cost(1.0),
                )
            )
            if dice.random() < 0.7:
                actions[key] = Preimage(of.preimage(), of)
        at = 1000.0 + dice.randrange(20)
        tags = ("x", "y")[: dice.randrange(3)]
        run = Run(
            f"{dice.randrange(count):016x}", "p", "p.yaml", "e", "succeeded", "c" * 40, at, at + 1, "", "", "", tags=tags, steps=tuple(steps),
            modules={"m@^1": {"name": "m", "version": f"1.{number % 3}", "content": f"git:{number % 3}"}},
        )  # fmt: skip
        made.append(RecordedRun(run, f"{number:040x}", actions))
    return made


def one_by_one(index: Index, recorded: RecordedRun) -> None:
    run = recorded.run
    put_run(index, run, recorded.commit)
    for step in run.steps:
        preimage = recorded.actions.get(step.key) if step.key is not None else None
        if step.outcome == "executed" and step.key is not None:
            result = ActionResult(step.outputs, step.metrics, step.cost, run.id, run.ended)
            put_result(index, step.key, result, preimage and preimage.content, run.pipeline, step.name)
        elif step.outcome == "failed" and step.key is not None and preimage is not None:
            put_action(index, step.key, preimage.content)


def content_of(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """Every table by what it says, numbers of rows replaced by what they stand for."""
    db = sqlite3.connect(path)
    queries = {
        "runs": "SELECT * FROM runs",
        "tags": "SELECT * FROM tags",
        "facts": "SELECT * FROM facts",
        "failures": "SELECT pipeline, step, at FROM failures",
        "results": "SELECT * FROM results",
        "variants": "SELECT * FROM variants",
        "performed": "SELECT * FROM performed",
        "actions": "SELECT key, preimage FROM actions",
        "steps": "SELECT run, step, outcome, key FROM steps JOIN actions ON actions.id = action",
        "made": "SELECT digest, port, run, step.step FROM made JOIN steps AS step ON step.id = made.step",
        "used": "SELECT content, path, key FROM used JOIN actions ON actions.id = action",
    }
    found = {name: set(db.execute(query).fetchall()) for name, query in queries.items()}
    counts = {f"count of {name}": {db.execute(f"SELECT count(*) FROM {name}").fetchone()} for name in queries}
    db.close()
    return found | counts


@pytest.mark.parametrize("seed", range(8))
def test_many_at_once_are_kept_as_one_by_one(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    recorded = runs(dice, 40)
    unique = list({item.run.id: item for item in recorded}.values())
    slow, fast = Index(str(tmp_path / "slow.db")), Index(str(tmp_path / "fast.db"))
    for item in unique:
        one_by_one(slow, item)
    at = 0
    while at < len(unique):
        size = dice.randrange(1, 15)
        put_runs(fast, unique[at : at + size])
        at += size
    slow.close()
    fast.close()
    assert content_of(tmp_path / "fast.db") == content_of(tmp_path / "slow.db")


def test_putting_a_run_again_in_bulk_replaces_it(tmp_path: Path) -> None:
    recorded = list({item.run.id: item for item in runs(random.Random(1), 10)}.values())
    index = Index(str(tmp_path / "index.db"))
    put_runs(index, recorded)
    put_runs(index, recorded)
    index.close()
    once = Index(str(tmp_path / "once.db"))
    put_runs(once, recorded)
    once.close()
    assert content_of(tmp_path / "index.db") == content_of(tmp_path / "once.db")


def test_contents_and_environments_are_kept(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.db"))
    index.put_contents([(digest_of(b"a"), "1" * 40)], {Digest(digest_of(b"e")): b"e"})
    assert index.inline(digest_of(b"a")) == "1" * 40
    assert index.environment(digest_of(b"e")) == b"e"
