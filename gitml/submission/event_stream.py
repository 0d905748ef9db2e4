"""What a submitted run says, as lines of text: its events, what its steps write, its record, what became of it.

Everything is in what the job wrote, which the cluster keeps; so it can be heard at any time, from anywhere that reaches it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from gitml.core.model.digest import Digest, parse_digest
from gitml.core.model.environment import is_plain
from gitml.core.model.events import Event
from gitml.core.model.result import size_from_json
from gitml.core.records.record import Run, StepRun, decode_run, encode_run, step_as_json, step_from_json

_SIGN = '{"gitml": 1, '
_PART = '{"gitml": 1, "Part": '
_LONGEST = 256 << 10  # characters; who follows a job gets no line of 4 MiB or more, and nothing after one
_MOST = 4 << 20  # characters of a line that is read: no gitml writes as long ones
_WHOLE = 128 << 20  # characters of what is said in parts


class JobLogText(NamedTuple):
    """Some of what an attempt of a step wrote."""

    step: str
    attempt: str
    content: bytes


class JobRecordFile(NamedTuple):
    """A file of the run's record."""

    path: str
    content: bytes


class JobResults(NamedTuple):
    """What the record does not hold itself: objects (digest, size) that the machine `node` has in `folder`."""

    node: str
    folder: str
    objects: tuple[tuple[Digest, int], ...]


class JobEnded(NamedTuple):
    """The last that is said. `error` is why there is no record, as errors are shown in JSON."""

    code: int
    error: Mapping[str, Any] | None


JobEvent = Event | JobLogText | JobRecordFile | JobResults | JobEnded


def event_lines(saying: JobEvent) -> list[str]:
    """A saying as one line, or a long one as several that follow each other."""
    name = _NAMES.get(type(saying), type(saying).__name__)
    line = f'{_SIGN}"{name}": {json.dumps([_plain(value) for value in saying])}}}'
    if len(line) <= _LONGEST:
        return [line]
    pieces = [line[at : at + _LONGEST] for at in range(0, len(line), _LONGEST)]
    return [f"{_PART}{json.dumps([n, len(pieces), piece])}}}" for n, piece in enumerate(pieces)]


def job_events(lines: Iterable[str]) -> Iterator[JobEvent]:
    """What lines say; others than ours, what a newer gitml says, and what no gitml would say are passed over."""
    pieces: list[str] = []
    held = 0
    for line in lines:
        if not line.startswith(_SIGN) or len(line) > _MOST:
            continue
        try:
            if line.startswith(_PART):
                number, of, piece = json.loads(line)["Part"]
                if number == 0:
                    pieces, held = [], 0
                if number != len(pieces) or held > _WHOLE:  # nobody holds what is no part of a whole
                    pieces, held = [], 0
                    continue
                pieces.append(_text(piece))
                held += len(piece)
                if len(pieces) < of:
                    continue
                whole = "".join(pieces)
                pieces, held = [], 0
            else:
                whole = line
            saying = _read(json.loads(whole))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            continue
        if saying is not None:
            yield saying


def lines_of(output: str) -> Iterator[str]:
    """The lines of what a job wrote, without a list of them."""
    at = 0
    while at <= len(output):
        end = output.find("\n", at)
        end = len(output) if end < 0 else end
        yield output[at:end]
        at = end + 1


def _read(raw: dict[str, Any]) -> JobEvent | None:
    name = next((name for name in raw if name != "gitml"), "")
    values = raw.get(name)
    if not isinstance(values, list) or name not in _KINDS:
        return None
    if name == "LogText":
        step, attempt, content = values
        if not _is_file_name(attempt):
            raise ValueError("an attempt of no name")
        return JobLogText(_text(step), attempt, base64.b64decode(content))
    if name == "RecordFile":
        return JobRecordFile(_text(values[0]), base64.b64decode(values[1]))
    if name == "Kept":
        node, folder, objects = values
        return JobResults(
            _text(node),
            _text(folder),
            tuple([(parse_digest(digest), size_from_json(size)) for digest, size in objects]),
        )
    if name == "Ended":
        code, error = values
        told = error or {}
        if type(code) is not int or not isinstance(told, dict) or not is_plain(told, 2):
            raise ValueError("an end that is none")
        if not isinstance(told.get("message", ""), str) or not isinstance(told.get("hint") or "", str):
            raise ValueError("an error without words")
        return JobEnded(code, error)
    kind = _EVENTS[name]
    typed = [_typed(value) for value in values]
    for value, wanted in zip(typed, kind.__annotations__.values(), strict=True):
        if not _IS[wanted.__forward_arg__](value):
            raise ValueError(f"{name} with a part of another type")
    event: Event = kind(*typed)
    return event


_EVENTS: Mapping[str, Any] = {kind.__name__: kind for kind in get_args(Event)}
_NAMES: Mapping[type, str] = {
    JobLogText: "LogText",
    JobRecordFile: "RecordFile",
    JobResults: "Kept",
    JobEnded: "Ended",
}
_KINDS = frozenset((*_EVENTS, *_NAMES.values()))
_IS: Mapping[str, Callable[[Any], bool]] = {  # by the annotations of the events' parts
    "str": lambda value: type(value) is str,
    "int": lambda value: type(value) is int,
    "float": lambda value: type(value) in (int, float) and value - value == 0,
    "float | None": lambda value: value is None or (type(value) in (int, float) and value - value == 0),
    "tuple[str, ...]": lambda value: type(value) is tuple and all(type(item) is str for item in value),
    "Run": lambda value: isinstance(value, Run),
    "StepRun": lambda value: isinstance(value, StepRun),
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _is_file_name(value: Any) -> bool:
    """Whether it may name a file here: what was heard of an attempt is kept under its name."""
    return isinstance(value, str) and re.match(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z", value) is not None


def _plain(value: Any) -> Any:
    if isinstance(value, Run):
        return {"Run": json.loads(encode_run(value))}
    if isinstance(value, StepRun):
        return {"StepRun": step_as_json(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def _typed(value: Any) -> Any:
    if isinstance(value, dict) and "Run" in value:
        from gitml.core.records.rules import check_run

        run = decode_run(json.dumps(value["Run"]).encode())
        check_run(run)
        return run
    if isinstance(value, dict) and "StepRun" in value:
        from gitml.core.records.rules import check_step

        step = step_from_json(value["StepRun"])
        check_step(step)
        return step
    return tuple(value) if isinstance(value, list) else value
