"""Much data: an input of 10,000 files tracked in Git, an output of 2 GiB, and one of 20,000 small files.

The input costs nothing when nothing is to do, whatever its size: the same step over one file stands beside it. The output
is a file that lies ready and on the disk; the step moves it to its place, so that all the time is gitml's own; beside it
stand `sha256sum` of the same file, Python's own SHA-256 of it (which uses the processor's instructions for it where some
`sha256sum` do not), and the same step with a file of 1 KiB.

The small files are made by a step that does nothing else, as fast as Python can; beside it stands its command by itself. They
are made once with contents that the store has not, then with the same ones.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
from functools import partial

from benchmarks.measure import (
    TRASH,
    WORK,
    BenchmarkError,
    Sample,
    commit_all,
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
from benchmarks.tools.gitml import latest_record

COUNT = """\
name: NAME
inputs: {data: PATH}
steps:
  count:
    run: sh count.sh ${{ inputs.data }} ${{ outputs.number }}
    outputs: {number: file}
"""

MOVE = """\
name: big
params: {number: 0}
steps:
  make:
    run: sh move.sh ${{ outputs.big }} ${{ params.number }}
    env: {READY: }
    outputs: {big: file}
  use:
    run: sh head.sh ${{ steps.make.outputs.big }} ${{ outputs.head }}
    outputs: {head: file}
"""


SMALL = """\
name: small
params: {seed: none, files: 1}
steps:
  make:
    run: python3 small.py ${{ outputs.files }} ${{ params.seed }} ${{ params.files }}
    outputs: {files: directory}
"""

MAKE_SMALL = b"""\
import os, sys
folder, seed, files = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.makedirs(folder, exist_ok=True)
for number in range(files):
    with open(f"{folder}/{number:06d}.txt", "w") as file:
        file.write(f"{seed} {number}".ljust(99, ".") + "\\n")
"""

HASHED = "import hashlib, sys; hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256')"


def write(path: str, content: bytes) -> None:
    """Writes a file and the folders above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def tracked_files(files: int, size: int, rounds: int) -> dict[str, list[Sample]]:
    """No-ops of a step over `files` files of `size` bytes, and over one of them, in one repository."""
    root = fresh("data-many")
    chance = random.Random(files)
    for number in range(files):
        write(f"{root}/data/{number // 1000:02d}/{number:05d}.bin", chance.randbytes(size))
    write(f"{root}/count.sh", b'find "$1" -type f | wc -l > "$2"\n')
    write(f"{root}/pipelines/many.yaml", COUNT.replace("NAME", "many").replace("PATH", "data").encode())
    write(f"{root}/pipelines/one.yaml", COUNT.replace("NAME", "one").replace("PATH", "data/00/00000.bin").encode())
    commit_all(root, "Data")
    os.sync()
    gitml = [program("gitml", "gitml"), "run", "-q"]
    found = {}
    for name, wanted in (("one", 1), ("many", files)):
        found[f"{name}: first run"] = [measured([*gitml, name], root)]
        check_count(root, wanted)
    found |= in_turn(
        {
            f"{name}: no-op, {where}": partial(measured, [*gitml, name, *at], root)
            for where, at in (("work tree", ()), ("commit", ("--at", "HEAD")))
            for name in ("one", "many")
        },
        rounds,
    )
    found |= in_turn({"git status": partial(measured, ["git", "status", "--porcelain"], root)}, rounds)
    return found


def check_count(root: str, wanted: int) -> None:
    """BenchmarkError unless the last run's step found as many files as it was to."""
    text = f"{wanted}\n".encode()
    (step,) = latest_record(root)["steps"]
    if step["outputs"]["number"]["size"] != len(text) or step["outcome"] != "executed":
        raise BenchmarkError(f"{root}: the step did not count {wanted} files: {step}")


def large_output(size: int, rounds: int) -> tuple[dict[str, list[Sample]], dict[str, list[float]]]:
    """(Runs that take in `size` bytes and 1 KiB, `sha256sum` of the same) and seconds of the steps that use them."""
    root = fresh("data-big")
    write(f"{root}/move.sh", b'mv "$READY" "$1"\n')
    write(f"{root}/head.sh", b'head -c 1024 "$1" | cksum > "$2"\n')
    write(f"{root}/pipelines/big.yaml", MOVE.encode())
    commit_all(root, "Pipeline")
    samples: dict[str, list[Sample]] = {"sha256sum": [], "hashlib": [], "gitml, large": [], "gitml, small": []}
    used: dict[str, list[float]] = {"large": [], "small": []}
    chance = random.Random(size)
    for number in range(2 * rounds):
        name, length = ("large", size) if number % 2 else ("small", 1024)
        ready = os.path.join(WORK, "ready.bin")
        prepare(ready, length, chance)
        if name == "large":
            samples["sha256sum"].append(measured(["sha256sum", ready], root))
            samples["hashlib"].append(measured([program("gitml", "python"), "-c", HASHED, ready], root))
        run = [program("gitml", "gitml"), "run", "big", "-q", "--at", "HEAD", "-S", f"number={number}"]
        samples[f"gitml, {name}"].append(measured(run, root, environment(READY=ready)))
        record = {step["name"]: step for step in latest_record(root)["steps"]}
        made = record["make"]["outputs"]["big"]["digest"].removeprefix("sha256:")
        kept = os.path.join(root, ".git", "gitml", "objects", made[:2], made[2:])
        if os.path.getsize(kept) != length or quiet(["sha256sum", kept], root).split()[0] != made:
            raise BenchmarkError(f"{kept}: not what was put in")
        used[name].append(record["use"]["seconds"])
        os.unlink(kept)
    return samples, used


def small_files(files: int, rounds: int) -> dict[str, list[Sample]]:
    """The command that makes `files` small files, and runs of the step with it: contents that are new, and known ones.

    The known ones come last: to remove what the store has slows whoever makes files in the minutes after it (see `fresh`).
    """
    root = fresh("data-small")
    write(f"{root}/small.py", MAKE_SMALL)
    write(f"{root}/pipelines/small.yaml", SMALL.encode())
    commit_all(root, "Pipeline")
    found: dict[str, list[Sample]] = {"the command": [], "gitml, new": [], "gitml, known": []}

    def run(seed: str, *options: str) -> Sample:
        settings = [word for pair in (f"seed={seed}", f"files={files}") for word in ("-S", pair)]
        sample = measured([program("gitml", "gitml"), "run", "small", "-q", "--at", "HEAD", *settings, *options], root)
        (step,) = latest_record(root)["steps"]
        if step["outcome"] != "executed" or step["outputs"]["files"]["size"] != 100 * files:
            raise BenchmarkError(f"{root}: the step did not make {files} files: {step}")
        return sample

    seeds = [f"round{number}" for number in range(rounds)]
    for seed in seeds:
        bare = [program("gitml", "python"), "small.py", fresh(f"data-small-{seed}"), seed, str(files)]
        found["the command"].append(measured(bare, root))
        found["gitml, new"].append(run(seed))
    for seed in seeds:
        found["gitml, known"].append(run(seed, "--force"))
    return found


def prepare(path: str, size: int, chance: random.Random) -> None:
    """A file of `size` bytes never seen before, on the disk and in memory."""
    block = chance.randbytes(min(size, 1 << 20))
    with open(path, "wb") as file:
        for number in range(size // len(block)):
            file.write(number.to_bytes(8, "big") + block[8:])
        file.flush()
        os.fsync(file.fileno())


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kib", type=int, default=20, help="size of each")
    parser.add_argument("--mib", type=int, default=2048, help="size of the large output")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--large-rounds", type=int, default=3)
    parser.add_argument("--small-files", type=int, default=20_000, help="files of 100 bytes")
    options = parser.parse_args()

    many = tracked_files(options.files, options.kib * 1024, options.rounds)
    rows = [[name, seconds(median_wall(taken)), megabytes(max(s.peak for s in taken))] for name, taken in many.items()]
    print(f"### An input of {options.files} files x {options.kib} KiB tracked in Git\n")
    print(table(["", "s", "peak MB"], rows))
    for where in ("work tree", "commit"):
        ratio = median_ratio(many[f"many: no-op, {where}"], many[f"one: no-op, {where}"])
        print(f"no-op, {where}: {ratio:.2f}x that of one file")

    large, used = large_output(options.mib << 20, options.large_rounds)
    rows = [[name, seconds(median_wall(taken)), megabytes(max(s.peak for s in taken))] for name, taken in large.items()]
    rows += [[f"next step, {name} input", seconds(statistics.median(taken)), ""] for name, taken in used.items()]
    print(f"\n### An output of {options.mib} MiB\n")
    print(table(["", "s", "peak MB"], rows))
    for floor in ("sha256sum", "hashlib"):
        rounds = zip(large["gitml, large"], large["gitml, small"], large[floor], strict=True)
        ratio = statistics.median((big.wall - small.wall) / hashing.wall for big, small, hashing in rounds)
        print(f"taking in: {ratio:.2f}x {floor}")
    small = small_files(options.small_files, options.rounds)
    rows = [
        [name, seconds(min(s.wall for s in took)), seconds(min(s.cpu for s in took))] for name, took in small.items()
    ]
    print(f"\n### An output of {options.small_files} files of 100 bytes\n")
    print(table(["", "least s", "least CPU s"], rows))
    for name in ("gitml, new", "gitml, known"):
        ratio = median_ratio(small[name], small["the command"])
        print(f"{name}: {ratio:.2f}x the command")

    results = {name: raw(taken) for name, taken in (many | large | small).items()}
    print(f"raw figures: {save('data', {**results, 'next step': used})}")
    shutil.rmtree(TRASH, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
