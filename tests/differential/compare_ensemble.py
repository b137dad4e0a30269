#!/usr/bin/env python3
"""Scores the members of an ensemble in Python's own libraries, calibrates and weighs them with NumPy, and compares the vote with the
scores of the bundle; then computes the metrics of its out-of-fold scores with scikit-learn.

    compare_ensemble.py TRAINER SNAPSHOT BUNDLE…

Nothing of the trainer's code is used: members are read as docs/bundle.md describes their files.
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score
from snapshot_rows import read_columns, score_by_library, score_by_trainer

# A probability of a tree is of single precision; a calibration may make its rounding a few times larger.
SCORE = 1e-6
MEAN = 1e-9


def score_logistic(transforms: dict, model: dict, schema: dict, x: np.ndarray) -> np.ndarray:
    columns = []
    for feature, step, values in zip(schema["features"], transforms["features"], x.T.astype(np.float64)):
        if step["kind"] == "Standardise":
            columns.append((np.where(np.isnan(values), step["impute"], values) - step["mean"]) / step["scale"])
        else:
            imputed = feature["categories"].index(step["impute"])
            places = np.where(np.isnan(values), imputed, values)
            columns.extend((places == place).astype(np.float64) for place in range(len(feature["categories"])))
    odds = np.column_stack(columns) @ np.array(model["coef"][0]) + model["intercept"][0]
    return 1 / (1 + np.exp(-odds))


def score_member(bundle: Path, number: int, family: str, schema: dict, x: np.ndarray) -> np.ndarray:
    def path(name: str) -> Path:
        return bundle / f"member-{number}-{name}"

    if family == "LogisticRegression":
        transforms, model = (json.loads(path(name).read_text()) for name in ("transforms.json", "model.json"))
        return score_logistic(transforms, model, schema, x)
    return score_by_library(path("lightgbm.txt"), path("xgboost.json"), schema, x)


def calibrate(calibration: dict | None, scores: np.ndarray) -> np.ndarray:
    if calibration is None:
        return scores
    if calibration["kind"] == "Isotonic":
        return np.interp(scores, calibration["scores"], calibration["probabilities"])
    near = np.clip(scores, 1e-9, 1 - 1e-9)
    return 1 / (1 + np.exp(-(calibration["slope"] * np.log(near / (1 - near)) + calibration["intercept"])))


def compare_metrics(bundle: Path) -> None:
    candidate = json.loads((bundle / "metrics.json").read_text())["candidates"][-1]
    assert candidate["family"] == "Ensemble", candidate["family"]
    table = np.genfromtxt(bundle / "out-of-fold.csv", delimiter=",", names=True, usecols=(2, 3, 4, 5))
    found = {"RocAuc": [], "LogLoss": []}
    for fold in candidate["folds"]:
        rows = table[(table["repeat"] == fold["repeat"]) & (table["fold"] == fold["fold"])]
        assert len(rows) == fold["rows"]
        found["RocAuc"].append(roc_auc_score(rows["label"], rows["score"]))
        found["LogLoss"].append(log_loss(rows["label"], rows["score"]))
    stated = {metric["name"]: metric["mean"] for metric in candidate["metrics"]}
    for name, values in found.items():
        assert abs(np.mean(values) - stated[name]) < MEAN, (name, np.mean(values), stated[name])


trainer, snapshot = sys.argv[1], Path(sys.argv[2])
for bundle in map(Path, sys.argv[3:]):
    schema = json.loads((bundle / "schema.json").read_text())
    ensemble = json.loads((bundle / "ensemble.json").read_text())
    x = read_columns(snapshot, schema)
    ours = score_by_trainer(trainer, bundle, schema, x)
    theirs = np.zeros(len(x))
    for number, member in enumerate(ensemble["members"], 1):
        scores = score_member(bundle, number, member["family"], schema, x)
        theirs += member["weight"] / ensemble["totalWeight"] * calibrate(member.get("calibration"), scores)
    assert len(ours) == len(x)
    apart = np.abs(ours - theirs).max()
    assert apart < SCORE, f"scores are up to {apart} apart"
    assert ours.std() > 0.1, "all scores are alike"
    compare_metrics(bundle)
    members = ", ".join(f"{member['family']} {member['weight']}" for member in ensemble["members"])
    print(f"Ensemble of {members}: {len(x)} rows in Python within {apart:.1e} of the bundle, metrics of {len(ours)} rows equal")
