"""The events of a submitted run as lines of text: what happened, what its steps wrote, its record, what became of it.

All of it is in the output of the job, which the cluster keeps; so it can be read at any time, from anywhere that reaches it.
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
_WHOLE = 128 << 20  # characters of an event in parts

FileName = str  # may name a file here: what an attempt wrote is kept under its name
Objects = tuple[tuple[Digest, int], ...]  # with sizes
ErrorData = Mapping[str, Any]  # as errors are shown in JSON


class JobLogText(NamedTuple):
    """Some of what an attempt of a step wrote."""

    step: str
    attempt: FileName
    content: bytes


class JobRecordFile(NamedTuple):
    """A file of the run's record."""

    path: str
    content: bytes


class JobResults(NamedTuple):
    """What the record does not hold itself: objects that the machine `node` has in `folder`."""

    node: str
    folder: str
    objects: Objects


class JobEnded(NamedTuple):
    """The last event. `error` is why there is no record."""

    code: int
    error: ErrorData | None


JobEvent = Event | JobLogText | JobRecordFile | JobResults | JobEnded
_KINDS: Mapping[str, Any] = {
    **{kind.__name__: kind for kind in get_args(Event)},
    "LogText": JobLogText,
    "RecordFile": JobRecordFile,
    "Kept": JobResults,
    "Ended": JobEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def event_lines(event: JobEvent) -> list[str]:
    """An event as one line, or a long one as several that follow each other."""
    line = f'{_SIGN}"{_NAMES[type(event)]}": {json.dumps([_plain(value) for value in event])}}}'
    if len(line) <= _LONGEST:
        return [line]
    pieces = [line[at : at + _LONGEST] for at in range(0, len(line), _LONGEST)]
    return [f"{_PART}{json.dumps([n, len(pieces), piece])}}}" for n, piece in enumerate(pieces)]


def job_events(lines: Iterable[str]) -> Iterator[JobEvent]:
    """The events in lines; other lines, events of a newer gitml, and what no gitml writes are passed over."""
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
            event = _decode(json.loads(whole))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            continue
        if event is not None:
            yield event


def lines_of(output: str) -> Iterator[str]:
    """The lines of what a job wrote, without a list of them."""
    at = 0
    while at <= len(output):
        end = output.find("\n", at)
        end = len(output) if end < 0 else end
        yield output[at:end]
        at = end + 1


def _decode(raw: dict[str, Any]) -> JobEvent | None:
    name = next((name for name in raw if name != "gitml"), "")
    values = raw.get(name)
    if not isinstance(values, list) or name not in _KINDS:
        return None
    kind = _KINDS[name]
    types = [annotation.__forward_arg__ for annotation in kind.__annotations__.values()]
    event: JobEvent = kind(*[_DECODE[type](value) for value, type in zip(values, types, strict=True)])
    return event


def _instance(*kinds: type) -> Callable[[Any], Any]:
    """Checks that a value is of one of these types; a float must be a number."""

    def check(value: Any) -> Any:
        if type(value) not in kinds or (type(value) is float and value - value != 0):
            raise TypeError("a part of another type")
        return value

    return check


_text = _instance(str)


def _file_name(value: Any) -> FileName:
    if re.match(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z", _text(value)) is None:
        raise ValueError("an attempt of no name")
    return str(value)


def _error(value: Any) -> ErrorData | None:
    error = value or {}
    if not isinstance(error, dict) or not is_plain(error, 2):
        raise ValueError("an end that is none")
    if not isinstance(error.get("message", ""), str) or not isinstance(error.get("hint") or "", str):
        raise ValueError("an error without words")
    return None if value is None else error


def _run(value: Any) -> Run:
    from gitml.core.records.rules import check_run

    run = decode_run(json.dumps(value["Run"]).encode())
    check_run(run)
    return run


def _step_run(value: Any) -> StepRun:
    from gitml.core.records.rules import check_step

    step = step_from_json(value["StepRun"])
    check_step(step)
    return step


_DECODE: Mapping[str, Callable[[Any], Any]] = {  # by the annotations of the events' parts
    "str": _text,
    "int": _instance(int),
    "float": _instance(int, float),
    "float | None": _instance(int, float, type(None)),
    "bytes": base64.b64decode,
    "tuple[str, ...]": lambda value: tuple([_text(item) for item in _instance(list)(value)]),
    "FileName": _file_name,
    "Objects": lambda value: tuple([(parse_digest(digest), size_from_json(size)) for digest, size in value]),
    "ErrorData | None": _error,
    "Run": _run,
    "StepRun": _step_run,
}


def _plain(value: Any) -> Any:
    if isinstance(value, Run):
        return {"Run": json.loads(encode_run(value))}
    if isinstance(value, StepRun):
        return {"StepRun": step_as_json(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value
