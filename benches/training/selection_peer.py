#!/usr/bin/env python3
"""The trainer's selection, written with scikit-learn, xgboost and lightgbm: the same trials on the same folds, early stopping after 30
rounds, the best trial fitted on all rows and saved.

    selection_peer.py CSV BUNDLE OUT PROCESSES

BUNDLE is the bundle of the trainer, with the trials and the fold of each row. OUT gets the area under the ROC curve of the best trial of
each family and the seconds of its fits. Fits run in parallel in PROCESSES processes, one thread each.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow.csv
import xgboost
from joblib import Parallel, delayed
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score, log_loss, matthews_corrcoef, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS = 5
ROUNDS = 1000
PATIENCE = 30
SEED = 7


def logistic(parameters, train, tested):
    model = LogisticRegression(C=parameters["c"], max_iter=1000)
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), model).fit(*train)


def forest(parameters, train, tested):
    share = parameters["colsample_bynode"]
    model = RandomForestClassifier(
        parameters["n_estimators"],
        max_depth=parameters["max_depth"],
        max_features=share if share == "sqrt" else float(share),
        min_samples_leaf=max(1, round(float(parameters["min_child_weight"]))),
        random_state=SEED,
        n_jobs=1,
    )
    return model.fit(*train)


def boosted_by_xgboost(parameters, train, tested):
    given = {name: value for name, value in parameters.items() if name != "n_estimators"}
    watched = tested is not None
    model = xgboost.XGBClassifier(
        **given,
        n_estimators=ROUNDS if watched else parameters["n_estimators"],
        early_stopping_rounds=PATIENCE if watched else None,
        eval_metric="logloss",
        tree_method="hist",
        random_state=SEED,
        n_jobs=1,
    )
    return model.fit(*train, eval_set=[tested] if watched else None, verbose=False)


def boosted_by_lightgbm(parameters, train, tested):
    given = {name: value for name, value in parameters.items() if name != "n_estimators"}
    if given.get("bagging_fraction", 1.0) != 1.0:
        given["bagging_freq"] = 1
    watched = tested is not None
    model = lightgbm.LGBMClassifier(
        **given,
        n_estimators=ROUNDS if watched else parameters["n_estimators"],
        random_state=SEED,
        n_jobs=1,
        verbose=-1,
    )
    callbacks = [lightgbm.early_stopping(PATIENCE, verbose=False)] if watched else None
    return model.fit(*train, eval_set=[tested] if watched else None, callbacks=callbacks)


FITS = {
    "LogisticRegression": logistic,
    "RandomForest": forest,
    "XGBoost": boosted_by_xgboost,
    "LightGBM": boosted_by_lightgbm,
}


def evaluate(x, y, trial, train, tested):
    begun = time.perf_counter()
    model = FITS[trial["family"]](trial["parameters"], (x[train], y[train]), (x[tested], y[tested]))
    scores = model.predict_proba(x[tested])[:, 1]
    classes = scores >= 0.5
    metrics = {
        "RocAuc": roc_auc_score(y[tested], scores),
        "F1": f1_score(y[tested], classes),
        "Mcc": matthews_corrcoef(y[tested], classes),
        "LogLoss": log_loss(y[tested], scores),
        "Brier": brier_score_loss(y[tested], scores),
    }
    return trial["number"], metrics, time.perf_counter() - begun


def read_folds(bundle: Path, rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The training rows and the test rows of each fold of the first repeat."""
    scores = pyarrow.csv.read_csv(bundle / "out-of-fold.csv")
    is_first = scores.column("repeat").to_numpy() == 0
    fold_of = np.empty(rows, dtype=int)
    fold_of[scores.column("row").to_numpy()[is_first] - 1] = scores.column("fold").to_numpy()[is_first]
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(FOLDS)]


def main() -> None:
    csv, bundle, out, processes = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    table = pyarrow.csv.read_csv(csv)
    y = table.column("target").to_numpy().astype(np.int8)
    features = [name for name in table.column_names if name != "target"]
    x = np.column_stack([table.column(name).to_numpy().astype(np.float32) for name in features])
    trials = json.loads((bundle / "metrics.json").read_text())["trials"]
    folds = read_folds(bundle, len(y))
    tasks = [(trial, *folds[fold]) for trial in trials for fold in range(trial["folds"])]
    # LightGBM's wrapper warns about its own arguments in every fit. The processes inherit this.
    os.environ["PYTHONWARNINGS"] = "ignore"
    warnings.filterwarnings("ignore")
    found = Parallel(n_jobs=processes)(delayed(evaluate)(x, y, *task) for task in tasks)
    by_number: dict[int, list] = {}
    seconds = dict.fromkeys(FITS, 0.0)
    family_of = {trial["number"]: trial["family"] for trial in trials}
    for number, metrics, taken in found:
        by_number.setdefault(number, []).append(metrics["RocAuc"])
        seconds[family_of[number]] += taken
    complete = {number: float(np.mean(aucs)) for number, aucs in by_number.items() if len(aucs) == FOLDS}
    best = {family: max(auc for number, auc in complete.items() if family_of[number] == family) for family in FITS}
    winner = next(trial for trial in trials if trial["number"] == max(complete, key=complete.get))
    model = FITS[winner["family"]](winner["parameters"], (x, y), None)
    model.predict_proba(x)
    out.write_text(json.dumps({"auc": best, "seconds": seconds}))


main()
