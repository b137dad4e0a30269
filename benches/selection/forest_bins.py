#!/usr/bin/env python3
"""Compares the trainer's random forest for several numbers of bins: the area under the ROC curve over five folds of each real table, and
the processor seconds of its fits. Prints the means as Markdown.
"""

import sys
import time

import numpy as np
import pandas as pd
import xgboost
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from tables import all_tables

BINS = (32, 64, 128, 256)
SEED = 7
# As in trainer/src/family/forest.rs.
PARAMETERS = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "base_score": 0,
    "reg_lambda": 0,
    "learning_rate": 1,
    "num_parallel_tree": 100,
    "max_depth": 12,
    "min_child_weight": 1,
    "subsample": 0.632,
    "nthread": 1,
    "seed": SEED,
}


def measure(features: pd.DataFrame, classes: np.ndarray, bins: int) -> tuple[float, float]:
    """The mean area over five folds, and the processor seconds."""
    areas, begun = [], time.process_time()
    parameters = {**PARAMETERS, "colsample_bynode": features.shape[1] ** -0.5, "max_bin": bins}
    for train, test in StratifiedKFold(5, shuffle=True, random_state=SEED).split(features, classes):
        rows = xgboost.QuantileDMatrix(features.iloc[train], classes[train], max_bin=bins, nthread=1, enable_categorical=True)
        model = xgboost.train(parameters, rows, 1)
        scores = model.predict(xgboost.DMatrix(features.iloc[test], enable_categorical=True))
        areas.append(roc_auc_score(classes[test], scores))
    return float(np.mean(areas)), time.process_time() - begun


def main() -> None:
    found = []
    for name, read in all_tables():
        features, classes = read()
        words = [column for column in features if not pd.api.types.is_numeric_dtype(features[column])]
        features = features.astype(dict.fromkeys(words, "category"))
        found.append([measure(features, np.asarray(classes).astype(int), bins) for bins in BINS])
        print(name, *(f"{area:.4f}" for area, _ in found[-1]), file=sys.stderr, flush=True)
    print("| bins | mean area | differs from 256 bins by | standard error | CPU s |\n|---|---|---|---|---|")
    areas, seconds = np.array(found)[..., 0], np.array(found)[..., 1]
    for place, bins in enumerate(BINS):
        less = areas[:, place] - areas[:, -1]
        error = less.std(ddof=1) / len(less) ** 0.5
        print(f"| {bins} | {areas[:, place].mean():.4f} | {less.mean():+.4f} | {error:.4f} | {seconds[:, place].sum():.1f} |")


main()
