"""Starting: `gitml --version` and `--help` beside an empty Python start with `import click`, and the peers' `--version`."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from benchmarks.measure import BENCH, environment, in_turn, measured, median_ratio, median_wall, program
from benchmarks.report import megabytes, raw, save, seconds, table

FLOOR = "python -c 'import click'"


def commands() -> dict[str, list[str]]:
    """What is started, by the name it is shown under."""
    python = program("gitml", "python")
    shown = {
        "python -c pass": [python, "-c", "pass"],
        FLOOR: [python, "-c", "import click"],
        "gitml --version": [program("gitml", "gitml"), "--version"],
        "gitml --help": [program("gitml", "gitml"), "--help"],
    }
    for peer in ("ninja", "doit", "snakemake", "pytask", "dvc", "redun"):
        shown[f"{peer} --version"] = [program(peer, peer), "--version"]
    return shown


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    env = environment()
    samples = in_turn(
        {name: partial(measured, words, BENCH, env) for name, words in commands().items()}, options.rounds
    )
    rows = [
        [
            name,
            seconds(median_wall(taken)),
            f"{median_ratio(taken, samples[FLOOR]):.2f}x",
            megabytes(max(sample.peak for sample in taken)),
        ]
        for name, taken in samples.items()
    ]
    print(f"### Starting, {options.rounds} rounds\n")
    print(table(["", "s", "beside click", "peak MB"], rows))
    print(f"raw figures: {save('startup', {name: raw(taken) for name, taken in samples.items()})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
