"""Hooks: `git commit` with and without them.

Both repositories hold the same files and get the same commits in turn; what hooks cost is the difference within a round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.measure import Sample, environment, fresh, in_turn, measured, program, quiet
from benchmarks.report import raw, save, seconds, table
from benchmarks.tools.gitml import GitmlCommit
from benchmarks.workload import Chains

FILES = 2000


class Committer:
    """A repository with a ten-step pipeline and some thousand other files, and commits of one kind in it."""

    def __init__(self, name: str, *, hooks: bool) -> None:
        tool = GitmlCommit(fresh(f"hooks-{name}"), Chains(10))
        tool.lay_out()
        self.root = tool.root
        self.count = 0
        os.makedirs(os.path.join(self.root, "docs"))
        for number in range(FILES):
            self.write(f"docs/{number}.txt", f"{number}\n")
        quiet(["git", "add", "-A"], self.root)
        quiet(["git", "commit", "-q", "-m", "files"], self.root)
        quiet(tool.command(), self.root, tool.environment())
        if hooks:
            quiet([program("gitml", "gitml"), "hooks", "install"], self.root)

    def write(self, path: str, text: str) -> None:
        """Writes a file of the work tree."""
        with open(os.path.join(self.root, path), "w") as file:
            file.write(text)

    def commit(self, path: str, size: int) -> Sample:
        """The time of `git commit` of a change to `path`; for a pipeline a comment is added."""
        self.count += 1
        if path.startswith("pipelines/"):
            with open(os.path.join(self.root, path), "a") as file:
                file.write(f"# {self.count}\n")
        else:
            self.write(path, f"{self.count}\n".ljust(size, "x"))
        quiet(["git", "add", "--", path], self.root)
        return measured(["git", "commit", "-q", "-m", f"commit {self.count}"], self.root, environment())

    def pipeline(self) -> str:
        """The path of a pipeline."""
        return "pipelines/" + sorted(os.listdir(os.path.join(self.root, "pipelines")))[0]


def extra(samples: Sequence[Sample], without: Sequence[Sample]) -> float:
    """Milliseconds that hooks add: the median of the differences within a round."""
    return statistics.median(mine.wall - other.wall for mine, other in zip(samples, without, strict=True)) * 1000


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    plain, hooked = Committer("without", hooks=False), Committer("with", hooks=True)
    kinds = {
        "a file that is not gitml's": ("docs/7.txt", 100),
        "a file of 200 KiB": ("docs/8.txt", 200 << 10),
        "a pipeline": (plain.pipeline(), 0),
    }
    commands: dict[str, Callable[[], Sample]] = {}
    for kind, (path, size) in kinds.items():
        commands[f"{kind}, without"] = partial(plain.commit, path, size)
        commands[f"{kind}, with"] = partial(hooked.commit, path, size)
    samples = in_turn(commands, options.rounds)
    rows = []
    for kind in kinds:
        without, with_hooks = samples[f"{kind}, without"], samples[f"{kind}, with"]
        medians = [statistics.median(sample.wall for sample in taken) for taken in (without, with_hooks)]
        rows.append([kind, seconds(medians[0]), seconds(medians[1]), f"{extra(with_hooks, without):.1f}"])
    print(f"### `git commit` without and with hooks, {FILES:,} files, {options.rounds} rounds\n")
    print(table(["commit of", "without s", "with s", "hooks add ms"], rows))
    print(f"raw figures: {save('hooks', {name: raw(taken) for name, taken in samples.items()})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
