"""One node of the TrainJob, in the image of the runtime xgboost-distributed. It trains on its share of the rows; node 0 sends the model back.

Kubeflow Trainer sets the DMLC variables. Arguments: the URL of the launcher, the number of rounds and the number of nodes of the TrainJob.
"""

import csv
import io
import json
import os
import socket
import sys
import urllib.request

import numpy as np
import xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

url, rounds, nodes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rank, workers = int(os.environ["DMLC_TASK_ID"]), int(os.environ["DMLC_NUM_WORKER"])
host, port = os.environ["DMLC_TRACKER_URI"], int(os.environ["DMLC_TRACKER_PORT"])
if workers != nodes:
    # The tracker would wait forever for the other workers.
    sys.exit(
        f"Kubeflow Trainer expects {workers} workers on {nodes} nodes, one for each GPU, and this program runs one worker per node; "
        "use a runtime whose nodes have one GPU or none"
    )
# Do not use a proxy that the runtime configures.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(name):
    with opener.open(f"{url}/{name}", timeout=600) as answer:
        return answer.read().decode()


contract = json.loads(fetch("contract.json"))
features = contract["features"]
codes = [{word: code for code, word in enumerate(feature["categories"])} if "categories" in feature else None for feature in features]
share = [line for at, line in enumerate(csv.DictReader(io.StringIO(fetch("train.csv")))) if at % nodes == rank]
values = [[np.nan if line[f["name"]] == "" else code[line[f["name"]]] if code else float(line[f["name"]]) for f, code in zip(features, codes)] for line in share]
classes = [int(line[contract["target"]]) for line in share]

tracker = None
if rank == 0:
    own = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)[0][4][0]
    tracker = RabitTracker(host_ip="::" if ":" in own else "0.0.0.0", n_workers=nodes, port=port)
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
        opener.open(request, timeout=600)
if tracker is not None:
    tracker.wait_for()
