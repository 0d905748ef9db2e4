"""Many executions of one parser on hostile bytes: each ends by returning or with an error that the parser documents, soon.

Not more than a second of CPU each; where the process may grow no further than `limit_memory` says, what takes more memory is a
failure too.
"""

from __future__ import annotations

import os
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from gitml.core.language.diagnostics import SpecError
from gitml.errors import GitmlError
from tests.kit.attacks.mutators import Mutator

LONGEST = 1.0  # seconds of CPU
GROWTH = 200 << 20  # bytes
SEEDS = Path(__file__).parents[2] / "attack/seeds"


class Surface(NamedTuple):
    """A parser of bytes that others wrote. `allowed` are the errors that it documents."""

    name: str
    execute: Callable[[bytes], object]
    mutator: Mutator
    allowed: tuple[type[BaseException], ...] = (GitmlError, SpecError)


class Failure(NamedTuple):
    """An input that a parser did not bear, and how that showed."""

    data: bytes
    how: str


class Outcome(NamedTuple):
    """What came of many executions; `slowest` in seconds of CPU, `growth` in bytes of resident memory."""

    executions: int
    taken: int
    refused: int
    slowest: float
    seconds: float
    growth: int
    failures: tuple[Failure, ...]


class TooLongError(BaseException):
    """An execution took too long. No parser catches it by mistake."""


@contextmanager
def alarmed() -> Iterator[None]:
    """Has what takes longer than LONGEST raise TooLongError, once `arm` was called."""

    def late(*_: Any) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, late)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def one(surface: Surface, data: bytes) -> str | None:
    """Executes it once, within `alarmed`; how it failed, None when it did not. ``refused`` tells of an allowed error."""
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        surface.execute(data)
    except surface.allowed:
        return "refused"
    except TooLongError:
        return f"took more than {LONGEST:g} s"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({os.path.basename(place.filename)}:{place.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def fuzz(surface: Surface, count: int, seed: int, most: int = 20) -> Outcome:
    """So many executions, after those of the good seeds and of what failed once; it ends early with `most` ways to fail."""
    chance = Random(f"{surface.name} {seed}")
    failures: dict[str, Failure] = {}
    executed = refused = failed = 0
    slowest = 0.0
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    early = [*surface.mutator.seeds, *[path.read_bytes() for path in known(surface.name)]]
    with alarmed():
        while executed < count and len(failures) < most:
            data = early.pop() if early else surface.mutator.made(chance)
            start = time.process_time()
            how = one(surface, data)
            slowest = max(slowest, time.process_time() - start)
            executed += 1
            refused += how == "refused"
            if how not in (None, "refused"):
                assert how is not None
                failed += 1
                key = how.rpartition(" (")[2] + how.partition(":")[0]
                if key not in failures or len(data) < len(failures[key].data):
                    failures[key] = Failure(data, how)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    taken = executed - refused - failed
    return Outcome(executed, taken, refused, slowest, time.monotonic() - begun, growth, tuple(failures.values()))


def known(name: str) -> Sequence[Path]:
    """Inputs on which a parser failed once."""
    folder = SEEDS / name
    return sorted(folder.iterdir()) if folder.is_dir() else ()


def limit_memory() -> None:
    """Has this process grow no more than GROWTH from now on: what takes more gets a MemoryError."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + GROWTH
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
