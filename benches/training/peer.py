#!/usr/bin/env python3
"""The Python side of a pair: reads the tables, and for each line of input fits the named family with its usual library.

    peer.py FOLDER ROWS

Answers each line with a line of JSON: wall-clock and processor seconds, the area under the ROC curve on the rows of
FOLDER/test.*, and the peak memory so far in MiB. Each fit uses one thread, as in the trainer.
"""

import json
import re
import sys
import time
from pathlib import Path

import lightgbm
import numpy as np
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

COLUMNS = 28


def read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    labels = np.fromfile(folder / f"{name}.u8", dtype=np.uint8)
    values = np.fromfile(folder / f"{name}.f32", dtype=np.float32).reshape(COLUMNS, len(labels))
    return np.ascontiguousarray(values.T), labels


def logistic(x, y):
    # The same preparation of numeric columns as in the trainer.
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression())
    return model.fit(x, y)


def forest(x, y):
    # As in the trainer: 100 trees, at most 12 deep, the square root of the number of features for each split.
    return RandomForestClassifier(100, max_depth=12, max_features="sqrt", random_state=7, n_jobs=1).fit(x, y)


def boosted_by_xgboost(x, y):
    return xgboost.XGBClassifier(n_estimators=100, tree_method="hist", random_state=7, n_jobs=1).fit(x, y)


def boosted_by_lightgbm(x, y):
    return lightgbm.LGBMClassifier(n_estimators=100, random_state=7, n_jobs=1, verbose=-1).fit(x, y)


FITS = {
    "LogisticRegression": logistic,
    "RandomForest": forest,
    "XGBoost": boosted_by_xgboost,
    "LightGBM": boosted_by_lightgbm,
}


def peak_memory() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


def main() -> None:
    folder, rows = Path(sys.argv[1]), sys.argv[2]
    x, y = read(folder, rows)
    x_test, y_test = read(folder, "test")
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        model = FITS[line.strip()](x, y)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        auc = roc_auc_score(y_test, model.predict_proba(x_test)[:, 1])
        print(json.dumps({"wall": wall, "cpu": cpu, "auc": auc, "peak": peak_memory()}), flush=True)


main()
