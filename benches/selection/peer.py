#!/usr/bin/env python3
"""The models that the selection is compared with. Each split has a process, which fits on TRAIN and writes the probabilities of TEST.

    peer.py flaml TRAIN TEST OUT SECONDS
    peer.py defaults TRAIN TEST OUT

`flaml` searches for SECONDS on one thread. `defaults` fits each family once with the default parameters of its library. Both files
are CSV with the class in `target`.
"""

import json
import sys
import warnings

import pandas as pd

warnings.filterwarnings("ignore")


def read(file: str) -> tuple[pd.DataFrame, pd.Series]:
    frame = pd.read_csv(file, keep_default_na=False, na_values=[""])
    return frame.drop(columns="target"), frame["target"]


def with_categories(train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Converts strings to the categories of the training rows. Others are missing."""
    for name in train.columns:
        if not pd.api.types.is_numeric_dtype(train[name]):
            train[name] = train[name].astype(str).astype("category")
            test[name] = pd.Categorical(test[name].astype(str), categories=train[name].cat.categories)


def search(train, classes, test, seconds: float) -> dict:
    from flaml import AutoML

    automl = AutoML()
    automl.fit(
        train,
        classes,
        task="classification",
        metric="roc_auc",
        time_budget=seconds,
        n_jobs=1,
        seed=7,
        verbose=0,
    )
    return {"flaml": automl.predict_proba(test)[:, 1].tolist(), "best": automl.best_estimator}


def fit_defaults(train, classes, test) -> dict:
    import lightgbm
    import xgboost
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoded = ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("texts", OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        ]
    )
    models = {
        "LogisticRegression": make_pipeline(encoded, LogisticRegression(max_iter=1000)),
        "RandomForest": make_pipeline(encoded, RandomForestClassifier(random_state=7, n_jobs=1)),
        "XGBoost": xgboost.XGBClassifier(tree_method="hist", enable_categorical=True, random_state=7, n_jobs=1),
        "LightGBM": lightgbm.LGBMClassifier(random_state=7, n_jobs=1, verbose=-1),
    }
    return {name: model.fit(train, classes).predict_proba(test)[:, 1].tolist() for name, model in models.items()}


def main() -> None:
    kind, train_file, test_file, out = sys.argv[1:5]
    train, classes = read(train_file)
    test, _ = read(test_file)
    with_categories(train, test)
    found = search(train, classes, test, float(sys.argv[5])) if kind == "flaml" else fit_defaults(train, classes, test)
    with open(out, "w") as file:
        json.dump(found, file)


main()
