"""Results in the index: what each ActionKey gave, the Actions behind them, and evidence of non-determinism.

The index is written as steps end, the record when the run does, and a power cut may leave the first without the second. So the
results of a run without a record are marked, and taken back when it never gets one: nothing may be reused from a run that no
record has, and what was known before counts again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from gitml.core.model.action import Action, decode_action
from gitml.core.model.digest import Digest
from gitml.core.model.result import ActionResult, OutputRef, encode_result
from gitml.core.records.record import Run
from gitml.store.index.index import Index, decoded

_UNRECORDED = "unrecorded"
"""Facts of this kind: ``<run>:<key>`` is [pipeline, the result that was known before or null]."""
_RECORDS = (
    "inline", "results", "variants", "performed", "failures", "runs", "tags", "steps", "made", "used", "actions"
)  # fmt: skip


class PerformedAction(NamedTuple):
    """That a step's Action was performed: its key, the run, and when (seconds since 1970)."""

    key: Digest
    run: str
    at: float


class Preimage(NamedTuple):
    """An Action and the bytes its key is the digest of."""

    content: bytes
    action: Action


class StepResult(NamedTuple):
    """What a step of a pipeline gave for an ActionKey."""

    pipeline: str
    step: str
    key: Digest
    result: ActionResult


# Writing


def put_result(
    index: Index, key: Digest, result: ActionResult, preimage: bytes | None, pipeline: str, step: str
) -> None:
    """Keeps a result, and the Action that made it. The order of calls does not matter: the newest by its time counts.

    Where the results of one key differ in content, each is kept as a variant.
    """
    with index.batch():
        put_results(index, [StepResult(pipeline, step, key, result)])
        if preimage is not None:
            put_action(index, key, preimage)


def put_results(index: Index, results: Sequence[StepResult]) -> None:
    """As `put_result` for each without its Action, in a fraction of the statements."""
    keys = list({item.key: None for item in results})
    known_rows = index.rows_among("SELECT key, result FROM results WHERE key IN ", keys)
    newest = {key: decoded(text) for key, text in known_rows}
    varied = {key for (key,) in index.rows_among("SELECT DISTINCT key FROM variants WHERE key IN ", keys)}
    variants: list[tuple[str, str, float, str]] = []
    changed: dict[Digest, ActionResult] = {}
    for _, _, key, result in results:
        known = newest.get(key)
        if known is not None and not known.same_content(result):
            varied.add(key)
            variants.append((key, known.run, known.at, encode_result(known)))
        if key in varied:
            variants.append((key, result.run, result.at, encode_result(result)))
        if known is None or known.at <= result.at:
            newest[key] = changed[key] = result
    index.execute_many("INSERT OR REPLACE INTO variants VALUES (?, ?, ?, ?)", variants)
    index.execute_many(
        "INSERT OR REPLACE INTO results VALUES (?, ?)",
        [(key, encode_result(result)) for key, result in changed.items()],
    )
    index.execute_many(
        "INSERT INTO performed VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET run = excluded.run, at = excluded.at"
        " WHERE excluded.at > at",
        [(pipeline, step, key, result.run, result.at) for pipeline, step, key, result in results],
    )


def put_action(index: Index, key: Digest, preimage: bytes) -> None:
    """Keeps an Action and, for lineage, what it names. Enough by itself for a step that failed."""
    if index.row("SELECT 1 FROM actions WHERE key = ? AND preimage IS NOT NULL", (key,)) is None:
        with index.batch():
            put_actions(index, {key: Preimage(preimage, decode_action(preimage))})


def put_actions(index: Index, preimages: Mapping[Digest, Preimage | None]) -> dict[Digest, int]:
    """The number of each Action, kept with its pre-image, and what it names, where that is new."""
    index.execute_many("INSERT OR IGNORE INTO actions (key) VALUES (?)", [(key,) for key in preimages])
    rows = index.rows_among("SELECT key, id, preimage IS NOT NULL FROM actions WHERE key IN ", list(preimages))
    contents: list[tuple[bytes, int]] = []
    used: list[tuple[str, str, int]] = []
    for key, number, is_known in rows:
        preimage = preimages[key]
        if preimage is not None and not is_known:
            contents.append((preimage.content, number))
            used += [(code.oid, code.path, number) for code in preimage.action.code]
            for item in preimage.action.inputs:
                content = item.content.rsplit(":", 1)[1] if item.content.startswith("git:") else item.content
                used.append((content, item.mount, number))
    index.execute_many("UPDATE actions SET preimage = ? WHERE id = ?", contents)
    index.execute_many("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", used)
    return {key: number for key, number, _ in rows}


# Reading


def variants_of(index: Index, key: Digest) -> list[ActionResult]:
    """The results of `key` that differ in content, newest first; empty when all that is known agrees."""
    found: list[ActionResult] = []
    for row in index.rows("SELECT result FROM variants WHERE key = ? ORDER BY at DESC", (key,)):
        result = decoded(row[0])
        if result is not None and not any(other.same_content(result) for other in found):
            found.append(result)
    return found


def performed_actions(index: Index, pipeline: str, step: str, limit: int) -> list[PerformedAction]:
    """What was performed for a step of this name, newest first."""
    rows = index.rows(
        "SELECT key, run, at FROM performed WHERE pipeline = ? AND step = ? ORDER BY at DESC LIMIT ?",
        (pipeline, step, limit),
    )
    return [PerformedAction(*row) for row in rows]


def expected_seconds(index: Index, pipeline: str) -> dict[str, float]:
    """For each step of a pipeline the wall seconds of the last time it was performed."""
    rows = index.rows(
        "SELECT performed.step, max(performed.at), results.result FROM performed"
        " JOIN results ON results.key = performed.key WHERE performed.pipeline = ? GROUP BY performed.step",
        (pipeline,),
    )
    return {step: result.cost.wall for step, _, text in rows if (result := decoded(text)) is not None}


def every_result(index: Index) -> Iterator[ActionResult]:
    """Every known result that can be read."""
    for (text,) in index.execute("SELECT result FROM results"):
        result = decoded(text)
        if result is not None:
            yield result


def every_output(index: Index) -> Iterator[OutputRef]:
    """Every output of these; a content may come several times."""
    for result in every_result(index):
        yield from result.outputs


def output_trees(index: Index) -> dict[Digest, int]:
    """The size of every directory among them."""
    return {output.digest: output.size for output in every_output(index) if output.is_tree}


# Runs in progress


def put_unrecorded(
    index: Index, key: Digest, result: ActionResult, preimage: bytes | None, pipeline: str, step: str
) -> None:
    """As `put_result`, of a run without a record: it counts until `forget_unrecorded`, and for good once the run is put."""
    with index.batch():
        known = index.row("SELECT result FROM results WHERE key = ?", (key,))
        value = json.dumps([pipeline, known and known[0]])
        index.execute("INSERT OR IGNORE INTO facts VALUES (?, ?, ?)", (_UNRECORDED, f"{result.run}:{key}", value))
        put_result(index, key, result, preimage, pipeline, step)


def unrecorded_runs(index: Index) -> set[str]:
    """The runs without a record that results are known of."""
    rows = index.rows("SELECT DISTINCT substr(id, 1, instr(id, ':') - 1) FROM facts WHERE kind = ?", (_UNRECORDED,))
    return {row[0] for row in rows}


def forget_unrecorded(index: Index, run: str) -> None:
    """Takes back the results of a run that has no record; none when it was recorded meanwhile."""
    with index.batch():
        _settle(index, run, frozenset())


def forget_records(index: Index, *names: str) -> None:
    """Empties the index of all that came from records, and of its values that are named, as if none had been read."""
    with index.batch():
        for table in _RECORDS:
            index.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        index.execute("DELETE FROM facts WHERE kind = ?", (_UNRECORDED,))
        index.execute_many("DELETE FROM meta WHERE name = ?", [(name,) for name in names])


def settle_runs(index: Index, runs: Sequence[Run]) -> None:
    """Of runs that are recorded the results count that their records have, and no others."""
    waiting = unrecorded_runs(index)
    for run in runs:
        if run.id in waiting:
            executed = {step.key for step in run.steps if step.outcome == "executed" and step.key is not None}
            _settle(index, run.id, executed)


def _settle(index: Index, run: str, recorded: Set[Digest]) -> None:
    span = (_UNRECORDED, f"{run}:", f"{run};")
    where = "WHERE kind = ? AND id >= ? AND id < ?"
    marks: Mapping[str, str] = dict(index.rows(f"SELECT id, value FROM facts {where}", span))  # noqa: S608 - ours
    index.execute(f"DELETE FROM facts {where}", span)  # noqa: S608 - no value in it
    for id, value in marks.items():
        key = Digest(id[len(run) + 1 :])
        if key not in recorded:
            pipeline, before = json.loads(value)
            _take_back(index, run, key, pipeline, before)


def _take_back(index: Index, run: str, key: Digest, pipeline: str, before: str | None) -> None:
    known = decoded(before) if before is not None else None
    if known is not None and not _is_backed(index, known.run, key):
        known = None  # which was lost as well
    row = index.row("SELECT result FROM results WHERE key = ?", (key,))
    now = decoded(row[0]) if row else None
    if now is None or now.run == run:
        if known is None:
            index.execute("DELETE FROM results WHERE key = ?", (key,))
        else:
            index.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, before))
    which = "WHERE pipeline = ? AND key = ? AND run = ?"
    if known is None:
        index.execute(f"DELETE FROM performed {which}", (pipeline, key, run))  # noqa: S608 - no value in it
    else:
        values = (known.run, known.at, pipeline, key, run)
        index.execute(f"UPDATE performed SET run = ?, at = ? {which}", values)  # noqa: S608 - no value in it
    index.execute("DELETE FROM variants WHERE key = ? AND run = ?", (key, run))
    if len(index.rows("SELECT 1 FROM variants WHERE key = ?", (key,))) == 1:  # it differs from nothing any more
        index.execute("DELETE FROM variants WHERE key = ?", (key,))


def _is_backed(index: Index, run: str, key: Digest) -> bool:
    """Whether a run's record has this result, or the run may still get one."""
    mark = index.row("SELECT 1 FROM facts WHERE kind = ? AND id = ?", (_UNRECORDED, f"{run}:{key}"))
    executed = (
        "SELECT 1 FROM steps JOIN actions ON actions.id = action WHERE run = ? AND key = ? AND outcome = 'executed'"
    )
    return mark is not None or index.row(executed, (run, key)) is not None
