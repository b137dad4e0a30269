#!/usr/bin/env python3
"""Trains the model of this folder, on the Cleveland data: model.txt, as LightGBM saves it, and sample.csv, its rows with the class and the
probability that the model gives them.

    train.py            writes both files
    train.py --check    fails where they are not what it would write

Needs lightgbm and numpy, of the versions in tests/differential/requirements.txt.
"""

import sys
from pathlib import Path

import lightgbm
import numpy as np

HERE = Path(__file__).parent
DATA = HERE.parent / "heart-disease" / "cleveland.csv"
FEATURES = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"]
PARAMETERS = {
    "objective": "binary",
    "num_leaves": 8,
    "learning_rate": 0.2,
    "min_data_in_leaf": 10,
    "seed": 7,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
ROUNDS = 20


def make_files() -> dict[str, str]:
    lines = [line.split(",") for line in DATA.read_text().splitlines()]
    cells = [["" if cell == "?" else cell for cell in line] for line in lines]
    values = np.array([[float(cell or "nan") for cell in line] for line in cells])
    # The model is served with single precision.
    x, y = values[:, :-1].astype(np.float32), (values[:, -1] > 0).astype(int)
    booster = lightgbm.train(PARAMETERS, lightgbm.Dataset(x, y, feature_name=FEATURES), ROUNDS)
    expected = booster.predict(x)
    rows = [",".join([*line[:-1], str(label), repr(float(score))]) for line, label, score in zip(cells, y, expected)]
    sample = "\n".join([",".join([*FEATURES, "label", "expected"]), *rows]) + "\n"
    return {"model.txt": booster.model_to_string(), "sample.csv": sample}


def main() -> None:
    for name, text in make_files().items():
        file = HERE / name
        if sys.argv[1:] != ["--check"]:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            raise SystemExit(f"{file} is not what train.py makes: run it without --check")


main()
