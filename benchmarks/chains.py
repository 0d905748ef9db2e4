"""N small steps in chains of ten: cold, nothing to do, one parameter changed, and changed back.

All tools go through a phase in turn, round after round, each round in new repositories; what is shown are medians, and
ratios to doit in the same round. After each run the executed steps are counted and every output is compared.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict

from benchmarks.measure import Sample, fresh, measured, median_ratio, median_wall
from benchmarks.report import megabytes, raw, save, seconds, table
from benchmarks.tools import TOOLS
from benchmarks.tools.base import Tool
from benchmarks.workload import LENGTH, Chains, Link

PHASES = ("cold", "no-op", "changed", "back")
DEFAULT = "bare ninja gitml gitml-commit doit doit-serial luigi snakemake pytask dvc".split()
REFERENCE = "doit"
SLOW_FROM = 1000


class Phase:
    """The samples of one tool in one phase, how many steps each ran, and how many outputs were wrong after it."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.executed: list[int] = []
        self.wrong: list[int] = []

    def add(self, tool: Tool) -> None:
        """Runs the tool once."""
        tool.executed()
        self.samples.append(measured(tool.command(), tool.root, tool.environment()))
        self.executed.append(tool.executed())
        self.wrong.append(tool.wrong())


Results = dict[str, dict[str, Phase]]


def run_round(names: list[str], count: int, number: int, results: Results) -> None:
    """One round: every tool, in an order that turns with the round's number, through each phase."""
    turned = names[number % len(names) :] + names[: number % len(names)]
    tools = {name: TOOLS[name](fresh(f"chains-{name}-{count}"), Chains(count)) for name in turned}
    for tool in tools.values():
        tool.lay_out()
    os.sync()
    first = Link(0, 0).name
    for phase in PHASES:
        for name, tool in tools.items():
            if phase == "no-op":
                measured(tool.command(), tool.root, tool.environment())  # some tools tidy up in their second run
            if phase in ("changed", "back"):
                tool.chains.params[first] = 900_000 + number if phase == "changed" else 1000
                tool.write_params()
            results[name][phase].add(tool)
            print(
                f"N={count} round {number + 1} {phase}: {name} {results[name][phase].samples[-1].wall:.3f} s",
                file=sys.stderr,
            )


def faults(name: str, count: int, phases: dict[str, Phase]) -> list[str]:
    """What a tool did that it must not: wrong outputs; and gitml, another number of steps than the phase asks for."""
    found = [f"{name} N={count} {phase}: wrong outputs {p.wrong}" for phase, p in phases.items() if any(p.wrong)]
    if name.startswith("gitml"):
        wanted = {"cold": count, "no-op": 0, "changed": LENGTH, "back": 0}
        found += [
            f"{name} N={count} {phase}: executed {p.executed}, not {wanted[phase]}"
            for phase, p in phases.items()
            if set(p.executed) - {wanted[phase]}
        ]
    return found


def cell(phase: Phase, reference: Phase | None) -> str:
    """Median seconds, the ratio to the reference, and the steps executed."""
    shown = seconds(median_wall(phase.samples))
    if reference is not None and reference is not phase:
        shown += f" ({median_ratio(phase.samples, reference.samples):.2f}x)"
    return shown


def show(count: int, rounds: int, results: Results) -> str:
    """The table of one N."""
    rows = []
    for name, phases in results.items():
        reference = results.get(REFERENCE, {})
        cells = [cell(phases[phase], reference.get(phase)) for phase in PHASES]
        ran = " / ".join(str(max(phases[phase].executed)) for phase in PHASES)
        peak = max(sample.peak for phase in phases.values() for sample in phase.samples)
        cpu = sorted(sample.cpu for sample in phases["no-op"].samples)
        rows.append([TOOLS[name].name, *cells, ran, seconds(cpu[len(cpu) // 2]), megabytes(peak)])
    head = ["", "cold s", "no-op s", "one parameter changed s", "changed back s", "steps run", "no-op CPU s", "peak MB"]
    return f"### {count} steps, {rounds} rounds (ratios to {REFERENCE})\n\n{table(head, rows)}"


def main() -> int:
    """Runs the benchmark; 1 when a tool's result was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, nargs="+", default=[10, 100, 1000], help="numbers of steps")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=1, help="rounds of slow tools from 1000 steps on")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=DEFAULT)
    options = parser.parse_args()
    bad: list[str] = []
    versions = {name: TOOLS[name]("", Chains(0)).version() for name in options.tools}
    saved: dict[str, object] = {"versions": versions}
    for count in options.n:
        results: Results = {name: defaultdict(Phase) for name in options.tools}
        for number in range(options.rounds):
            slow = count >= SLOW_FROM and number >= options.slow_rounds
            run_round([n for n in options.tools if not (slow and TOOLS[n].slow)], count, number, results)
        print(show(count, options.rounds, results), flush=True)
        bad += [fault for name, phases in results.items() for fault in faults(name, count, phases)]
        saved[f"steps {count}"] = {
            name: {p: {"samples": raw(x.samples), "executed": x.executed, "wrong": x.wrong} for p, x in phases.items()}
            for name, phases in results.items()
        }
    shown = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    print(f"{shown}; raw figures: {save('chains', saved)}")
    for fault in bad:
        print(f"WRONG: {fault}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
