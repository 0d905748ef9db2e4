"""Parameters in a config file of 2,000 keys beside parameters in the pipeline: plan, a run from cache, a plan after a change."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

from benchmarks.measure import (
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

STEPS, GROUPS, KEYS = 100, 100, 20
OWN, FILE = "in the pipeline", f"in a file of {GROUPS * KEYS:,} keys"


def made(name: str, *, in_file: bool) -> str:
    """A repository with a pipeline whose steps have been run; each uses one parameter, and of the file finds that key."""
    root = fresh(f"config-{name}")
    reads = ", params: [lr]" if in_file else ""
    steps = [f"  s{at}: {{run: 'echo ${{{{ params.lr }}}} {at}'{reads}}}\n" for at in range(STEPS)]
    os.makedirs(os.path.join(root, "pipelines"))
    head = "params: {from: params.yaml}\n" if in_file else "params: {lr: 0.1}\n"
    with open(os.path.join(root, "pipelines/p.yaml"), "w") as file:
        file.write(head + "steps:\n" + "".join(steps))
    if in_file:
        groups = [
            f"group{group}:\n" + "".join(f"  key{key}: {group * key * 0.5}  # a comment\n" for key in range(KEYS))
            for group in range(GROUPS)
        ]
        with open(os.path.join(root, "params.yaml"), "w") as file:
            file.write("lr: 0.1\n" + "".join(groups))
    commit_all(root, "begin")
    quiet([program("gitml", "gitml"), "run", "-q"], root, environment())
    return root


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    gitml, env = program("gitml", "gitml"), environment()
    roots = {OWN: made("own", in_file=False), FILE: made("file", in_file=True)}
    phases = {"plan": ["plan"], "run from cache": ["run", "-q"], "plan with another value": ["plan", "-S", "lr=0.2"]}
    rows, results = [], {}
    for phase, words in phases.items():
        samples = in_turn(
            {name: partial(measured, [gitml, *words], root, env) for name, root in roots.items()}, options.rounds
        )
        for name, taken in samples.items():
            ratio = f"{median_ratio(taken, samples[OWN]):.2f}x"
            rows.append([f"{phase}, {name}", seconds(median_wall(taken)), ratio, megabytes(max(s.peak for s in taken))])
            results[f"{phase}, {name}"] = raw(taken)
    print(f"### Config files, {STEPS} steps, {options.rounds} rounds\n")
    print(table(["", "s", "beside the pipeline's own", "peak MB"], rows))
    print(f"raw figures: {save('config-files', results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
