#!/usr/bin/env python3
"""Computes again how a bundle was compared with its champion.

    compare_champion.py SNAPSHOT_DIR BUNDLE_DIR CHAMPION_DIR

Which rows are new is found by the values of the rows, and not by the hashes that the trainer compares; the champion's
score of a new row is computed from the numbers of its model.json; metrics are scikit-learn's. An out-of-fold score is
classified by the threshold of its fold, a score of a new row by the champion's threshold that serves. The draws of the
bootstrap are NumPy's own, of groups if the trainer drew groups, so that the two bounds differ by chance: by less than
0.003 for 2,000 draws of these data.
"""

import csv
import collections
import json
import pathlib
import sys
import warnings

import numpy as np
import pyarrow.parquet as pq
from sklearn import metrics as skm

DRAWS = 20_000
EXACT = 1e-12
BOUND = 3e-3

failures = 0


def compare(name, found, expected, tolerance):
    global failures
    difference = abs(found - expected)
    passed = bool(difference <= tolerance)
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name:<44} {found:.6f}, recorded {expected:.6f}, tolerance {tolerance:g}")


def serving_threshold(bundle):
    return float(json.loads((bundle / "bundle.json").read_text())["threshold"])


def out_of_fold(bundle):
    """The scores of each row and the thresholds of their folds, one a repeat."""
    family = json.loads((bundle / "bundle.json").read_text())["family"]
    candidates = json.loads((bundle / "metrics.json").read_text())["candidates"]
    selected = next(candidate for candidate in candidates if candidate["family"] == family)
    of_fold = {(fold["repeat"], fold["fold"]): fold["threshold"] for fold in selected["folds"]}
    rows = {}
    with open(bundle / "out-of-fold.csv", newline="") as file:
        for line in csv.DictReader(file):
            threshold = of_fold[int(line["repeat"]), int(line["fold"])]
            rows.setdefault(int(line["row"]) - 1, []).append((float(line["score"]), threshold))
    scores = np.array([rows[row] for row in sorted(rows)])
    return scores[:, :, 0].T, scores[:, :, 1].T


def served(bundle, rows):
    """The champion's probabilities, by the numbers of its files."""
    features = json.loads((bundle / "schema.json").read_text())["features"]
    steps = json.loads((bundle / "transforms.json").read_text())["features"]
    model = json.loads((bundle / "model.json").read_text())
    weights = dict(zip(model["columns"], model["coef"][0], strict=True))
    scores = []
    for row in rows:
        z = model["intercept"][0]
        for feature, step in zip(features, steps, strict=True):
            name, value = feature["name"], row[feature["name"]]
            if step["kind"] == "Standardise":
                x = step["impute"] if value is None else float(value)
                z += weights[name] * (x - step["mean"]) / step["scale"]
            else:
                z += weights.get(f"{name}={value if value is not None else step['impute']}", 0.0)
        scores.append(1 / (1 + np.exp(-z)))
    return np.array(scores)


def metric(name, y, p, thresholds, weights):
    """Over all repeats of p: classes counted over them, losses averaged (both are one pooled sample), areas averaged."""
    repeats = len(p)
    if name == "RocAuc":
        return np.mean([skm.roc_auc_score(y, scores, sample_weight=weights) for scores in p])
    y, weights, p = np.tile(y, repeats), np.tile(weights, repeats), p.ravel()
    if name == "LogLoss":
        return -skm.log_loss(y, p, sample_weight=weights, labels=[0, 1])
    if name == "Brier":
        return -skm.brier_score_loss(y, p, sample_weight=weights)
    called = (p >= thresholds.ravel()).astype(int)
    function = {"F1": skm.f1_score, "Precision": skm.precision_score, "Recall": skm.recall_score,
                "Accuracy": skm.accuracy_score}[name]
    more = {} if name == "Accuracy" else {"zero_division": 0}
    return function(y, called, sample_weight=weights, **more)


def f1_bound(y, sides, units, random):
    """The bound for F1, whose draws are sums. Units are drawn: each row has the number of its own."""
    sums = []
    for p, thresholds in sides:
        called = (p >= thresholds).mean(axis=0)
        sums.append((called * (y == 1), called * (y == 0)))
    count = units.max() + 1
    times = random.multinomial(count, np.full(count, 1 / count), size=DRAWS)[:, units]
    positives = times @ (y == 1)
    f1 = [2 * (times @ tp) / (positives + times @ tp + times @ fp) for tp, fp in sums]
    return np.quantile(f1[1] - f1[0], 0.05)


def main(snapshot, bundle, champion):
    recorded = json.loads((bundle / "metrics.json").read_text())["notWorseThan"]
    info = json.loads((snapshot / "snapshot.json").read_text())
    table = pq.read_table(snapshot / "data.parquet").to_pylist()
    target = info["target"]["column"]
    y = np.array([row[target] for row in table])

    # The champion was trained on the first source, in its order: its row i is row i of the union.
    known, known_thresholds = out_of_fold(champion)
    count = info["sources"][0]["rows"]
    assert known.shape[1] == count, "the champion was trained on the first source"
    features = [feature["name"] for feature in json.loads((champion / "schema.json").read_text())["features"]]
    text = [json.dumps([row[name] for name in [*features, target]]) for row in table]
    # Of equal rows, as many as the champion was trained on are known, the first ones.
    left = collections.Counter(text[:count])
    new_rows = []
    for row, content in enumerate(text):
        left[content] -= 1
        if left[content] < 0:
            new_rows.append(row)
    new_rows = np.array(new_rows)
    print(f"{len(table)} rows, {len(new_rows)} of them new; {recorded['metric']}, {DRAWS} draws")
    scores = np.empty((len(known), len(table)))
    scores[:, :count] = known
    scores[:, count:] = served(champion, table[count:])
    thresholds = np.full(scores.shape, serving_threshold(champion))
    thresholds[:, :count] = known_thresholds
    models = {"champion": (scores, thresholds), "challenger": out_of_fold(bundle)}
    column = recorded.get("groupedBy")
    groups = np.array([str(row[column]) for row in table]) if column else np.arange(len(table))

    random = np.random.default_rng(7)
    sides = {"All": np.arange(len(table)), "New": new_rows}
    for outcome in recorded["on"]:
        rows = sides[outcome["rows"]]
        label = f"{outcome['rows'].lower()} rows"
        compare(f"count of {label}", len(rows), outcome["count"], 0)
        if column:
            compare(f"groups of {label}", len(set(groups[rows])), outcome["groups"]["count"], 0)
        sign = -1 if recorded["metric"] in ("LogLoss", "Brier") else 1
        sampled = {side: (p[:, rows], at[:, rows]) for side, (p, at) in models.items()}
        for side, (p, at) in sampled.items():
            found = sign * metric(recorded["metric"], y[rows], p, at, np.ones(len(rows)))
            compare(f"{recorded['metric']} of the {side} on {label}", found, outcome[side], EXACT)
        if recorded["metric"] == "F1":
            units = np.unique(groups[rows], return_inverse=True)[1]
            found = f1_bound(y[rows], sampled.values(), units, random)
            compare(f"lower bound on {label}", found, float(outcome["lowerBound"]), BOUND)
    print(f"{failures} comparisons failed" if failures else "the comparison with the champion is as recorded")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    warnings.simplefilter("error")
    try:
        sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
    except FileNotFoundError as error:
        print(f"cannot read {error.filename}; make it with `modelward-trainer snapshot` and `fit`", file=sys.stderr)
        sys.exit(2)
