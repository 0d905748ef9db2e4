"""Deals the lumps into training and test rows: data/cells.csv -> data/prepared/."""

import os

import numpy as np

from biopsies.params import read_params
from biopsies.tables import read_lumps, write_lumps

LEFT_OUT = "data/prepared/left_out.csv"

params = read_params()["data"]
lumps = read_lumps("data/cells.csv")

if os.path.exists(LEFT_OUT):
    os.remove(LEFT_OUT)
if params["outliers"] > 0:
    distance = np.abs(lumps.cells - lumps.cells.mean(axis=0)) / lumps.cells.std(axis=0)
    far = distance.max(axis=1) > params["outliers"]
    if far.any():
        write_lumps(LEFT_OUT, lumps.part(far))
    lumps = lumps.part(~far)

order = np.random.default_rng(params["seed"]).permutation(len(lumps.malignant))
count = round(params["test_share"] * len(order))
write_lumps("data/prepared/test.csv", lumps.part(order[:count]))
write_lumps("data/prepared/train.csv", lumps.part(order[count:]))
print(f"{len(order) - count} rows to learn from, {count} to be tested on")
