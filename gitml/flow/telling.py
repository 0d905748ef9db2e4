"""What a submitted run says, as lines of text: its events, what its steps write, its record, what became of it.

Everything is in what the job wrote, which the cluster keeps; so it can be heard at any time, from anywhere that reaches it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gitml.core import events
from gitml.core.digest import Digest, parse_digest
from gitml.core.events import Event
from gitml.core.record import Run, StepRun, decode_run, encode_run, step_as_json, step_from_json

_SIGN = '{"gitml": 1, '
_PART = '{"gitml": 1, "Part": '
_LONGEST = 256 << 10  # characters; who follows a job gets no line of 4 MiB or more, and nothing after one


class LogText(NamedTuple):
    """Some of what an attempt of a step wrote."""

    step: str
    attempt: str
    content: bytes


class RecordFile(NamedTuple):
    """A file of the run's record."""

    path: str
    content: bytes


class Kept(NamedTuple):
    """What the record does not hold itself: objects (digest, size) that the machine `node` has in `folder`."""

    node: str
    folder: str
    objects: tuple[tuple[Digest, int], ...]


class Ended(NamedTuple):
    """The last that is said. `error` is why there is no record, as errors are shown in JSON."""

    code: int
    error: Mapping[str, Any] | None


Saying = Event | LogText | RecordFile | Kept | Ended


def as_lines(saying: Saying) -> list[str]:
    """A saying as one line, or a long one as several that follow each other."""
    line = f'{_SIGN}"{type(saying).__name__}": {json.dumps([_plain(value) for value in saying])}}}'
    if len(line) <= _LONGEST:
        return [line]
    pieces = [line[at : at + _LONGEST] for at in range(0, len(line), _LONGEST)]
    return [f"{_PART}{json.dumps([n, len(pieces), piece])}}}" for n, piece in enumerate(pieces)]


def sayings(lines: Iterable[str]) -> Iterator[Saying]:
    """What lines say; others than ours, and what a newer gitml says, are passed over."""
    pieces: list[str] = []
    for line in lines:
        if not line.startswith(_SIGN):
            continue
        try:
            if line.startswith(_PART):
                number, of, piece = json.loads(line)["Part"]
                pieces = [*(pieces if number else []), piece]
                if len(pieces) < of:
                    continue
                whole = "".join(pieces)
            else:
                whole = line
            saying = _read(json.loads(whole))
        except (ValueError, KeyError, TypeError):
            continue
        if saying is not None:
            yield saying


def _read(raw: dict[str, Any]) -> Saying | None:
    name, values = next((name, value) for name, value in raw.items() if name != "gitml")
    if name == "LogText":
        return LogText(values[0], values[1], base64.b64decode(values[2]))
    if name == "RecordFile":
        return RecordFile(values[0], base64.b64decode(values[1]))
    if name == "Kept":
        return Kept(values[0], values[1], tuple([(parse_digest(digest), int(size)) for digest, size in values[2]]))
    if name == "Ended":
        return Ended(*values)
    kind = getattr(events, name, None)
    if kind is None:
        return None
    event: Event = kind(*[_typed(value) for value in values])
    return event


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
        return decode_run(json.dumps(value["Run"]).encode())
    if isinstance(value, dict) and "StepRun" in value:
        return step_from_json(value["StepRun"])
    return tuple(value) if isinstance(value, list) else value
