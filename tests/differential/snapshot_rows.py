"""The rows of a snapshot as the libraries take them, and what the trainer and the libraries answer to them."""

import json
import subprocess
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow.parquet as parquet
import xgboost


def read_columns(snapshot: Path, schema: dict) -> np.ndarray:
    table = parquet.read_table(snapshot / "data.parquet")
    columns = []
    for feature in schema["features"]:
        values = table.column(feature["name"]).to_pylist()
        if feature["kind"] == "Categorical":
            places = {category: place for place, category in enumerate(feature["categories"])}
            values = [None if value is None else places[value] for value in values]
        columns.append(np.array([np.nan if value is None else value for value in values], dtype=np.float32))
    return np.column_stack(columns)


def write_rows(x: np.ndarray, schema: dict) -> str:
    def value(feature: dict, number: np.float32):
        if np.isnan(number):
            return None
        return feature["categories"][int(number)] if feature["kind"] == "Categorical" else float(number)

    rows = [{f["name"]: value(f, number) for f, number in zip(schema["features"], row)} for row in x]
    return json.dumps(rows)


def score_by_trainer(trainer: str, bundle: Path, schema: dict, x: np.ndarray) -> np.ndarray:
    command = [trainer, "score", "--bundle", bundle, "--rows", "-"]
    scored = subprocess.run(command, input=write_rows(x, schema), stdout=subprocess.PIPE, text=True, check=True)
    return np.array([json.loads(line)["probability"] for line in scored.stdout.splitlines()])


def score_by_library(lightgbm_file: Path, xgboost_file: Path, schema: dict, x: np.ndarray) -> np.ndarray:
    """By the model of LightGBM, or where there is none by that of XGBoost."""
    if lightgbm_file.exists():
        return lightgbm.Booster(model_file=lightgbm_file).predict(x)
    kinds = ["c" if feature["kind"] == "Categorical" else "float" for feature in schema["features"]]
    booster = xgboost.Booster(model_file=xgboost_file)
    margins = booster.predict(xgboost.DMatrix(x, feature_types=kinds, enable_categorical=True))
    return np.clip(margins.astype(np.float64), 0, 1)
