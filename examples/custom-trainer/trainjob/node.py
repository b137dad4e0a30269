"""One node of the TrainJob, in the image of the runtime xgboost-distributed: takes its share of the rows, and node 0 sends the model back.

Kubeflow Trainer sets the DMLC variables. Arguments: the address of the launcher, and the rounds.
"""

import csv
import io
import json
import os
import sys
import urllib.request

import numpy as np
import xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

url, rounds = sys.argv[1], int(sys.argv[2])
rank, nodes = int(os.environ["DMLC_TASK_ID"]), int(os.environ["DMLC_NUM_WORKER"])
host, port = os.environ["DMLC_TRACKER_URI"], int(os.environ["DMLC_TRACKER_PORT"])


def fetch(name):
    with urllib.request.urlopen(f"{url}/{name}", timeout=600) as answer:
        return answer.read().decode()


contract = json.loads(fetch("contract.json"))
features = contract["features"]
codes = [{word: code for code, word in enumerate(feature["categories"])} if "categories" in feature else None for feature in features]
share = [line for at, line in enumerate(csv.DictReader(io.StringIO(fetch("train.csv")))) if at % nodes == rank]
values = [[np.nan if line[f["name"]] == "" else code[line[f["name"]]] if code else float(line[f["name"]]) for f, code in zip(features, codes)] for line in share]
classes = [int(line[contract["target"]]) for line in share]

tracker = None
if rank == 0:
    tracker = RabitTracker(host_ip="0.0.0.0", n_workers=nodes, port=port)
    tracker.start()
with collective.CommunicatorContext(dmlc_tracker_uri=host, dmlc_tracker_port=port, dmlc_task_id=str(rank)):
    types = ["c" if code else "q" for code in codes]
    rows = xgboost.DMatrix(
        np.array(values, dtype=np.float32),
        np.array(classes),
        feature_names=[feature["name"] for feature in features],
        feature_types=types,
        enable_categorical=True,
    )
    booster = xgboost.train({"objective": "binary:logistic", "tree_method": "hist", "seed": contract["seed"]}, rows, num_boost_round=rounds)
    if collective.get_rank() == 0:
        request = urllib.request.Request(f"{url}/model", bytes(booster.save_raw("ubj")), method="PUT")
        urllib.request.urlopen(request, timeout=600)
if tracker is not None:
    tracker.wait_for()
