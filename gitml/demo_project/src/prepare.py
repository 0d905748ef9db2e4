"""Deals the wines into train (half), validation and test (a quarter each), every part with its share of each grower."""

import argparse
import random
import statistics

from wines import PARTS, Wine, read_wines, write_part

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("csv")
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--scale", choices=("standard", "none"), required=True)
parser.add_argument("--out", required=True)
args = parser.parse_args()

names, wines = read_wines(args.csv)
deck = random.Random(args.seed)
parts: dict[str, list[Wine]] = {part: [] for part in PARTS}
for grower in sorted({wine.grower for wine in wines}):
    hand = [wine for wine in wines if wine.grower == grower]
    deck.shuffle(hand)
    quarter = len(hand) // 4
    parts["train"] += hand[: len(hand) - 2 * quarter]
    parts["validation"] += hand[-2 * quarter : -quarter]
    parts["test"] += hand[-quarter:]

# Mean 0 and spread 1, as measured on the training wines alone: the others must stay unseen.
columns = list(zip(*(wine.values for wine in parts["train"]), strict=True))
scaled = args.scale == "standard"
centres = [statistics.fmean(column) if scaled else 0.0 for column in columns]
spreads = [statistics.pstdev(column) if scaled else 1.0 for column in columns]

for part in PARTS:
    out = [
        wine._replace(values=tuple((v - c) / s for v, c, s in zip(wine.values, centres, spreads, strict=True)))
        for wine in sorted(parts[part])
    ]
    write_part(args.out, part, out)
    print(f"{part}: {len(out)} wines")
