"""A long history: `gitml log`, gc, fsck and recording a run in a repository with 10 and with 100,000 recorded runs.

The long history is a real run's record many times over, each under an id and a time of its own, put into the record log's
ref with `git fast-import` in the format that docs/formats.md describes, as a fetch would bring it.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import (
    BenchmarkError,
    Sample,
    environment,
    fresh,
    in_turn,
    measured,
    median_ratio,
    median_wall,
    program,
    quiet,
)
from benchmarks.report import megabytes, raw, save, seconds, table
from benchmarks.tools.gitml import RECORDS, GitmlCommit, latest_record_path
from benchmarks.workload import Chains

FEW = 10
BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
APART = datetime.timedelta(minutes=5)


def repository(name: str) -> GitmlCommit:
    """A repository with a ten-step pipeline that ran `FEW` times, all but the first from cache."""
    tool = GitmlCommit(fresh(f"history-{name}"), Chains(10))
    tool.lay_out()
    for _ in range(FEW):
        quiet(tool.command(), tool.root, tool.environment())
    return tool


def stream(root: str, count: int) -> Iterator[bytes]:
    """`count` records on top of those there are, for fast-import."""
    path = latest_record_path(root)
    files: dict[str, bytes] = {}
    folder = path.removesuffix("/run.json")
    for name in quiet(["git", "ls-tree", "-r", "--name-only", f"{RECORDS}:{folder}"], root).splitlines():
        files[name] = quiet(["git", "cat-file", "blob", f"{RECORDS}:{folder}/{name}"], root).encode()
    text = files.pop("run.json").decode()
    run: dict[str, Any] = json.loads(text)
    source = quiet(["git", "rev-parse", "HEAD"], root).strip()
    for number in range(count):
        when = BEGIN + number * APART
        run_id = hashlib.sha256(b"%d" % number).hexdigest()[: len(run["run"])]
        record = text.replace(run["run"], run_id)
        record = record.replace(repr(run["started"]), repr(when.timestamp())).replace(
            repr(run["ended"]), repr(when.timestamp() + 0.1)
        )
        place = f"runs/{when:%Y/%m/%d}/{run_id[:2]}/{run_id}"
        message = f"run {run_id}\n".encode()
        yield b"commit %s\nmark :%d\n" % (RECORDS.encode(), number + 1)
        yield b"committer bench <bench@example.com> %d +0000\n" % when.timestamp()
        yield b"data %d\n%s" % (len(message), message)
        yield b"from %s\nmerge %s\n" % (b":%d" % number if number else RECORDS.encode() + b"^0", source.encode())
        for name, content in {"run.json": record.encode(), **files}.items():
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (f"{place}/{name}".encode(), len(content), content)
        yield b"\n"


def bring(root: str, count: int) -> None:
    """Puts `count` records into the log, a piece at a time: this program's own memory would count as its children's."""
    with subprocess.Popen(["git", "fast-import", "--quiet"], cwd=root, env=environment(), stdin=subprocess.PIPE) as git:
        assert git.stdin is not None
        git.stdin.writelines(stream(root, count))
    if git.returncode != 0:
        raise BenchmarkError(f"{root}: git fast-import ended with {git.returncode}")


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    few, many = repository("few"), repository("many")
    bring(many.root, options.runs)
    gitml = program("gitml", "gitml")

    def log(tool: GitmlCommit) -> Sample:
        return measured([gitml, "log", "-n", "20"], tool.root, tool.environment())

    def run(tool: GitmlCommit) -> Sample:
        return measured(tool.command(), tool.root, tool.environment())

    def keep(tool: GitmlCommit, *args: str) -> Sample:
        return measured([gitml, *args], tool.root, tool.environment())

    samples = {f"first log after a fetch, {options.runs} runs": [log(many)]}
    for name, tool in ((FEW, few), (options.runs, many)):
        samples[f"gc -n, {name} runs"] = [keep(tool, "gc", "-n")]
        samples[f"gc -n --keep-last 3, {name} runs"] = [keep(tool, "gc", "-n", "--keep-last", "3")]
        samples[f"fsck, {name} runs"] = [keep(tool, "fsck")]
    samples |= in_turn(
        {
            f"log, {FEW} runs": lambda: log(few),
            f"log, {options.runs} runs": lambda: log(many),
            f"cached run and its record, {FEW} runs": lambda: run(few),
            f"cached run and its record, {options.runs} runs": lambda: run(many),
        },
        options.rounds,
    )
    rows = [
        [name, seconds(median_wall(taken)), seconds(min(s.cpu for s in taken)), megabytes(max(s.peak for s in taken))]
        for name, taken in samples.items()
    ]
    print(f"### A history of {options.runs} runs, {options.rounds} rounds\n")
    print(table(["", "s", "CPU s", "peak MB"], rows))
    ratio = median_ratio(
        samples[f"cached run and its record, {options.runs} runs"], samples[f"cached run and its record, {FEW} runs"]
    )
    print(f"recording beside {options.runs} runs: {ratio:.2f}x that beside {FEW}")
    print(f"raw figures: {save('history', {name: raw(taken) for name, taken in samples.items()})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
