#!/usr/bin/env python3
"""Trains models in Python on the sample data, imports each with a sample of half of the rows, and compares the scores and classes of the
bundle on the other half with those of the library.

    compare_import.py TRAINER REPOSITORY FOLDER

Raw scores of LightGBM and XGBoost are compared bit for bit by the import itself; probabilities here within one unit in the last place
of a 32-bit float, those of scikit-learn within 1e-6. An XGBoost model that came as UBJSON is read again from its bundle by XGBoost.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from skl2onnx import to_onnx
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

COLUMNS = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num".split()


def import_model(trainer, model, sample, out):
    sample.to_csv(out.with_suffix(".csv"), index=False)
    command = [trainer, "import", "--model", model, "--sample", out.with_suffix(".csv"), "--name", "heart", "--target", "label", "--out", out]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def score(trainer, bundle, rows, folder):
    path = folder / "rows.csv"
    rows.to_csv(path, index=False)
    lines = subprocess.run([trainer, "score", "--bundle", bundle, "--csv", path], check=True, capture_output=True, text=True).stdout
    answers = [json.loads(line) for line in lines.splitlines()]
    return np.array([answer["probability"] for answer in answers]), np.array([answer["class"] for answer in answers])


def check(name, report, found, classes, expected, within):
    distance = np.abs(found - expected).max()
    assert distance <= within, f"{name}: {distance}"
    # From 0.5 on the class is 1 here, above it in the libraries.
    clear = np.abs(expected - 0.5) > within
    assert (classes == (expected > 0.5))[clear].all(), name
    print(f"{name:34} {report['format']:16} {report['compared']['rows']} rows compared, {len(found)} scored, largest difference {distance:.1e}")


def main(trainer, repository, folder):
    folder.mkdir(parents=True, exist_ok=True)
    data = pd.read_csv(repository / "manifests/samples/heart-disease/cleveland.csv", header=None, names=COLUMNS, na_values="?")
    label = (data.pop("num").astype(float) > 0).astype(int)
    data = data.astype(np.float32)
    half = np.arange(len(data)) % 2 == 0

    def sample(frame, expected, raw=None):
        given = frame[half].assign(label=label[half], expected=expected[half])
        return given if raw is None else given.assign(expected_raw=raw[half])

    words = data.assign(thal=data.thal.map({3.0: "normal", 6.0: "fixed", 7.0: "reversable"}).astype("category"))
    booster = lightgbm.train(
        {"verbose": -1, "objective": "binary", "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5},
        lightgbm.Dataset(words, label),
        40,
    )
    booster.save_model(folder / "lightgbm.txt")
    expected, raw = booster.predict(words), booster.predict(words, raw_score=True)
    report = import_model(trainer, folder / "lightgbm.txt", sample(words, expected, raw), folder / "lightgbm")
    check("LightGBM with words", report, *score(trainer, folder / "lightgbm", words[~half], folder), expected[~half], 6e-8)

    matrix = xgboost.DMatrix(data, label)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, matrix, 30)
    expected, raw = booster.predict(matrix), booster.predict(matrix, output_margin=True)
    for ending in ["json", "ubj"]:
        model, out = folder / f"xgboost.{ending}", folder / f"xgboost-{ending}"
        booster.save_model(model)
        report = import_model(trainer, model, sample(data, expected, raw), out)
        check(f"XGBoost .{ending}", report, *score(trainer, out, data[~half], folder), expected[~half], 6e-8)
        again = xgboost.Booster(model_file=out / "xgboost.json").predict(matrix, output_margin=True)
        assert (again == raw).all(), ending

    filled = data.fillna(data.median())
    seed = {"random_state": 3}
    for model, frame in [
        (RandomForestClassifier(100, max_depth=8, **seed), filled),
        (ExtraTreesClassifier(100, max_depth=8, **seed), filled),
        (DecisionTreeClassifier(max_depth=5, **seed), filled),
        (GradientBoostingClassifier(**seed), filled),
        (HistGradientBoostingClassifier(max_iter=50, **seed), data),
        (make_pipeline(StandardScaler(), LogisticRegression()), filled),
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression()), data),
    ]:
        numbers = frame.to_numpy()
        model.fit(numbers, label)
        name = "-".join(step.__class__.__name__ for _, step in model.steps) if hasattr(model, "steps") else model.__class__.__name__
        path, out = folder / f"{name}.onnx", folder / name
        path.write_bytes(to_onnx(model, numbers[:1]).SerializeToString())
        expected = model.predict_proba(numbers)[:, 1]
        report = import_model(trainer, path, sample(frame, expected), out)
        check(name, report, *score(trainer, out, frame[~half], folder), expected[~half], 1e-6)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
