"""Tells the class of each row by its nearest neighbours, and how often it is right."""

import argparse
import collections
import csv
import json
import math
import statistics

SCALE = False

parser = argparse.ArgumentParser()
parser.add_argument("train")
parser.add_argument("test")
parser.add_argument("--label", required=True)
parser.add_argument("--neighbors", type=int, required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--metrics", required=True)
given = parser.parse_args()


def read(path):
    """(class, numbers) of each row."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [(row.pop(given.label), [float(value) for value in row.values()]) for row in rows]


train, test = read(given.train), read(given.test)
if SCALE:
    columns = list(zip(*(numbers for _, numbers in train), strict=True))
    scales = [(statistics.fmean(column), statistics.pstdev(column) or 1.0) for column in columns]
    for part in (train, test):
        for _, numbers in part:
            numbers[:] = [(x - mean) / width for x, (mean, width) in zip(numbers, scales, strict=True)]

told = []
for truth, numbers in test:
    near = sorted(train, key=lambda row: math.dist(row[1], numbers))[: given.neighbors]
    votes = collections.Counter(label for label, _ in near)
    told.append((truth, votes.most_common(1)[0][0]))

with open(given.out, "w", newline="", encoding="utf-8") as file:
    csv.writer(file, lineterminator="\n").writerows([("truth", "told"), *told])
right = sum(truth == guess for truth, guess in told)
with open(given.metrics, "w", encoding="utf-8") as file:
    json.dump({"accuracy": round(right / len(told), 4), "rows": len(told)}, file)
print(f"{right} of {len(told)} right")
