#!/usr/bin/env python3
"""Loads the exported models of trees in Python's own libraries and compares their scores with those of the bundle; then fits the
same family in Python on the same folds and compares F1 and the area under the curve.

    compare_trees.py TRAINER SNAPSHOT BUNDLE…

Each bundle was trained on the snapshot. The libraries get the rows as docs/training.md says: numbers in single precision, categories
as their positions, NaN for missing values.
"""

import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score, roc_auc_score
from snapshot_rows import read_columns, score_by_library, score_by_trainer

# Of the bundle's repeats, those that are fitted again.
REPEATS = 4


def fit_in_python(family: str, parameters: dict, kinds: list[str], x: np.ndarray, y: np.ndarray):
    if family == "RandomForest":
        forest = RandomForestClassifier(parameters["n_estimators"], max_depth=parameters["max_depth"], max_features="sqrt", random_state=7)
        forest.fit(x, y)
        return lambda rows: forest.predict_proba(rows)[:, 1]
    own = {name: value for name, value in parameters.items() if name != "n_estimators"}
    if family == "LightGBM":
        categories = [place for place, kind in enumerate(kinds) if kind == "c"]
        data = lightgbm.Dataset(x, y, categorical_feature=categories, params={"verbosity": -1, "max_bin": own["max_bin"]})
        booster = lightgbm.train(own | {"objective": "binary", "verbosity": -1, "num_threads": 1}, data, parameters["n_estimators"])
        return booster.predict
    of = {"feature_types": kinds, "enable_categorical": True}
    booster = xgboost.train(own | {"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(x, y, **of), parameters["n_estimators"])
    return lambda rows: booster.predict(xgboost.DMatrix(rows, **of))


def compare_folds(bundle: Path, family: str, kinds: list[str], x: np.ndarray) -> None:
    (candidate,) = json.loads((bundle / "metrics.json").read_text())["candidates"]
    table = np.genfromtxt(bundle / "out-of-fold.csv", delimiter=",", names=True, usecols=(0, 2, 3, 4), dtype=int)
    y = np.zeros(len(x), dtype=int)
    y[table["row"] - 1] = table["label"]
    found = {"F1": [], "RocAuc": []}
    for repeat in range(REPEATS):
        for fold in np.unique(table["fold"]):
            tested = table["row"][(table["repeat"] == repeat) & (table["fold"] == fold)] - 1
            kept = np.setdiff1d(np.arange(len(x)), tested)
            scores = fit_in_python(family, candidate["parameters"], kinds, x[kept], y[kept])(x[tested])
            found["F1"].append(f1_score(y[tested], scores >= 0.5))
            found["RocAuc"].append(roc_auc_score(y[tested], scores))
    for name, values in found.items():
        folds = [fold["metrics"][name] for fold in candidate["folds"] if fold["repeat"] < REPEATS]
        (error,) = [metric["standardError"] for metric in candidate["metrics"] if metric["name"] == name]
        ours, theirs = np.mean(folds), np.mean(values)
        print(f"{family}: {name} {ours:.4f}, in Python {theirs:.4f} on the same {len(folds)} folds; standard error {error:.4f}")
        assert abs(ours - theirs) <= error, "more than one standard error apart"


trainer, snapshot = sys.argv[1], Path(sys.argv[2])
for bundle in map(Path, sys.argv[3:]):
    schema = json.loads((bundle / "schema.json").read_text())
    family = json.loads((bundle / "bundle.json").read_text())["family"]
    x = read_columns(snapshot, schema)
    ours = score_by_trainer(trainer, bundle, schema, x)
    theirs = score_by_library(bundle / "lightgbm.txt", bundle / "xgboost.json", schema, x)
    assert len(ours) == len(theirs) == len(x), (len(ours), len(theirs), len(x))
    places = [np.float32(scores).view(np.int32).astype(np.int64) for scores in (ours, theirs)]
    apart = int(np.abs(places[0] - places[1]).max())
    assert apart <= 1, f"{family}: scores are up to {apart} units in the last place of a float apart"
    assert ours.std() > 0.1, f"{family}: all scores are alike"
    kinds = ["c" if feature["kind"] == "Categorical" else "float" for feature in schema["features"]]
    compare_folds(bundle, family, kinds, x)
    print(f"{family}: {len(x)} rows in Python as in the bundle, {int((ours == theirs).sum())} of them to the last bit")
