#!/usr/bin/env python3
"""Compares declared transforms with scikit-learn: what each learns from all rows, and out-of-fold scores of a model behind them.

    compare_transforms.py TRAINER WORK

Makes a table of numbers and categories, some of them missing, trains a logistic regression behind transforms of every kind, and does the same with
SimpleImputer, StandardScaler, OneHotEncoder, OrdinalEncoder, TargetEncoder (its own cross-fitting, on the parts that the trainer
draws) and KBinsDiscretizer. Prints one line a comparison; exits 1 where one is beyond its tolerance.
"""

import csv
import json
import math
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import compare_sklearn as base
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

ROWS = 400
WORDS = 40
SEED = 11
PARTS = 5
STREAM = 1006
ORDER = ["low", "mid", "high"]

TRANSFORMS = [
    {"name": "filled", "type": "Impute", "column": "x", "strategy": "Median", "indicator": True, "keep": True},
    {"name": "mean", "type": "Impute", "column": "x", "strategy": "Mean", "keep": True},
    {"name": "mode", "type": "Impute", "column": "n", "strategy": "Mode", "keep": True},
    {"name": "scaled", "type": "Standardize", "column": "x"},
    {"name": "log", "type": "Log", "column": "amount", "offset": "1", "keep": True},
    {"name": "short", "type": "Clip", "column": "amount", "minQuantile": "0.05", "maxQuantile": "0.95", "keep": True},
    {"name": "bins", "type": "Bins", "column": "amount", "bins": 5, "keep": True},
    {"name": "wide", "type": "Bins", "column": "amount", "bins": 3, "binning": "Uniform", "keep": True},
    {"name": "ratio", "type": "Ratio", "columnA": "filled", "columnB": "amount", "keep": True},
    {"name": "product", "type": "Product", "columnA": "filled", "columnB": "amount"},
    {"name": "rank", "type": "Ordinal", "column": "level", "order": ORDER, "keep": True},
    {"name": "likely", "type": "Impute", "column": "level", "strategy": "Mode", "keep": True},
    {"name": "is", "type": "OneHot", "column": "likely"},
    {"name": "rate", "type": "TargetEncode", "column": "word", "keep": True},
    {"name": "smooth", "type": "TargetEncode", "column": "word", "smoothing": "10", "keep": True},
    {"name": "bin-rate", "type": "TargetEncode", "column": "bins", "keep": True},
    {"name": "often", "type": "FrequencyEncode", "column": "word"},
]


class SplitMix64:
    """The trainer's generator (Steele, Lea and Flood 2014) and its draws (Lemire 2019)."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def below(self, n):
        threshold = ((1 << 64) - n) % n
        while True:
            product = self.next() * n
            if product & ((1 << 64) - 1) >= threshold:
                return product >> 64


def mix(seed):
    return SplitMix64(seed).next()


def draw_parts(y):
    """The part of each training row; no two rows of the table are equal."""
    random = SplitMix64(mix(mix(SEED) ^ mix(STREAM)) ^ mix(1))
    part, filled, turn = np.zeros(len(y), dtype=int), [0] * PARTS, 0
    for label in (0, 1):
        rows = [int(row) for row in np.flatnonzero(y == label)]
        for last in range(len(rows) - 1, 0, -1):
            other = random.below(last + 1)
            rows[last], rows[other] = rows[other], rows[last]
        for row in rows:
            part[row] = min(((turn + step) % PARTS for step in range(PARTS)), key=lambda at: filled[at])
            filled[part[row]] += 1
            turn = part[row] + 1
    return part


def single(values):
    """As the trainer keeps a column: in 32 bits; what is not finite is missing."""
    with np.errstate(over="ignore"):
        values = np.asarray(values, dtype=np.float64).astype(np.float32).astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def column(values):
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)


class Step:
    """One transform: `fit` on training rows returns their columns, `apply` those of other rows. A column is (kind, values), a category being its index."""

    def __init__(self, spec, kinds):
        self.spec, self.kinds = spec, kinds

    def fit(self, inputs, y):
        kind = self.spec["type"]
        x = inputs[0]
        if kind == "Impute":
            strategy = {"Median": "median", "Mean": "mean", "Mode": "most_frequent"}[self.spec["strategy"]]
            self.model = SimpleImputer(strategy=strategy, keep_empty_features=True).fit(column(x))
            self.learnt = self.model.statistics_[0]
        elif kind == "Standardize":
            self.model = StandardScaler().fit(column(x))
            self.learnt = (self.model.mean_[0], self.model.scale_[0])
        elif kind == "Clip":
            shares = [float(self.spec["minQuantile"]), float(self.spec["maxQuantile"])]
            self.learnt = np.quantile(x[~np.isnan(x)], shares, method="averaged_inverted_cdf")
        elif kind == "Bins":
            strategy = self.spec.get("binning", "Quantile").lower()
            self.model = KBinsDiscretizer(self.spec["bins"], encode="ordinal", strategy=strategy, subsample=None)
            self.learnt = self.model.fit(column(x)).bin_edges_[0][1:-1]
        elif kind == "Ordinal":
            self.model = OrdinalEncoder(categories=[ORDER], handle_unknown="use_encoded_value", unknown_value=np.nan)
            self.model.fit(self.words(x[~np.isnan(x)]))
        elif kind == "OneHot":
            words = np.arange(len(self.kinds[self.spec["column"]]), dtype=np.float64)
            self.model = OneHotEncoder(categories=[words], handle_unknown="ignore", sparse_output=False).fit(column(x[~np.isnan(x)]))
        elif kind == "TargetEncode":
            smooth = float(self.spec["smoothing"]) if "smoothing" in self.spec else "auto"
            cv = PredefinedSplit(draw_parts(y))
            self.model = TargetEncoder(target_type="binary", smooth=smooth, cv=cv)
            crossed = self.model.fit_transform(column(x), y)[:, 0]
            self.learnt = dict(zip(self.model.categories_[0].tolist(), self.model.encodings_[0], strict=True))
            return [crossed]
        elif kind == "FrequencyEncode":
            self.learnt = {at: float(np.mean(x == at)) for at in np.unique(x[~np.isnan(x)])}
            self.missing = float(np.isnan(x).mean())
        return self.apply(inputs)

    def apply(self, inputs):
        kind = self.spec["type"]
        x = inputs[0]
        if kind == "Impute":
            filled = [self.model.transform(column(x))[:, 0]]
            return [*filled, np.isnan(x).astype(float)] if self.spec.get("indicator") else filled
        if kind == "Clip":
            return [np.clip(x, *self.learnt)]
        if kind == "OneHot":
            # A missing category has 0 everywhere, as an unknown one.
            return list(self.model.transform(column(np.where(np.isnan(x), -1, x))).T)
        if kind == "Ordinal":
            return [self.model.transform(self.words(x))[:, 0]]
        if kind == "FrequencyEncode":
            return [np.array([self.missing if np.isnan(at) else self.learnt.get(at, 0.0) for at in x])]
        if kind == "Log":
            with np.errstate(invalid="ignore", divide="ignore"):
                return [np.log(x + float(self.spec.get("offset", 0)))]
        if kind == "Ratio":
            with np.errstate(divide="ignore", invalid="ignore"):
                return [x / inputs[1]]
        if kind == "Product":
            return [x * inputs[1]]
        return [self.model.transform(column(x))[:, 0]]

    def words(self, x):
        """The texts of categories; a missing one is a word that scikit-learn does not know."""
        words = self.kinds[self.spec["column"]]
        return np.array([["" if np.isnan(at) else words[int(at)]] for at in x], dtype=object)

    def names(self):
        name = self.spec["name"]
        if self.spec["type"] == "OneHot":
            return [f"{name}={word}" for word in self.kinds[self.spec["column"]]]
        return [name, f"{name}.missing"] if self.spec.get("indicator") else [name]

    def inputs(self):
        return [self.spec[key] for key in ("column", "columnA", "columnB") if key in self.spec]


def derive(features, columns, y, train):
    """The columns that a family sees, of the training rows cross-fitted, and the fitted steps. `columns` by name; a category is its index."""
    kinds = dict(features)
    seen, values, steps = list(columns), dict(columns), []
    for spec in TRANSFORMS:
        step = Step(spec, kinds)
        inputs = [values[name] for name in step.inputs()]
        own = step.fit([at[train] for at in inputs], y[train])
        others = step.apply([at[~train] for at in inputs]) if not train.all() else [[]] * len(own)
        for name, of_training, of_others in zip(step.names(), own, others, strict=True):
            made = np.empty(len(y))
            made[train], made[~train] = single(of_training), single(of_others)
            values[name] = made
            seen.append(name)
            kinds[name] = None
        if spec["type"] == "Bins":
            kinds[spec["name"]] = [str(at) for at in range(len(step.learnt) + 1)]
        if spec["type"] == "Impute" and kinds[spec["column"]]:
            kinds[spec["name"]] = kinds[spec["column"]]
        if not spec.get("keep"):
            seen = [name for name in seen if name not in step.inputs()]
        steps.append(step)
    return {name: (kinds[name], values[name]) for name in seen}, steps


def pipeline(derived, c):
    """The family's own preparation and fit, as compare_sklearn.py has them."""
    kinds = [kind for kind, _ in derived.values()]
    numeric = [at for at, kind in enumerate(kinds) if not kind]
    categorical = [at for at, kind in enumerate(kinds) if kind]
    words = [np.arange(len(kinds[at]), dtype=np.float64) for at in categorical]
    numbers = Pipeline([("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())])
    categories = Pipeline([
        ("impute", SimpleImputer(strategy="most_frequent", keep_empty_features=True)),
        ("encode", OneHotEncoder(categories=words, handle_unknown="ignore", sparse_output=False)),
    ])
    parts = ColumnTransformer([("numeric", numbers, numeric), ("categorical", categories, categorical)])
    return Pipeline([("columns", parts), ("model", LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=10_000))])


def make_table(path):
    random = np.random.default_rng(SEED)
    x, amount = random.normal(50, 12, ROWS), random.lognormal(2, 1, ROWS)
    n, level, word = random.integers(0, 6, ROWS), random.integers(0, 3, ROWS), random.integers(0, WORDS, ROWS)
    effect = random.normal(0, 1, WORDS)
    logit = (x - 50) / 12 + 0.5 * np.log(amount) - 1 + 0.6 * level - 0.6 + effect[word]
    y = (random.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(int)
    gaps = random.random((ROWS, 5))
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["x", "amount", "n", "level", "word", "y"])
        for row in range(ROWS):
            cells = [f"{x[row]:.6f}", f"{amount[row]:.6f}", n[row], ORDER[level[row]], f"w{word[row]}"]
            gap = [0.1, 0.0, 0.1, 0.1, 0.05]
            out.writerow(["" if gaps[row, at] < gap[at] else cell for at, cell in enumerate(cells)] + [y[row]])


def train(trainer, work):
    make_table(work / "table.csv")
    spec = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "table-1"},
        "spec": {"model": "table", "serving": {"access": "Open"}, "source": {"training": {
            "dataset": {"configMap": {"name": "table", "key": "table.csv"}}, "target": {"column": "y"},
            "transforms": TRANSFORMS, "families": ["LogisticRegression"],
            "validation": {"folds": 5, "repeats": 2, "seed": SEED},
        }}},
    }
    (work / "spec.json").write_text(json.dumps(spec))
    run = [trainer, "snapshot", "--spec", work / "spec.json", "--source", work / "table.csv", "--out", work / "snapshot"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    run = [trainer, "fit", "--spec", work / "spec.json", "--snapshot-dir", work / "snapshot", "--out", work / "bundle"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)


def relative(pairs):
    return max((abs(a - b) / max(1.0, abs(b)) for a, b in pairs), default=0.0)


def compare_learnt(fitted, steps, features):
    """What each transform learnt from all rows."""
    kinds = dict(features)
    for recorded, step in zip(fitted, steps, strict=True):
        found, spec = recorded["fitted"], step.spec
        pairs = []
        if spec["type"] == "Impute":
            value = found["value"]
            pairs.append((value["number"] if "number" in value else value["category"]["index"], step.learnt))
        elif spec["type"] == "Standardize":
            pairs += zip((found["mean"], found["scale"]), step.learnt, strict=True)
        elif spec["type"] == "Clip":
            pairs += zip((found["min"], found["max"]), step.learnt, strict=True)
        elif spec["type"] == "Bins":
            pairs += zip(found["edges"], step.learnt, strict=True)
            kinds[spec["name"]] = [str(at) for at in range(len(step.learnt) + 1)]
        elif spec["type"] == "Ordinal":
            words = kinds[spec["column"]]
            pairs += zip(found["ranks"], (ORDER.index(word) for word in words), strict=True)
        elif spec["type"] in ("TargetEncode", "FrequencyEncode"):
            mean = step.model.target_mean_ if spec["type"] == "TargetEncode" else 0.0
            pairs += ((value, step.learnt.get(float(at), mean)) for at, value in enumerate(found["values"]))
            gaps = [value for at, value in step.learnt.items() if math.isnan(at)] or [mean]
            pairs.append((found["missing"], gaps[0] if spec["type"] == "TargetEncode" else step.missing))
            pairs.append((found["unknown"], mean))
        else:
            continue
        base.compare(f"{spec['type']} {spec['name']}, {len(pairs)} numbers", relative(pairs), base.EXACT)


def main(trainer, work):
    work.mkdir(parents=True, exist_ok=True)
    train(trainer, work)
    data, bundle = base.Data(work / "snapshot"), work / "bundle"
    features = [(feature["name"], feature.get("categories")) for feature in data.features]
    columns = {name: data.x[:, at] for at, (name, _) in enumerate(features)}
    model = json.loads((bundle / "model.json").read_text())
    fitted = json.loads((bundle / "declared-transforms.json").read_text())["transforms"]
    _, steps = derive(features, columns, data.y, np.ones(len(data.y), dtype=bool))
    compare_learnt(fitted, steps, features)

    repeats = json.loads((bundle / "metrics.json").read_text())["folds"]["repeats"]
    scores, folds = (np.full((repeats, len(data.y)), np.nan) for _ in range(2))
    with open(bundle / "out-of-fold.csv", newline="") as file:
        for line in csv.DictReader(file):
            repeat, row = int(line["repeat"]), int(line["row"]) - 1
            scores[repeat, row], folds[repeat, row] = float(line["score"]), int(line["fold"])
    difference = 0.0
    for repeat in range(repeats):
        for fold in np.unique(folds[repeat]):
            test = folds[repeat] == fold
            derived, _ = derive(features, columns, data.y, ~test)
            x = np.column_stack([values for _, values in derived.values()])
            theirs = pipeline(derived, model["c"]).fit(x[~test], data.y[~test]).predict_proba(x[test])[:, 1]
            difference = max(difference, float(np.abs(theirs - scores[repeat, test]).max()))
    base.compare("out-of-fold scores behind refitted transforms", difference, base.SCORE)
    derived, _ = derive(features, columns, data.y, np.ones(len(data.y), dtype=bool))
    x = np.column_stack([values for _, values in derived.values()])
    whole = pipeline(derived, model["c"]).fit(x, data.y)
    base.compare("intercept of the model of all rows", abs(whole["model"].intercept_[0] - model["intercept"][0]), base.COEFFICIENT)
    print(f"{base.failures} comparisons failed" if base.failures else "transforms agree with scikit-learn")
    return 1 if base.failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    warnings.simplefilter("error")
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
