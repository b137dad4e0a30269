#!/usr/bin/env python3
"""Trains a LightGBM model for Modelward: reads the files of the contract and writes one model file.

The arguments are hyper-parameters of LightGBM: --rounds=60 --num_leaves=15. They cannot set the objective, the seed, the number of threads or
the options that make training deterministic. See docs/custom-trainer.md.
"""

import csv
import json
import os
import re
import sys
from pathlib import Path

import lightgbm
import numpy as np

TERMINATION_LOG = Path("/dev/termination-log")


def read_settings(arguments):
    """Returns the hyper-parameters by name."""
    for argument in arguments:
        if not re.fullmatch("--[a-z0-9_]+=.*", argument, re.DOTALL):
            raise ValueError(f"{argument} is not a hyper-parameter; write --NAME=VALUE")
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def read_table(path, contract):
    """Returns the features as float32, with categories as their indices in the contract and missing values as NaN, and the classes."""
    codes = [{word: code for code, word in enumerate(feature["categories"])} if "categories" in feature else None for feature in contract["features"]]
    rows, classes = [], []
    with open(path, newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            cells = [line[feature["name"]] for feature in contract["features"]]
            rows.append([np.nan if cell == "" else code[cell] if code else float(cell) for cell, code in zip(cells, codes)])
            classes.append(int(line[contract["target"]]))
    return np.array(rows, dtype=np.float32), np.array(classes)


def main():
    contract = json.loads(Path(os.environ["MODELWARD_CONTRACT"]).read_text(encoding="utf-8"))
    out = Path(os.environ["MODELWARD_OUTPUT_DIR"])
    settings = read_settings(sys.argv[1:])
    rounds = int(settings.pop("rounds", 100))
    rows, classes = read_table(os.environ["MODELWARD_TRAIN_FILE"], contract)
    names = [feature["name"] for feature in contract["features"]]
    categorical = [at for at, feature in enumerate(contract["features"]) if "categories" in feature]
    data = lightgbm.Dataset(rows, classes, feature_name=names, categorical_feature=categorical)
    threads = int(os.environ.get("MODELWARD_THREADS", "1"))
    fixed = {"objective": "binary", "verbosity": -1, "deterministic": True, "force_row_wise": True, "num_threads": threads, "seed": contract["seed"]}
    booster = lightgbm.train(settings | fixed, data, num_boost_round=rounds)
    booster.save_model(out / "model.txt")
    # Optional: Modelward compares these scores with the ones that it computes.
    scores = booster.predict(rows)
    (out / "scores.csv").write_text("expected\n" + "".join(f"{score!r}\n" for score in scores.tolist()), encoding="utf-8")


try:
    main()
except Exception as error:
    # The condition of the version shows this message. Kubernetes mounts the file; without a cluster it does not exist.
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(json.dumps({"message": f"{type(error).__name__}: {error}"}))
    raise
