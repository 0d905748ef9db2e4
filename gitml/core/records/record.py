"""Run, StepRun, Attempt: what is written down of a pipeline run at a commit, and never changed afterwards.

A run is written in the lowest format that can say it (`format_of`). A new key that a reader may pass over without misreading the
run is added to `step_as_json`, `attempt_as_json` or `run_as_json`, left out where it is empty, and needs no new format; one
that it would misread raises what `format_of` gives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gitml.core.model.action import Scalar
from gitml.core.model.digest import Digest, parse_digest
from gitml.core.model.result import Cost, OutputRef, outputs_as_json, outputs_from_json, size_from_json
from gitml.core.records.member_errors import MemberErrors, member_errors
from gitml.core.text.format import NUMBER_WORDS, number_word
from gitml.core.text.plot_options import PlotOptions, plot_options

FORMATS = (1, 2)
"""Those that are read. Format 2 has numbers that JSON lacks as text, and may keep its steps in files beside it (`steprows`)."""
MANY_STEPS = 1000
"""More steps than these take format 2, and in a record files of their own."""
LARGEST_WHOLE = 32 << 20
"""Bytes of a ``run.json`` with its steps in it, in a record; with more they take files of their own."""

_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
_LARGEST_CODE = 1 << 31
_LARGEST = 1.7976931348623157e308
_new = tuple.__new__
_FREE = Cost()

DAYS_PARTIAL_STAYS = 14
"""How long what a failed step left of its outputs stays in the Store of the machine that recorded it."""

RUN_STATES = ("running", "succeeded", "failed", "cancelled")
OUTCOMES = ("executed", "reused", "failed", "skipped", "cancelled")
MACHINE = "machine"
"""The outcome of an attempt that the disk or the system of its machine hindered: the step can't be blamed."""


class NewerFormatError(ValueError):
    """A record that a newer gitml wrote: not damaged, and not to be treated as if it said nothing."""


class LogRef(NamedTuple):
    """A kept log: its Blob and how many bytes the step wrote (more than the Blob holds when it was cut)."""

    digest: Digest
    size: int
    written: int


class Attempt(NamedTuple):
    """One try of a step. Times are seconds since 1970; `exit_code` is negative for a signal, None when it never started.

    `target` and `machine` say where in a cluster it was made; both are empty for this machine. `partial` is what one that did not
    succeed made of its outputs: kept for a while on the machine that recorded it, and never a result. One that is `unprepared`
    never began, as its environment could not be made.
    """

    id: str
    outcome: str
    started: float
    cost: Cost
    exit_code: int | None = None
    error: str | None = None
    log: LogRef | None = None
    target: str = ""
    machine: str = ""
    partial: tuple[OutputRef, ...] = ()
    unprepared: bool = False


class StepRun(NamedTuple):
    """One step's outcome in a run. `origin` is the run whose result was reused, `saved` what performing it cost there.

    `guarantees` are those under which its result was made. `labels` are texts by name, as `metrics` are numbers.
    `parts` has for inputs that are parts of directories, by Digest, the Digest of the directory.
    """

    name: str
    outcome: str
    reason: str
    seconds: float
    key: Digest | None = None
    outputs: tuple[OutputRef, ...] = ()
    metrics: Mapping[str, float] = {}
    attempts: tuple[Attempt, ...] = ()
    cost: Cost = Cost()
    saved: Cost | None = None
    origin: str | None = None
    error: str | None = None
    guarantees: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    parts: Mapping[str, str] = {}

    def partial(self) -> dict[str, OutputRef]:
        """What attempts that did not succeed left of each port: the last that left any."""
        return {ref.name: ref for attempt in self.attempts for ref in attempt.partial}


class Run(NamedTuple):
    """One pipeline at one commit. `modules` says what each use of a module meant: name, version, content, registry.

    `plots` says how outputs are shown, by ``step.port`` without the combination. `errors` has the steps with a matrix of which
    members did not succeed and that bear that of some, by name without the combination.
    `commit` is what was run: for uncommitted work the snapshot commit, with `dirty` set and `base` the HEAD it lies on.
    """

    id: str
    pipeline: str
    path: str
    experiment: str
    status: str
    commit: str
    started: float
    ended: float
    by: str
    host: str
    version: str
    dirty: bool = False
    base: str | None = None
    branch: str | None = None
    message: str = ""
    tags: tuple[str, ...] = ()
    params: Mapping[str, Scalar] = {}
    selected: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    steps: tuple[StepRun, ...] = ()
    error: str | None = None
    modules: Mapping[str, Mapping[str, str]] = {}
    plots: Mapping[str, PlotOptions] = {}
    errors: Mapping[str, MemberErrors] = {}

    @property
    def seconds(self) -> float:
        """Wall time of the whole run."""
        return max(0.0, self.ended - self.started)

    def step(self, name: str) -> StepRun | None:
        """The StepRun of that name."""
        return next((step for step in self.steps if step.name == name), None)

    def borne(self) -> frozenset[str]:
        """The names of the steps that did not succeed where that was borne."""
        return frozenset([n for one in self.errors.values() if one.borne for n in (*one.failed, *one.left_out)])

    def is_hindered(self) -> bool:
        """Whether it failed as the disk or the system of a machine hindered a step."""
        return any(
            step.outcome == "failed" and step.attempts and step.attempts[-1].outcome == MACHINE for step in self.steps
        )

    def metrics(self) -> dict[str, float]:
        """Every metric of the run as ``step.metric``."""
        return {f"{step.name}.{name}": value for step in self.steps for name, value in step.metrics.items()}

    def labels(self) -> dict[str, str]:
        """Every label of the run as ``step.label``."""
        return {f"{step.name}.{name}": text for step in self.steps for name, text in step.labels.items()}


def step_as_json(step: StepRun) -> dict[str, Any]:
    """A StepRun as records and ``--json`` show it; what is empty is left out of the record beyond the promised keys."""
    shown: dict[str, Any] = {
        "name": step.name,
        "outcome": step.outcome,
        "reason": step.reason,
        "seconds": round(step.seconds, 6),
        "outputs": outputs_as_json(step.outputs),
        "metrics": metrics_as_json(step.metrics),
    }
    if step.key is not None:
        shown["key"] = step.key
    if step.outcome != "reused":
        shown["cost"] = cost_as_json(step.cost)
    if step.saved is not None:
        shown["saved"] = cost_as_json(step.saved)
    if step.origin is not None:
        shown["origin"] = step.origin
    if step.error is not None:
        shown["error"] = step.error
    if step.guarantees:
        shown["guarantees"] = step.guarantees
    if step.labels:
        shown["labels"] = step.labels
    if step.parts:
        shown["parts"] = step.parts
    if step.attempts:
        shown["attempts"] = [attempt_as_json(attempt) for attempt in step.attempts]
    if left := step.partial():
        shown["partial"] = outputs_as_json(tuple(left.values()))
    return shown


def metrics_as_json(metrics: Mapping[str, float]) -> Mapping[str, float | str]:
    """Metrics as records and ``--json`` show them: numbers that JSON lacks are ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""
    if _are_finite(metrics):
        return metrics
    return {name: value if abs(value) <= _LARGEST else number_word(value) for name, value in metrics.items()}


def _are_finite(metrics: Mapping[str, float]) -> bool:
    return all([-_LARGEST <= value <= _LARGEST for value in metrics.values()])  # noqa: C419 - a third of the time


def format_of(run: Run) -> int:
    """The lowest format that can say `run`, so that an older gitml reads what needs nothing new."""
    many = len(run.steps) > MANY_STEPS
    parts = any("." in name or "[" in name for name in run.params)
    return 2 if many or parts or not all(_are_finite(step.metrics) for step in run.steps if step.metrics) else 1


def cost_as_json(cost: Cost) -> dict[str, float]:
    """A Cost as records show it, keys sorted."""
    return {"cpu": cost.cpu, "peak_memory": cost.peak_memory, "wall": cost.wall}


def attempt_as_json(attempt: Attempt) -> dict[str, Any]:
    """An Attempt as records show it, keys sorted."""
    shown: dict[str, Any] = {"cost": cost_as_json(attempt.cost)}
    if attempt.error is not None:
        shown["error"] = attempt.error
    shown["exit_code"] = attempt.exit_code
    shown["id"] = attempt.id
    if attempt.log is not None:
        shown["log"] = attempt.log._asdict()
    if attempt.machine:
        shown["machine"] = attempt.machine
    shown["outcome"] = attempt.outcome
    if attempt.partial:
        shown["partial"] = outputs_as_json(attempt.partial)
    shown["started"] = attempt.started
    if attempt.target:
        shown["target"] = attempt.target
    if attempt.unprepared:
        shown["unprepared"] = True
    return shown


def run_as_json(run: Run) -> dict[str, Any]:
    """A Run as ``run.json`` holds it and ``--json`` shows it (``run`` is its id)."""
    return {
        "format": format_of(run),
        "run": run.id,
        **{key: getattr(run, key) for key in _RUN_KEYS},
        "seconds": round(run.seconds, 6),
        **({"modules": run.modules} if run.modules else {}),
        **({"plots": {name: plot.as_json() for name, plot in run.plots.items()}} if run.plots else {}),
        **({"errors": {name: one.as_json() for name, one in run.errors.items()}} if run.errors else {}),
        "steps": [step_as_json(step) for step in run.steps],
    }


def encode_run(run: Run) -> bytes:
    """The bytes of ``run.json`` with all steps in it: one a line, so that a person can read it and Git can delta it.

    Keys of the format are sorted; outputs, metrics and parameters keep their order, which is that of the pipeline.
    """
    shown = run_as_json(run)
    in_order = [{key: step[key] for key in sorted(step)} for step in shown.pop("steps")]
    lines = ",\n".join([_ENCODE(step) for step in in_order])
    return _document(shown, f"[\n{lines}\n]")


def encode_record(run: Run) -> dict[str, bytes]:
    """The files of a record that say what the run was, by name: ``run.json``, and those of the steps where they are many."""
    if len(run.steps) <= MANY_STEPS:
        whole = encode_run(run)
        if len(whole) <= LARGEST_WHOLE:
            return {"run.json": whole}
    from gitml.core.records.step_rows import split

    shown = {**run_as_json(run), "format": 2}
    tables, files = split(shown.pop("steps"), run.id)
    return {
        "run.json": _document(shown, tables.as_json()),
        **{f"steps/{name}.jsonl": content for name, content in files.items()},
    }


def _document(shown: Mapping[str, Any], steps: str) -> bytes:
    head = json.dumps({key: shown[key] for key in sorted(shown)}, allow_nan=False)
    return f'{head[:-1]}, "steps": {steps}}}\n'.encode()


def decode_run(data: bytes, read: Callable[[str], bytes] | None = None) -> Run:
    """The Run in a ``run.json``; ValueError naming what is wrong when it is not one this version can read.

    `read` gives the content of the file ``steps/<name>.jsonl`` beside it.
    """
    try:
        raw: dict[str, Any] = json.loads(data)
        check_format(raw["format"])
        return Run(
            id=_text(raw["run"]),
            **{key: decode(raw[key]) for key, decode in _RUN_KEYS.items() if decode is not None},
            steps=tuple([step_from_json(step) for step in _steps_of(raw, read)]),
            modules={_text(use): _texts(module) for use, module in raw.get("modules", {}).items()},
            plots={_text(name): plot_options(options) for name, options in raw.get("plots", {}).items()},
            errors={_text(name): member_errors(one) for name, one in raw.get("errors", {}).items()},
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a run record: {error!r}") from error


def check_format(number: Any) -> None:
    """NewerFormatError or ValueError, naming both, for a record of a format that this gitml does not read."""
    if type(number) is not int or number not in FORMATS:
        message = f"run record of format {str(number)[:20]}; this gitml reads up to {FORMATS[-1]}"
        if type(number) is int and number > FORMATS[-1]:
            raise NewerFormatError(f"{message}; a newer gitml wrote it")
        raise ValueError(message)


def _steps_of(raw: Mapping[str, Any], read: Callable[[str], bytes] | None) -> Iterable[Mapping[str, Any]]:
    steps = raw["steps"]
    if raw["format"] == 1 or not isinstance(steps, dict):
        return steps  # type: ignore[no-any-return]
    from gitml.core.records.step_rows import joined, tables_from_json

    if read is None:
        raise ValueError("its steps are in files beside it, which are not here")
    return joined(tables_from_json(steps), read, _text(raw["run"]))


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"{str(raw)[:60]!r} is not text")
    return raw


def _maybe_text(raw: Any) -> str | None:
    return None if raw is None else _text(raw)


def _texts(raw: Mapping[str, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in raw.items()}


def _list(raw: Iterable[Any]) -> tuple[str, ...]:
    return tuple([_text(item) for item in raw])


def _status(raw: Any) -> str:
    if raw not in RUN_STATES:
        raise ValueError(f"unknown status {raw!r}")
    return str(raw)


def _number(raw: Any) -> float:
    kind = type(raw)
    if (kind is float or kind is int) and -_LARGEST <= raw <= _LARGEST:
        return raw  # type: ignore[no-any-return]
    raise TypeError(f"{str(raw)[:60]!r} is not a finite number")


def _scalar(raw: Any) -> Scalar:
    if not isinstance(raw, (str, int, float)):
        raise TypeError(f"{str(raw)[:60]!r} is no value of a parameter")
    return raw


_RUN_KEYS: dict[str, Callable[[Any], Any] | None] = {
    **dict.fromkeys(("pipeline", "path", "experiment"), _text),
    "status": _status,
    "commit": _text,
    "dirty": bool,
    **dict.fromkeys(("base", "branch"), _maybe_text),
    "message": _text,
    "tags": _list,
    "params": lambda raw: {name: _scalar(value) for name, value in raw.items()},
    "selected": _list,
    "options": lambda raw: dict(raw.items()),
    **dict.fromkeys(("started", "ended"), lambda raw: float(_number(raw))),
    "seconds": None,
    **dict.fromkeys(("by", "host", "version"), _text),
    "error": _maybe_text,
}
"""The keys of a run that are called as its fields, in the order of ``--json``, each with its decoder; ``seconds`` is not read."""


def _cost(raw: Mapping[str, Any]) -> Cost:
    wall, cpu, memory = raw["wall"], raw["cpu"], raw["peak_memory"]
    if type(wall) is not float or type(cpu) is not float:
        wall, cpu = _number(wall), _number(cpu)
    elif not (-_LARGEST <= wall <= _LARGEST and -_LARGEST <= cpu <= _LARGEST):
        raise TypeError("not a finite number")
    return _new(Cost, (wall, cpu, size_from_json(memory)))


def step_from_json(raw: Mapping[str, Any]) -> StepRun:
    """The inverse of `step_as_json`; ValueError for what is not a StepRun."""
    try:
        return _step_from_json(raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a step: {error!r}") from error


def _step_from_json(raw: Mapping[str, Any]) -> StepRun:
    if raw["outcome"] not in OUTCOMES:
        raise ValueError(f"unknown outcome {raw['outcome']!r}")
    # Histories hold millions of these: checked inline and made without the call that names their fields.
    name, reason, metrics, cost, get = raw["name"], raw["reason"], raw["metrics"], raw.get("cost"), raw.get
    if type(name) is not str or type(reason) is not str:
        raise TypeError("name and reason are not text")
    key, saved, attempts, origin, error = get("key"), get("saved"), get("attempts"), get("origin"), get("error")
    return _new(
        StepRun,
        (
            name,
            raw["outcome"],
            reason,
            _number(raw["seconds"]),
            parse_digest(key) if key else None,
            outputs_from_json(raw["outputs"]),
            {metric: _metric(value) for metric, value in metrics.items()} if metrics else _no_metrics(metrics),
            tuple([_attempt_from_json(item) for item in attempts]) if attempts else (),
            _cost(cost) if cost else _FREE,
            _cost(saved) if saved else None,
            origin if origin is None or type(origin) is str else _text(origin),
            error if error is None or type(error) is str else _text(error),
            _texts(given) if (given := get("guarantees")) else {},
            _texts(labels) if (labels := get("labels")) else {},
            _parts(parts) if (parts := get("parts")) else {},
        ),
    )


def _parts(raw: Any) -> dict[str, str]:
    return {parse_digest(part): parse_digest(directory) for part, directory in _texts(raw).items()}


def _metric(raw: Any) -> float:
    if type(raw) is str and raw in NUMBER_WORDS:
        return NUMBER_WORDS[raw]
    return _number(raw)


def _no_metrics(raw: Any) -> dict[str, float]:
    if type(raw) is not dict:
        raise TypeError("metrics are not by name")
    return {}


def _exit_code(raw: Any) -> int | None:
    if raw is not None and (type(raw) is not int or abs(raw) > _LARGEST_CODE):
        raise TypeError(f"{str(raw)[:60]!r} is no exit code")
    return raw


def _attempt_from_json(raw: Mapping[str, Any]) -> Attempt:
    log = raw.get("log")
    return Attempt(
        id=_text(raw["id"]),
        outcome=_text(raw["outcome"]),
        started=_number(raw["started"]),
        cost=_cost(raw["cost"]),
        exit_code=_exit_code(raw["exit_code"]),
        error=_maybe_text(raw.get("error")),
        log=LogRef(parse_digest(log["digest"]), size_from_json(log["size"]), size_from_json(log["written"]))
        if log
        else None,
        target=_text(raw.get("target", "")),
        machine=_text(raw.get("machine", "")),
        partial=outputs_from_json(raw["partial"]) if "partial" in raw else (),
        unprepared=raw.get("unprepared") is True,
    )
