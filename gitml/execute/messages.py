"""What executor and worker say to each other: JSON, each message after its length in four bytes."""

from __future__ import annotations

import json
import os
from typing import Any

from gitml.core.kinds.cache_kinds import cache_from_json
from gitml.core.model.action import decode_action
from gitml.core.model.digest import Digest, parse_digest
from gitml.core.model.environment import Environment, EnvironmentSource, spec_from_json
from gitml.core.model.guarantees import network_of
from gitml.core.model.protocols import Task, TaskFinished
from gitml.core.model.resources import ONE_CPU
from gitml.core.model.result import Cost, OutputRef, size_from_json
from gitml.core.records.record import MACHINE, LogRef

LONGEST = 2**28
NUMBER_WIDTH = 8  # bytes of a request for a worker, which is its number: on a stream its end must be known


def encode(message: Any) -> bytes:
    """A message as JSON."""
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def frame(message: Any) -> bytes:
    """`message` as it goes over the wire."""
    data = encode(message)
    return len(data).to_bytes(4, "big") + data


class Frames:
    """Puts messages together from what arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, fd: int) -> list[Any] | None:
        """The messages that what has arrived on a socket completes; None when its other end is closed or killed."""
        try:
            data = os.read(fd, 2**18)
        except ConnectionResetError:
            return None
        return self.feed(data) if data else None

    def feed(self, data: bytes) -> list[Any]:
        """The messages that `data` completes; ValueError for what no peer of ours sends."""
        buffer = self._buffer
        buffer += data
        found = []
        start = 0
        while len(buffer) - start >= 4:
            size = int.from_bytes(buffer[start : start + 4], "big")
            if size > LONGEST:
                raise ValueError(f"message of {size} bytes")
            if len(buffer) - start - 4 < size:
                break
            found.append(json.loads(buffer[start + 4 : start + 4 + size]))
            start += 4 + size
        del buffer[:start]
        return found


def encode_task(task: Task, *, with_environment: bool) -> dict[str, Any]:
    """A Task for a worker, that keeps the environments it was sent."""
    environment: list[Any] = [task.environment.digest]
    if with_environment:
        spec, files, project = task.environment.source
        sent = [[path, content.decode("latin-1")] for path, content in files]
        environment += [task.environment.description, spec.as_json(), sent, project]
    return {
        "op": "run",
        "attempt": task.attempt,
        "action": task.action.preimage().decode("ascii"),
        "timeout": task.timeout,
        "strict": task.strict,
        "network": task.network,
        "log": task.log,
        "devices": task.devices,
        "lent": dict(task.lent),
        "secrets": dict(task.secrets),
        "masked": list(task.masked),
        "caches": list(task.caches),
        "caches_of": task.caches_of,
        "environment": environment,
    }


def decode_task(message: dict[str, Any], environments: dict[Digest, Environment]) -> Task:
    """The Task that `encode_task` wrote, but for its resources; `environments` is added to. ValueError for what is none."""
    try:
        digest, *rest = message["environment"]
        if rest:
            description, spec, sent, project = rest
            files = tuple([(path, text.encode("latin-1")) for path, text in sent])
            source = EnvironmentSource(spec_from_json(spec), files, project)
            environments[digest] = Environment(digest, description, source)
        return Task(
            message["attempt"],
            decode_action(message["action"].encode("ascii")),
            environments[digest],
            ONE_CPU,
            message["timeout"],
            message["strict"],
            message["log"],
            message["lent"],
            network=network_of(message["network"]),
            secrets=message["secrets"],
            masked=tuple(message["masked"]),
            devices=message["devices"],
            caches=tuple(map(cache_from_json, message["caches"])),
            caches_of=_text(message["caches_of"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a task: {error!r}"[:200]) from error


OUTCOMES = ("done", "failed", "timeout", "cancelled", "lost", MACHINE)


def finished_from_json(raw: list[Any]) -> TaskFinished:
    """A TaskFinished that went over the wire as the list it is, maybe from another machine; ValueError for what is none."""
    try:
        attempt, outcome, code, error, hint, outputs, metrics, cost, log, bad, machine, *rest = raw
        lacking, notes, partial, warnings, missing, retry, unprepared, left, labels = rest
        wall, cpu, memory = cost
        return TaskFinished(
            _text(attempt),
            OUTCOMES[OUTCOMES.index(outcome)],
            None if code is None else _whole(code),
            None if error is None else _text(error),
            None if hint is None else _text(hint),
            tuple([output_from_json(item) for item in outputs]),
            {_text(name): _number(value) for name, value in metrics.items()},
            Cost(_number(wall), _number(cpu), size_from_json(memory)),
            None if log is None else _log(*log),
            tuple([parse_digest(digest) for digest in bad]),
            _text(machine),
            tuple([parse_digest(digest) for digest in lacking]),
            _texts(notes),
            tuple([output_from_json(item) for item in partial]),
            _texts(warnings),
            _texts(missing),
            bool(retry),
            bool(unprepared),
            _texts(left),
            {_text(name): _text(label) for name, label in labels.items()},
        )
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not the end of an attempt: {error!r}"[:200]) from error


def output_from_json(raw: list[Any]) -> OutputRef:
    """An OutputRef that went over the wire as the list it is; ValueError or TypeError for what is none."""
    name, kind, digest, size, executable = raw
    return OutputRef(_text(name), _text(kind), parse_digest(digest), size_from_json(size), bool(executable))


def _log(digest: Any, size: Any, written: Any) -> LogRef:
    return LogRef(parse_digest(digest), size_from_json(size), size_from_json(written))


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"{str(raw)[:60]!r} is not text")
    return raw


def _texts(raw: Any) -> tuple[str, ...]:
    return tuple([_text(item) for item in raw])


def _whole(raw: Any) -> int:
    if type(raw) is not int or abs(raw) > 1 << 31:
        raise TypeError(f"{str(raw)[:60]!r} is no exit code")
    return raw


def _number(raw: Any) -> float:
    if type(raw) is not int and type(raw) is not float:
        raise TypeError(f"{str(raw)[:60]!r} is no number")
    float(raw)  # an integer may be too large for one
    return raw
