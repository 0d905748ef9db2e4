"""Records between clones: with nothing to do, one new run among 100,000, the first fetch of them all, the push of 10,000.

Beside each stands what Git alone takes to move the same refs the same way. The repositories are those of `benchmarks.history`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks.history import bring, repository
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
from benchmarks.tools.gitml import RECORDS, GitmlCommit

TRACKING = "refs/gitml/remotes/origin/runs"
PATTERNS = (
    "+refs/gitml/run*:refs/gitml/remotes/origin/run*",
    "+refs/gitml/registr*:refs/gitml/remotes/origin/registr*",
)


def hub(name: str) -> str:
    """An empty bare repository."""
    path = fresh(f"sharing-{name}.git")
    quiet(["git", "init", "-q", "--bare", "-b", "main"], path)
    return path


def clone(of: str, name: str, prefix: str) -> str:
    """A clone without records, whose remote has the URL `prefix` and the path."""
    path = fresh(f"sharing-{name}")
    quiet(["git", "clone", "-q", of, path], path)
    quiet(["git", "remote", "set-url", "origin", prefix + of], path)
    return path


def runs_at(root: str, ref: str) -> int:
    """How many runs a log has."""
    return quiet(["git", "ls-tree", "-r", "--name-only", ref], root).count("/run.json\n")


class Team:
    """A repository with many runs, the bare one it pushed to, a clone for gitml and one for Git alone."""

    def __init__(self, runs: int, prefix: str) -> None:
        self.many: GitmlCommit = repository("sharing-many")
        bring(self.many.root, runs)
        self.hub = hub("hub")
        quiet(["git", "remote", "add", "origin", prefix + self.hub], self.many.root)
        quiet(["git", "push", "-q", "origin", "HEAD:refs/heads/main", RECORDS], self.many.root)
        self.mine, self.plain = (clone(self.hub, name, prefix) for name in ("gitml", "git"))

    def gitml(self, verb: str, root: str) -> Sample:
        """One command of gitml."""
        return measured([program("gitml", "gitml"), verb], root, environment())

    def git(self, *args: str) -> Sample:
        """Git alone, in its own clone."""
        return measured(["git", *args], self.plain, environment())

    def another(self) -> None:
        """One more run, and that of the time before sent and fetched everywhere."""
        quiet(self.many.command(), self.many.root, self.many.environment())


def one_new(team: Team, rounds: int) -> dict[str, list[Sample]]:
    """A run is recorded in one clone, pushed, and fetched by the others."""
    found: dict[str, list[Sample]] = {"push": [], "fetch": [], "git fetch": []}
    for number in range(rounds + 1):
        team.another()
        taken = {
            "push": team.gitml("push", team.many.root),
            "fetch": team.gitml("fetch", team.mine),
            "git fetch": team.git("fetch", "-q", "origin", *PATTERNS),
        }
        if number:
            for name, sample in taken.items():
                found[name].append(sample)
    if not runs_at(team.mine, RECORDS) == runs_at(team.plain, TRACKING) == runs_at(team.many.root, RECORDS):
        raise BenchmarkError("the clones have not the same runs")
    return found


def nothing(team: Team, rounds: int) -> dict[str, list[Sample]]:
    """All are level."""
    commands: dict[str, Callable[[], Sample]] = {
        "git fetch": lambda: team.git("fetch", "-q"),
        "gitml fetch": lambda: team.gitml("fetch", team.mine),
        "gitml pull": lambda: team.gitml("pull", team.mine),
        "gitml push": lambda: team.gitml("push", team.mine),
        "gitml --version": lambda: team.gitml("--version", team.mine),
    }
    return in_turn(commands, rounds)


def many_at_once(count: int, prefix: str, rounds: int) -> dict[str, list[Sample]]:
    """`count` runs pushed into an empty repository."""
    source = repository("sharing-push")
    bring(source.root, count)
    quiet([program("gitml", "gitml"), "log", "-n", "1"], source.root)
    quiet(["git", "push", "-q", hub("code"), "HEAD:refs/heads/main"], source.root)
    found: dict[str, list[Sample]] = {"gitml push": [], "git push": []}
    for number in range(rounds):
        for name in found:
            target = hub(f"push-{number}-{name[:5].strip()}")
            quiet(["git", "push", "-q", target, "HEAD:refs/heads/main"], source.root)
            if name == "git push":
                command = ["git", "push", "-q", prefix + target, RECORDS]
            else:
                command = [program("gitml", "gitml"), "push", prefix + target]
            found[name].append(measured(command, source.root, environment()))
            if runs_at(target, RECORDS) < count:
                raise BenchmarkError(f"{target} lacks runs")
    return found


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--pushed", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--prefix", default="", help="what stands before a path in a URL: ssh://localhost")
    options = parser.parse_args()
    team = Team(options.runs, options.prefix)
    groups = {
        f"the first fetch of {options.runs} runs": {
            "git fetch": [team.git("fetch", "-q", "origin", *PATTERNS)],
            "gitml fetch": [team.gitml("fetch", team.mine)],
        },
        f"one new run among {options.runs}": one_new(team, options.rounds),
        "nothing to do": nothing(team, options.rounds),
        f"push of {options.pushed} runs": many_at_once(options.pushed, options.prefix, 3),
    }
    print(f"### Records between clones, {options.rounds} rounds{', ' + options.prefix if options.prefix else ''}\n")
    rows = []
    for what, samples in groups.items():
        floor = next(taken for name, taken in samples.items() if name.startswith("git "))
        for name, taken in samples.items():
            peak = megabytes(max(sample.peak for sample in taken))
            rows.append([f"{what}: {name}", seconds(median_wall(taken)), f"{median_ratio(taken, floor):.1f}x", peak])
    print(table(["", "s", "git alone", "peak MB"], rows))
    results = {what: {name: raw(taken) for name, taken in samples.items()} for what, samples in groups.items()}
    print(f"raw figures: {save('sharing', results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
