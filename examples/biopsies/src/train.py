"""Trains one model: data/prepared/train.csv -> models/NAME.joblib, models/NAME.json."""

import json
import os
import sys

import joblib
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biopsies.params import read_params
from biopsies.tables import read_lumps

name = sys.argv[1]
params = read_params()["train"]
if name == "logistic":
    model = make_pipeline(StandardScaler(), LogisticRegression(C=params["logistic"]["c"]))
elif name == "knn":
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(params["knn"]["neighbors"]))
elif name == "forest":
    forest = params["forest"]
    model = RandomForestClassifier(forest["trees"], max_depth=forest["depth"], random_state=params["seed"])
else:
    sys.exit(f"no such model: {name}")

lumps = read_lumps("data/prepared/train.csv")
accuracy = cross_val_score(model, lumps.cells, lumps.malignant, cv=5).mean()
model.fit(lumps.cells, lumps.malignant)

os.makedirs("models", exist_ok=True)
joblib.dump(model, f"models/{name}.joblib")
with open(f"models/{name}.json", "w", encoding="utf-8") as file:
    json.dump({"cv_accuracy": round(float(accuracy), 6)}, file)
print(f"{name}: {accuracy:.1%} in cross-validation")
