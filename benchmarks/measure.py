"""Runs a command as a user would and says what it took."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

BENCH = os.path.abspath(".bench")
VENVS = os.path.join(BENCH, "venvs")
WORK = os.path.join(BENCH, "work")
TRASH = os.path.join(BENCH, "trash")


class BenchmarkError(Exception):
    """A command failed or gave a wrong result: what it measured is worth nothing."""


class Sample(NamedTuple):
    """Seconds of wall and CPU time (user and system, of all processes waited for), peak bytes of the largest process.

    The kernel counts the moment between fork and exec to the child, so `peak` is at least this program's own 15 MB.
    """

    wall: float
    cpu: float
    peak: int


def program(venv: str, name: str) -> str:
    """The path of a program in a tool's virtual environment; the variable ``BENCH_<VENV>`` names another environment."""
    return os.path.join(os.environ.get(f"BENCH_{venv.upper()}") or os.path.join(VENVS, venv), "bin", name)


def environment(**extra: str) -> dict[str, str]:
    """What every measured command gets: nobody's settings, no telemetry, no colours, byte code as installed.

    The interpreter's own folder leads PATH: a version manager's stand-in for `python` takes 0.1 s each time it is asked.
    """
    home = os.path.join(BENCH, "home")
    os.makedirs(home, exist_ok=True)
    identity = {f"GIT_{who}_{what}": f"bench{at}" for who in ("AUTHOR", "COMMITTER") for what, at in IDENTITY}
    return {
        "PATH": os.path.join(sys.base_prefix, "bin") + os.pathsep + os.environ["PATH"],
        "HOME": home,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "COLUMNS": "120",
        "USER": "bench",
        "NO_COLOR": "1",
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **identity,
        **extra,
    }


IDENTITY = (("NAME", ""), ("EMAIL", "@example.com"))


def measured(command: Sequence[str], cwd: str, env: Mapping[str, str] | None = None) -> Sample:
    """Runs `command` to its end; BenchmarkError with the end of what it printed when it fails."""
    with tempfile.TemporaryFile() as out:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=env or environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            out.seek(max(0, out.tell() - 4000))
            said = out.read().decode(errors="replace")
            raise BenchmarkError(f"{' '.join(command)} in {cwd} ended with {process.returncode}:\n{said}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def quiet(command: Sequence[str], cwd: str, env: Mapping[str, str] | None = None) -> str:
    """What `command`, not measured, prints; BenchmarkError when it fails."""
    done = subprocess.run(command, cwd=cwd, env=env or environment(), stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)} in {cwd} failed:\n{done.stderr.decode(errors='replace')[-4000:]}")
    return done.stdout.decode()


def commit_all(root: str, message: str) -> None:
    """Commits everything in the work tree of `root`, making the repository when there is none."""
    if not os.path.exists(os.path.join(root, ".git")):
        quiet(["git", "init", "-q", "-b", "main"], root)
        quiet(["git", "config", "gc.auto", "0"], root)
    quiet(["git", "add", "-A"], root)
    quiet(["git", "commit", "-q", "--allow-empty", "-m", message], root)


def fresh(name: str) -> str:
    """A new empty folder of that name; what was there is moved away.

    Moved, because ext4 passes over the inodes freed in the last minutes one by one: to create files just after as many
    were deleted takes several times as long, and the next tool would pay for it.
    """
    path = os.path.join(WORK, name)
    if os.path.lexists(path):
        discard(path)
    os.makedirs(path)
    return path


def discard(path: str) -> None:
    """Moves a file or folder out of the way; `make clean` deletes it."""
    os.makedirs(TRASH, exist_ok=True)
    os.rename(path, os.path.join(TRASH, f"{os.getpid()}-{time.monotonic_ns()}"))


def in_turn(commands: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """Each command `rounds` times, all in turn, after one round that warms caches and is not counted."""
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, run in commands.items():
            sample = run()
            if number:
                samples[name].append(sample)
    return samples


def median_wall(samples: Iterable[Sample]) -> float:
    """The median of wall seconds."""
    return statistics.median(sample.wall for sample in samples)


def median_ratio(samples: Sequence[Sample], reference: Sequence[Sample]) -> float:
    """The median, over the rounds both took part in, of wall time to the reference's wall time in the same round.

    The machine's speed drifts with what else it does; neighbours in time share that speed.
    """
    return statistics.median(mine.wall / other.wall for mine, other in zip(samples, reference, strict=False))
