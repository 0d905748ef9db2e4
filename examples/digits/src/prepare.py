"""Reads the digits, scales the ink to 0..1 and deals them into train, validation and test, each with its share of every digit."""

import argparse

import numpy as np

import splits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("csv")
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--test-share", type=float, required=True)
parser.add_argument("--out", required=True)
args = parser.parse_args()

table = np.loadtxt(args.csv, delimiter=",", skiprows=1, dtype=np.float64)
digits, pixels = table[:, 0].astype(np.int64), table[:, 1:] / 16.0

dealt: dict[str, list[np.ndarray]] = {name: [] for name in splits.PARTS}
random = np.random.default_rng(args.seed)
for digit in range(10):
    rows = random.permutation(np.flatnonzero(digits == digit))
    held = round(len(rows) * args.test_share)
    dealt["test"].append(rows[:held])
    dealt["validation"].append(rows[held : 2 * held])
    dealt["train"].append(rows[2 * held :])

for name in splits.PARTS:
    rows = np.sort(np.concatenate(dealt[name]))
    splits.save(args.out, name, splits.Part(pixels[rows], digits[rows]))
    print(f"{name}: {len(rows)} digits")
