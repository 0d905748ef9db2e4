"""``python -m tests.attack.fuzz [--count N] [--seed S] [SURFACE …]``: fuzzes parsers of untrusted bytes, each in a process of its own.

The process of a surface may grow by 200 MiB. What a parser did not bear is kept in ``tests/attack/seeds/SURFACE``, where every
later run begins; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
from typing import Any

from tests.kit.attacks.fuzzer import SEEDS, Failure, Outcome, fuzz, limit_memory
from tests.kit.attacks.parsers import surfaces

SLOWEST = 100  # executions a second that a surface has at least, on a machine that others use too


def apart(name: str, count: int, seed: int) -> Outcome:
    """`fuzz` in a process of its own, whose memory is limited. A process that dies, or hangs, is a failure."""
    words = [sys.executable, "-m", "tests.attack.fuzz", "--apart", "--count", str(count), "--seed", str(seed), name]
    try:
        done = subprocess.run(words, capture_output=True, timeout=120 + count / SLOWEST, check=False)
        told = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return Outcome(0, 0, 0, 0.0, 0.0, 0, (Failure(b"", "it hung"),))
    except ValueError:
        said = done.stderr.decode("utf-8", "replace")[-500:]
        return Outcome(0, 0, 0, 0.0, 0.0, 0, (Failure(b"", f"it died ({done.returncode}): {said}"),))
    failures = tuple([Failure(base64.b64decode(data), how) for data, how in told.pop("failures")])
    return Outcome(**told, failures=failures)


def keep(name: str, failure: Failure) -> str:
    """Keeps what a parser did not bear for later runs; where."""
    folder = SEEDS / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(failure.data).hexdigest()[:16]
    path.write_bytes(failure.data)
    return str(path)


def line(name: str, outcome: Outcome) -> str:
    """What came of a surface, in a line."""
    rate = outcome.executions / max(outcome.seconds, 1e-9)
    counts = f"{outcome.executions:>9,} executions  {outcome.taken:>9,} taken  {outcome.refused:>9,} refused"
    cost = f"{rate:>7,.0f}/s  {outcome.slowest * 1000:>5.0f} ms at most  {outcome.growth >> 20:>4} MiB more"
    return f"{name:<15} {counts}  {len(outcome.failures)} failures  {cost}"


def _as_json(outcome: Outcome) -> dict[str, Any]:
    failures = [(base64.b64encode(one.data).decode(), one.how) for one in outcome.failures]
    return {**outcome._asdict(), "failures": failures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("surface", nargs="*", choices=[[], *surfaces()], help="all where none is named")
    parser.add_argument("--count", type=int, default=200_000, help="executions a surface")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other inputs")
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.apart:
        surface = surfaces()[given.surface[0]]
        fuzz(surface, 50, given.seed)  # what is loaded and remembered once is no growth
        limit_memory()
        print(json.dumps(_as_json(fuzz(surface, given.count, given.seed))))
        return 0
    bad = 0
    for name in given.surface or surfaces():
        outcome = apart(name, given.count, given.seed)
        print(line(name, outcome), flush=True)
        for failure in outcome.failures:
            bad += 1
            print(f"    {failure.how}\n    {keep(name, failure)}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
