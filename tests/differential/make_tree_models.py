#!/usr/bin/env python3
"""Writes the models of trees that inference/model/tests/trees.rs reads, with the scores that the libraries give them.

    pip install lightgbm==4.7.0 xgboost-cpu==3.2.0 numpy
    tests/differential/make_tree_models.py inference/model/tests/trees
    tests/differential/make_tree_models.py --large FOLDER      many rows and trees, not for the repository

Everything is seeded and runs in one thread. Numbers are written as their bits: `raw` and `probability` of LightGBM in
double precision, all others in single precision. In rows an integer is a category, null a missing value and "?" an
unknown category, which the libraries get as -1.
"""

import json
import pathlib
import sys

import lightgbm
import numpy
import xgboost

WORDS = [str(word) for word in range(40)]
FEATURES = [
    {"name": "age", "required": False, "kind": "Numeric", "min": None, "max": None},
    {"name": "chol", "required": False, "kind": "Numeric", "min": None, "max": None},
    {"name": "thal", "required": False, "kind": "Categorical", "categories": ["3", "6", "7"]},
    {"name": "oldpeak", "required": False, "kind": "Numeric", "min": None, "max": None},
    {"name": "town", "required": False, "kind": "Categorical", "categories": WORDS},
    {"name": "marker", "required": False, "kind": "Numeric", "min": None, "max": None},
]
CATEGORICAL = [2, 4]
# Numbers around those that LightGBM takes for 0, and the largest.
EDGES = [0.0, -0.0, 1e-35, -1e-35, 1.1e-35, 9e-36, 1e-40, 3.4028235e38, -3.4028235e38]


def make_rows(generator, count, missing=0.12):
    """Rows of the features. Only 30 of the 40 towns are there; `marker` is one number or missing."""
    rows = numpy.empty((count, 6), dtype=numpy.float32)
    rows[:, 0] = generator.normal(54, 9, count).round(1)
    rows[:, 1] = generator.lognormal(5.5, 0.2, count)
    rows[:, 2] = generator.integers(0, 3, count)
    rows[:, 3] = numpy.maximum(0, generator.normal(0.5, 1, count)).round(1)
    rows[:, 4] = generator.integers(0, 30, count)
    rows[:, 5] = 1
    rows[generator.random(rows.shape) < missing] = numpy.nan
    rows[generator.random(count) < 0.4, 5] = numpy.nan
    return rows


def make_labels(generator, rows):
    full = numpy.nan_to_num(rows)
    score = (full[:, 0] - 50) / 9 + full[:, 3] + (full[:, 2] == 1) - (full[:, 4] % 7) / 3 + full[:, 5]
    return (score + generator.normal(0, 1, len(rows)) > 0.5).astype(int)


def make_tests(generator, count):
    rows = make_rows(generator, count)
    for index, edge in enumerate(EDGES):
        rows[index % count, [0, 1, 3, 5][index % 4]] = edge
        rows[(index + 9) % count, 3] = edge
    rows[0, CATEGORICAL] = -1
    rows[1, 4] = -1
    rows[2, 4] = 35
    rows[3, :] = numpy.nan
    rows[4, 4] = 39
    return rows


def show(value, feature):
    if numpy.isnan(value):
        return None
    if feature in CATEGORICAL:
        return "?" if value < 0 else int(value)
    return f"{value.view(numpy.uint32):08x}"


def bits(values, kind):
    width = numpy.dtype(kind).itemsize * 2
    return [f"{bits:0{width}x}" for bits in numpy.asarray(values, dtype=kind).view(f"u{width // 2}")]


def write_case(folder, name, model, content, tests, raw, probability, kind):
    (folder / model).write_bytes(content)
    case = {
        "model": model,
        "schema": {"format": 1, "features": FEATURES},
        "rows": [[show(value, feature) for feature, value in enumerate(row)] for row in tests],
        "raw": bits(raw, kind),
        "probability": bits(probability, kind),
    }
    text = json.dumps(case, separators=(",", ":")).replace('],"', '],\n"') + "\n"
    (folder / f"{name}.case.json").write_text(text)


def write_lightgbm(folder, name, rows, labels, tests, rounds, **changes):
    parameters = {
        "objective": "binary", "num_leaves": 15, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1, "seed": 7,
        "deterministic": True, "force_row_wise": True, "min_data_per_group": 5, "cat_smooth": 2, "learning_rate": 0.2,
        **changes,
    }  # fmt: skip
    data = lightgbm.Dataset(rows, labels, categorical_feature=CATEGORICAL, params=parameters)
    booster = lightgbm.train(parameters, data, rounds)
    text = booster.model_to_string().split("\nparameters:")[0] + "\n"
    again = lightgbm.Booster(model_str=text)
    raw, probability = again.predict(tests, raw_score=True, num_threads=1), again.predict(tests, num_threads=1)
    write_case(folder, name, f"{name}.txt", text.encode(), tests, raw, probability, "f8")
    return text


def write_xgboost(folder, name, rows, labels, tests, rounds, format="json", **changes):
    parameters = {
        "objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": 7, "max_cat_to_onehot": 4, **changes,
    }  # fmt: skip
    types = ["c" if feature in CATEGORICAL else "q" for feature in range(len(FEATURES))]
    matrix = lambda x, y=None: xgboost.DMatrix(x, y, feature_types=types, enable_categorical=True, nthread=1)
    booster = xgboost.train(parameters, matrix(rows, labels), rounds)
    content = bytes(booster.save_raw(format))
    data = matrix(tests)
    raw, probability = booster.predict(data, output_margin=True), booster.predict(data)
    if parameters["objective"] == "reg:squarederror":
        probability = numpy.clip(raw, numpy.float32(0), numpy.float32(1))
    write_case(folder, name, f"{name}.{format}", content, tests, raw, probability, "f4")
    return content.decode() if format == "json" else ""


FOREST = {
    "objective": "reg:squarederror", "base_score": 0, "lambda": 0, "eta": 1, "colsample_bynode": 0.5, "subsample": 0.632,
}  # fmt: skip


def write_small(folder):
    generator = numpy.random.default_rng(20)
    rows = make_rows(generator, 600)
    labels = make_labels(generator, rows)
    tests = make_tests(generator, 48)
    common = (folder, rows, labels, tests)
    lgb = lambda name, rounds, **changes: write_lightgbm(folder, name, rows, labels, tests, rounds, **changes)
    xgb = lambda name, rounds, **changes: write_xgboost(folder, name, rows, labels, tests, rounds, **changes)

    text = lgb("lightgbm", 10)
    assert "threshold=inf" in text or " inf" in text, "no split of missing against the rest"
    assert "cat_threshold=" in text
    lgb("lightgbm-no-missing", 6, use_missing=False)
    lgb("lightgbm-zero-missing", 6, zero_as_missing=True)
    lgb("lightgbm-one-leaf", 2, min_data_in_leaf=500)
    lgb("lightgbm-one-tree", 1, sigmoid=0.7)
    lgb("lightgbm-deep", 3, num_leaves=60, min_data_in_leaf=1, min_sum_hessian_in_leaf=0, max_cat_to_onehot=1)
    lgb("lightgbm-dart", 9, boosting="dart", drop_rate=0.5, num_leaves=4)

    text = xgb("xgboost", 10)
    assert '"categories":[' in text and '"categories_nodes":[]' not in text.split('"id":1,')[0]
    xgb("xgboost-ubjson", 9, format="ubj", base_score=0.2)
    xgb("xgboost-one-leaf", 2, gamma=1e6)
    xgb("xgboost-one-tree", 1, base_score=1e-7, max_depth=2)
    xgb("xgboost-deep", 2, max_depth=16, min_child_weight=0, grow_policy="lossguide", max_leaves=50)
    xgb("forest", 1, num_parallel_tree=10, max_depth=5, **FOREST)


def write_large(folder):
    generator = numpy.random.default_rng(21)
    rows = make_rows(generator, 20_000)
    labels = make_labels(generator, rows)
    tests = make_tests(generator, 10_000)
    for trees in [100, 500]:
        write_lightgbm(folder, f"lightgbm-{trees}", rows, labels, tests, trees, max_depth=6, num_leaves=63)
        write_xgboost(folder, f"xgboost-{trees}", rows, labels, tests, trees, max_depth=6)
        write_xgboost(folder, f"forest-{trees}", rows, labels, tests, 1, num_parallel_tree=trees, max_depth=12, **FOREST)


if __name__ == "__main__":
    *options, folder = sys.argv[1:]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (write_large if options == ["--large"] else write_small)(folder)
