"""Push and pull: 10,000 files of 20 KiB and one of 2 GiB, to and from a folder, beside dvc's and `cp`.

Both tools keep what is pushed in a folder of the same disk (``file://``; dvc's local remote). gitml's push and pull end when
all is synced to the disk; dvc and `cp` leave that to the kernel, so `cp` followed by `sync` of what it wrote stands beside it
as the floor of a copy that is safe. Pull goes into a fresh clone. What is pulled is compared with what was pushed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.measure import (
    TRASH,
    BenchmarkError,
    Sample,
    commit_all,
    discard,
    environment,
    fresh,
    measured,
    median_ratio,
    median_wall,
    program,
    quiet,
)
from benchmarks.report import megabytes, raw, save, seconds, table

MAKE = """\
name: data
steps:
  make:
    run: sh move.sh ${{ outputs.data }}
    env: {READY: }
    outputs: {data: KIND}
"""

Make = Callable[[str], None]


def many_files(path: str, count: int, size: int) -> None:
    """A directory of `count` files of `size` bytes that nobody has seen."""
    chance = random.Random(count)
    for number in range(count):
        folder = f"{path}/{number // 1000:02d}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{number:05d}.bin", "wb") as file:
            file.write(chance.randbytes(size))


def one_file(path: str, size: int) -> None:
    """A file of `size` bytes that nobody has seen."""
    block = random.Random(size).randbytes(1 << 20)
    with open(path, "wb") as file:
        for number in range(size // len(block)):
            file.write(number.to_bytes(8, "big") + block[8:])


class Gitml:
    """A repository with the data as a step's output, a bare one beside it, and a folder as the remote store."""

    def __init__(self, name: str, make: Make, kind: str) -> None:
        self.top = fresh(f"remotes-gitml-{name}")
        self.root = f"{self.top}/one"
        os.makedirs(f"{self.root}/pipelines")
        make(f"{self.top}/ready")
        for path, text in (
            ("pipelines/data.yaml", MAKE.replace("KIND", kind)),
            ("move.sh", 'mv "$READY" "$1"\n'),
            ("gitml.yaml", f"remotes: [file://{self.top}/store]\nrecords: {{inline_run: 1KiB}}\n"),
        ):
            with open(f"{self.root}/{path}", "w") as file:
                file.write(text)
        commit_all(self.root, "Pipeline")
        quiet(["git", "init", "-q", "--bare", "-b", "main", f"{self.top}/hub.git"], self.top)
        quiet(["git", "remote", "add", "origin", f"{self.top}/hub.git"], self.root)
        quiet(["git", "push", "-q", "origin", "main"], self.root)
        quiet([program("gitml", "gitml"), "run", "-q"], self.root, environment(READY=f"{self.top}/ready"))
        os.sync()

    def push(self) -> Sample:
        """Pushes to a store and a hub that have nothing."""
        for name in ("store", "hub.git/refs/gitml", "one/.git/gitml/packs", "one/.git/gitml/index.db"):
            if os.path.lexists(f"{self.top}/{name}"):
                discard(f"{self.top}/{name}")
        quiet(
            [program("gitml", "gitml"), "log"], self.root
        )  # the index is made again, without what it knew of the store
        return measured([program("gitml", "gitml"), "push", "-q"], self.root)

    def idle(self) -> Sample:
        """Pushes again."""
        return measured([program("gitml", "gitml"), "push", "-q"], self.root)

    def git_fetch(self) -> Sample:
        """Git alone, with nothing to do."""
        return measured(["git", "fetch", "-q", "origin"], self.root)

    def pull(self) -> Sample:
        """Brings records and artifacts into a fresh clone."""
        clone = f"{self.top}/two"
        if os.path.lexists(clone):
            discard(clone)
        quiet(["git", "clone", "-q", f"{self.top}/hub.git", clone], self.top)
        return measured([program("gitml", "gitml"), "pull", "-q", "--artifacts"], clone)

    def idle_pull(self) -> Sample:
        """Pulls again."""
        return measured([program("gitml", "gitml"), "pull", "-q", "--artifacts"], f"{self.top}/two")

    def check(self) -> None:
        """BenchmarkError unless what was pulled is what was pushed."""
        said = quiet([program("gitml", "gitml"), "fsck", "--deep"], f"{self.top}/two")
        sizes = [_bytes_below(f"{self.top}/{clone}/.git/gitml/objects") for clone in ("one", "two")]
        if said or sizes[1] < 0.99 * sizes[0]:
            raise BenchmarkError(f"{self.top}: pulled {sizes[1]} of {sizes[0]} bytes; {said}")


class Dvc:
    """A repository with the data added to dvc, and a folder as its remote."""

    def __init__(self, name: str, make: Make) -> None:
        self.top = fresh(f"remotes-dvc-{name}")
        self.root = f"{self.top}/one"
        os.makedirs(self.root)
        make(f"{self.root}/data")
        quiet(["git", "init", "-q", "-b", "main"], self.root)
        self.do("init", "-q")
        self.do("remote", "add", "-d", "store", f"{self.top}/store")
        self.do("add", "-q", "data")
        commit_all(self.root, "Data")
        os.sync()

    def do(self, *words: str) -> None:
        """A command that is not measured."""
        quiet([program("dvc", "dvc"), *words], self.root, self.environment("one"))

    def environment(self, clone: str) -> dict[str, str]:
        """Each clone with site data of its own, as on a machine of its own."""
        return environment(DVC_SITE_CACHE_DIR=f"{self.top}/site-{clone}")

    def push(self) -> Sample:
        """Pushes to a remote that has nothing."""
        for name in ("store", "site-one"):
            if os.path.lexists(f"{self.top}/{name}"):
                discard(f"{self.top}/{name}")
        return measured([program("dvc", "dvc"), "push", "-q"], self.root, self.environment("one"))

    def idle(self) -> Sample:
        """Pushes again."""
        return measured([program("dvc", "dvc"), "push", "-q"], self.root, self.environment("one"))

    def pull(self) -> Sample:
        """Pulls into a fresh clone."""
        clone = f"{self.top}/two"
        for path in (clone, f"{self.top}/site-two"):
            if os.path.lexists(path):
                discard(path)
        quiet(["git", "clone", "-q", self.root, clone], self.top)
        return measured([program("dvc", "dvc"), "pull", "-q"], clone, self.environment("two"))

    def idle_pull(self) -> Sample:
        """Pulls again."""
        return measured([program("dvc", "dvc"), "pull", "-q"], f"{self.top}/two", self.environment("two"))

    def check(self) -> None:
        """BenchmarkError unless what was pulled is what was pushed."""
        quiet(["diff", "-r", f"{self.root}/data", f"{self.top}/two/data"], self.top)


class Copy:
    """`cp` of the same data within the same disk, and with `sync` behind it."""

    def __init__(self, name: str, make: Make) -> None:
        self.top = fresh(f"remotes-cp-{name}")
        make(f"{self.top}/data")
        os.sync()

    def copy(self, command: str) -> Sample:
        """A shell command with ``$1`` and ``$2`` for source and target."""
        target = f"{self.top}/copy"
        if os.path.lexists(target):
            discard(target)
        return measured(["sh", "-c", command, "sh", f"{self.top}/data", target], self.top)


def compare(name: str, make: Make, kind: str, rounds: int, with_dvc: bool) -> Mapping[str, list[Sample]]:
    """All of them, in turn."""
    gitml, copy = Gitml(name, make, kind), Copy(name, make)
    dvc = Dvc(name, make) if with_dvc else None
    turns: dict[str, Callable[[], Sample]] = {"gitml push": gitml.push}
    turns |= {"dvc push": dvc.push} if dvc else {}
    turns |= {
        "cp": partial(copy.copy, 'cp -r "$1" "$2"'),
        "cp, synced": partial(copy.copy, 'cp -r "$1" "$2" && sync -f "$2"'),
    }
    turns |= {"gitml pull": gitml.pull}
    turns |= {"dvc pull": dvc.pull} if dvc else {}
    turns |= {"gitml push, nothing to do": gitml.idle, "gitml pull, nothing to do": gitml.idle_pull}
    turns |= {"dvc push, nothing to do": dvc.idle, "dvc pull, nothing to do": dvc.idle_pull} if dvc else {}
    turns |= {"git fetch, nothing to do": gitml.git_fetch}
    samples: dict[str, list[Sample]] = {turn: [] for turn in turns}
    for _ in range(rounds):
        for turn, run in turns.items():
            samples[turn].append(run())
    gitml.check()
    if dvc:
        dvc.check()
    return samples


def _bytes_below(folder: str) -> int:
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)


def show(title: str, samples: Mapping[str, list[Sample]]) -> None:
    """A table, and the ratios that matter."""
    print(f"### {title}\n")
    rows = [
        [name, seconds(median_wall(taken)), megabytes(max(sample.peak for sample in taken))]
        for name, taken in samples.items()
    ]
    print(table(["", "s", "peak MB"], rows))
    pairs = [(verb, floor) for verb in ("push", "pull") for floor in (f"dvc {verb}", "cp", "cp, synced")]
    for verb, floor in pairs:
        if floor in samples:
            print(f"gitml {verb}: {median_ratio(samples[f'gitml {verb}'], samples[floor]):.2f}x {floor}")
    for verb in ("push", "pull"):
        idle = samples[f"gitml {verb}, nothing to do"]
        print(f"gitml {verb}, nothing to do: {median_ratio(idle, samples['git fetch, nothing to do']):.2f}x git fetch")
    print()


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kib", type=int, default=20, help="size of each")
    parser.add_argument("--mib", type=int, default=2048, help="size of the large file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large-rounds", type=int, default=3)
    parser.add_argument("--no-dvc", action="store_true")
    options = parser.parse_args()
    results: dict[str, Mapping[str, list[Sample]]] = {}
    if options.files:
        make = partial(many_files, count=options.files, size=options.kib << 10)
        results["many"] = compare("many", make, "directory", options.rounds, not options.no_dvc)
        show(f"{options.files} files x {options.kib} KiB", results["many"])
    if options.mib:
        big = partial(one_file, size=options.mib << 20)
        results["large"] = compare("large", big, "file", options.large_rounds, not options.no_dvc)
        show(f"One file of {options.mib} MiB", results["large"])
    told = {name: {turn: raw(taken) for turn, taken in samples.items()} for name, samples in results.items()}
    print(f"raw figures: {save('remotes', told)}")
    shutil.rmtree(TRASH, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
