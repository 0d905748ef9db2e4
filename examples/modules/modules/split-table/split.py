"""Deals the rows of a CSV file into two, each class in the same proportion."""

import argparse
import csv
import random

parser = argparse.ArgumentParser()
parser.add_argument("table")
parser.add_argument("--label", required=True)
parser.add_argument("--share", type=float, required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--train", required=True)
parser.add_argument("--test", required=True)
given = parser.parse_args()

with open(given.table, newline="", encoding="utf-8") as file:
    reader = csv.DictReader(file)
    columns = reader.fieldnames or []
    rows = list(reader)
if given.label not in columns:
    raise SystemExit(f"no column {given.label!r} in {given.table}; there is {', '.join(columns)}")

classes = {}
for row in rows:
    classes.setdefault(row[given.label], []).append(row)
train, test = [], []
chance = random.Random(given.seed)
for members in classes.values():
    chance.shuffle(members)
    cut = round(len(members) * given.share)
    test += members[:cut]
    train += members[cut:]

for path, part in ((given.train, train), (given.test, test)):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(part)
print(f"{len(train)} rows to learn from, {len(test)} to be tested on")
