#!/usr/bin/env python3
"""Compares a bundle with scikit-learn on the same rows, the same folds and the same parameters.

    compare_sklearn.py SNAPSHOT_DIR BUNDLE_DIR

Trainer and server share their code, so that they agree proves no correctness. Here everything that the trainer
computed is computed again from data.parquet by a library that shares nothing with it:

    folds          every row is tested once a repeat; each fold has its share of each class
    metrics        scikit-learn's metrics of the recorded out-of-fold scores equal the recorded metrics
    out-of-fold    pipelines fitted by scikit-learn on the same folds give the same scores
    means          mean and corrected standard error of scikit-learn's own scores equal the recorded ones
    model          a pipeline fitted on all rows has the same coefficients
    model.json     its numbers, put into sklearn.linear_model.LogisticRegression, give the warm-up scores

Prints one line a comparison; exits 1 where one is beyond its tolerance, 2 where files are missing.
"""

import csv
import json
import math
import pathlib
import struct
import sys
import warnings

import numpy as np
import pyarrow.parquet as pq
import sklearn
from sklearn import metrics as skm
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# The same sums in another order: rounding alone.
EXACT = 1e-12
# Both solvers stop within rounding of the one minimum; 1e-12 is usual. A probability, then a coefficient.
SCORE = 1e-9
COEFFICIENT = 1e-8
# A mean jumps where a score lies within SCORE of another one (AUC) or of the threshold; those near the threshold are
# counted, and none is expected.
MEAN = 1e-9

failures = 0


def compare(name, difference, tolerance, note=""):
    global failures
    passed = bool(difference <= tolerance)  # NaN is no agreement
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name:<44} max |difference| {difference:.3g}, tolerance {tolerance:g} {note}")


def check(name, passed, note=""):
    global failures
    failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'} {name:<44} {note}")


def largest(pairs):
    return max((abs(a - b) for a, b in pairs), default=0.0)


class Data:
    """The rows as numbers: a category is the index of its word, a missing value NaN."""

    def __init__(self, snapshot):
        info = json.loads((snapshot / "snapshot.json").read_text())
        table = pq.read_table(snapshot / "data.parquet")
        self.features = info["schema"]["features"]
        columns = []
        for feature in self.features:
            values = table.column(feature["name"]).to_pylist()
            if feature["kind"] == "Categorical":
                index = {word: at for at, word in enumerate(feature["categories"])}
                values = [math.nan if value is None else index[value] for value in values]
            # Parquet holds 32-bit floats; everything is computed with 64.
            columns.append(np.array([math.nan if v is None else v for v in values], dtype=np.float64))
        self.x = np.column_stack(columns)
        self.y = np.array(table.column(info["target"]["column"]).to_pylist())

    def pipeline(self, c):
        numeric = [at for at, f in enumerate(self.features) if f["kind"] == "Numeric"]
        categorical = [at for at, f in enumerate(self.features) if f["kind"] == "Categorical"]
        words = [np.arange(len(self.features[at]["categories"]), dtype=np.float64) for at in categorical]
        parts = []
        if numeric:
            steps = [("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())]
            parts.append(("numeric", Pipeline(steps), numeric))
        if categorical:
            # Codes are in the order of the categories, so that ties go to the first of them.
            encoder = OneHotEncoder(categories=words, handle_unknown="ignore", sparse_output=False)
            # Of a column that is missing in all rows of a fold, every value is the first category.
            imputer = SimpleImputer(strategy="most_frequent", keep_empty_features=True)
            steps = [("impute", imputer), ("encode", encoder)]
            parts.append(("categorical", Pipeline(steps), categorical))
        model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=10_000)
        return Pipeline([("columns", ColumnTransformer(parts)), ("model", model)])

    def column_names(self):
        """Names in the order in which the pipeline makes them."""
        names = [f["name"] for f in self.features if f["kind"] == "Numeric"]
        for feature in self.features:
            if feature["kind"] == "Categorical":
                names += [f"{feature['name']}={word}" for word in feature["categories"]]
        return names


def all_metrics(y, p, threshold):
    called = (p >= threshold).astype(int)
    return {
        "Accuracy": skm.accuracy_score(y, called),
        "Precision": skm.precision_score(y, called, zero_division=0),
        "Recall": skm.recall_score(y, called, zero_division=0),
        "F1": skm.f1_score(y, called, zero_division=0),
        "RocAuc": skm.roc_auc_score(y, p),
        "LogLoss": skm.log_loss(y, p, labels=[0, 1]),
        "Brier": skm.brier_score_loss(y, p),
        "PrAuc": skm.average_precision_score(y, p),
        "Mcc": skm.matthews_corrcoef(y, called),
        "BalancedAccuracy": skm.balanced_accuracy_score(y, called),
    }


def encode(features, transforms, rows):
    """The columns of model.json, by the numbers of transforms.json and nothing else."""
    encoded = []
    for row in rows:
        columns = []
        for feature, step in zip(features, transforms["features"], strict=True):
            value = row.get(feature["name"])
            if step["kind"] == "Standardise":
                # What a request holds is read as a 32-bit float; an imputed median has 64 bits.
                x = step["impute"] if value is None else np.float64(np.float32(value))
                columns.append((x - step["mean"]) / step["scale"])
            else:
                columns += [float(word == (value or step["impute"])) for word in feature["categories"]]
        encoded.append(columns)
    return np.array(encoded)


def main(snapshot, bundle):
    data = Data(snapshot)
    recorded = json.loads((bundle / "metrics.json").read_text())
    info = json.loads((bundle / "bundle.json").read_text())
    model = json.loads((bundle / "model.json").read_text())
    threshold = float(info["threshold"])
    selected = next(c for c in recorded["candidates"] if c["family"] == recorded["selected"])
    plan = recorded["folds"]
    print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}: {len(data.y)} rows, "
          f"{plan['repeats']} x {plan['folds']} folds, {selected['family']}, C = {model['c']:g}")

    shape = (plan["repeats"], len(data.y))
    scores, folds = np.full(shape, np.nan), np.full(shape, -1)
    with open(bundle / "out-of-fold.csv", newline="") as file:
        for line in csv.DictReader(file):
            repeat, row = int(line["repeat"]), int(line["row"]) - 1
            scores[repeat, row], folds[repeat, row] = float(line["score"]), int(line["fold"])
            if int(line["label"]) != data.y[row]:
                check(f"label of row {row + 1}", False, "differs from data.parquet")

    check("every row is scored once a repeat", bool(np.isfinite(scores).all() and (folds >= 0).all()))
    spread = 0
    for fold in folds:
        for label in (0, 1):
            counts = np.bincount(fold[data.y == label], minlength=plan["folds"])
            spread = max(spread, int(counts.max() - counts.min()))
    check("folds are stratified", spread <= 1, f"counts of a class differ by {spread} at most")
    check("repeats are different folds", len({fold.tobytes() for fold in folds}) == plan["repeats"])

    # What scikit-learn says of the recorded scores, and of its own.
    of_recorded, of_sklearn, score_difference, near = [], [], 0.0, 0
    for outcome in selected["folds"]:
        test = folds[outcome["repeat"]] == outcome["fold"]
        ours = scores[outcome["repeat"], test]
        fitted = data.pipeline(model["c"]).fit(data.x[~test], data.y[~test])
        theirs = fitted.predict_proba(data.x[test])[:, 1]
        score_difference = max(score_difference, float(np.abs(ours - theirs).max()))
        near += int((np.abs(theirs - threshold) <= SCORE).sum())
        of_recorded.append((outcome["metrics"], all_metrics(data.y[test], ours, threshold)))
        of_sklearn.append(all_metrics(data.y[test], theirs, threshold))

    for name in (metric["name"] for metric in selected["metrics"]):
        difference = largest((ours[name], theirs[name]) for ours, theirs in of_recorded)
        compare(f"{name} of the recorded scores, a fold", difference, EXACT)
    compare("out-of-fold scores of refitted pipelines", score_difference, SCORE, f"({near} scores near the threshold)")
    for metric in selected["metrics"]:
        values = np.array([fold[metric["name"]] for fold in of_sklearn])
        error = values.std(ddof=1) * math.sqrt(1 / len(values) + 1 / (plan["folds"] - 1))
        compare(f"mean {metric['name']}", abs(values.mean() - metric["mean"]), MEAN, f"({values.mean():.6f})")
        compare(f"standard error of {metric['name']}", abs(error - metric["standardError"]), MEAN, f"({error:.6f})")

    fitted = data.pipeline(model["c"]).fit(data.x, data.y)
    theirs = dict(zip(data.column_names(), fitted["model"].coef_[0], strict=True))
    check("columns of the model", set(theirs) == set(model["columns"]))
    ours = dict(zip(model["columns"], model["coef"][0], strict=True))
    compare("coefficients", largest((ours[name], theirs[name]) for name in ours), COEFFICIENT)
    compare("intercept", abs(model["intercept"][0] - fitted["model"].intercept_[0]), COEFFICIENT)

    # The numbers of the bundle alone, in scikit-learn's own class.
    loaded = LogisticRegression(C=model["c"])
    loaded.classes_, loaded.coef_, loaded.intercept_ = (np.array(model[k]) for k in ("classes", "coef", "intercept"))
    warm_up = json.loads((bundle / "warm-up.json").read_text())["rows"]
    transforms = json.loads((bundle / "transforms.json").read_text())
    x = encode(json.loads((bundle / "schema.json").read_text())["features"], transforms, [r["features"] for r in warm_up])
    predicted = loaded.predict_proba(x)[:, 1]
    expected = [struct.unpack(">d", bytes.fromhex(row["bits"]))[0] for row in warm_up]
    compare("model.json in LogisticRegression, warm-up", largest(zip(predicted, expected, strict=True)), EXACT)

    print(f"{failures} comparisons failed" if failures else "the trainer agrees with scikit-learn")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    warnings.simplefilter("error")
    try:
        sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
    except FileNotFoundError as error:
        print(f"cannot read {error.filename}; make it with `modelward-trainer snapshot` and `fit`", file=sys.stderr)
        sys.exit(2)
