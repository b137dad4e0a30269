#!/usr/bin/env python3
"""Runs the examples of trainers of one's own on the sample data, has the trainer measure what they leave, and computes every metric again.

    compare_custom.py TRAINER REPOSITORY FOLDER

`train.py` of examples/custom-trainer trains with LightGBM, one process. Of the TrainJob, the launcher's server and two nodes run as processes,
by the command that the TrainJob has; the calls of the API server are left out.
"""

import csv
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, matthews_corrcoef, roc_auc_score


def run(command, **environment):
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=os.environ | environment)
    assert ended.returncode == 0, f"{command}: {ended.stdout} {ended.stderr}"
    return ended.stdout


def prepare(trainer, spec, source, folder):
    run([trainer, "prepare", "--spec", spec, "--source", source, "--out", folder / "input"])
    (folder / "output").mkdir()
    return folder / "input", folder / "output"


def measure(trainer, spec, source, folder):
    """The bundle of what an image left, with its metrics computed again from the scores of the held-out rows."""
    bundle = folder / "bundle"
    result = json.loads(run([trainer, "fit", "--spec", spec, "--source", source, "--trained", folder / "output", "--out", bundle]))
    metrics = json.loads((bundle / "metrics.json").read_text())
    with open(bundle / "out-of-fold.csv", newline="") as file:
        scored = [line for line in csv.DictReader(file) if line["score"]]
    [candidate] = metrics["candidates"]
    values = {}
    for fold in candidate["folds"]:
        of_fold = [line for line in scored if int(line["fold"]) == fold["fold"]]
        labels = np.array([int(line["label"]) for line in of_fold])
        scores = np.array([float(line["score"]) for line in of_fold])
        classes = scores >= fold["threshold"]
        expected = {
            "RocAuc": roc_auc_score(labels, scores),
            "PrAuc": average_precision_score(labels, scores),
            "LogLoss": log_loss(labels, scores),
            "Brier": brier_score_loss(labels, scores),
            "F1": f1_score(labels, classes),
            "Mcc": matthews_corrcoef(labels, classes),
        }
        for name, value in expected.items():
            assert abs(value - fold["metrics"][name]) < 1e-9, (name, value, fold["metrics"][name])
            values.setdefault(name, []).append(value)
    for metric in candidate["metrics"]:
        if metric["name"] in values:
            of = np.array(values[metric["name"]])
            assert abs(of.mean() - metric["mean"]) < 1e-9
            assert abs(of.std(ddof=1) / np.sqrt(len(of)) - metric["standardError"]) < 1e-9, "parts share no rows"
    print(f"{result['message']}: {len(scored)} rows and {len(values)} metrics as in scikit-learn")
    return bundle, scored


def compare_lightgbm(trainer, repository, spec, source, folder):
    received, left = prepare(trainer, spec, source, folder)
    arguments = re.search(r"args: (\[.*\])", spec.read_text()).group(1)
    environment = {
        "MODELWARD_CONTRACT": str(received / "contract.json"),
        "MODELWARD_TRAIN_FILE": str(received / "train.csv"),
        "MODELWARD_OUTPUT_DIR": str(left),
    }
    run([sys.executable, repository / "examples/custom-trainer/train.py", *json.loads(arguments)], **environment)
    bundle, scored = measure(trainer, spec, source, folder)
    assert json.loads((bundle / "bundle.json").read_text())["customTrainer"]["comparedRows"] > 200
    # The model of the bundle gives the held-out rows the scores of Python's library.
    contract = json.loads((received / "contract.json").read_text())
    columns = re.search(r"columns: \[(.*)\]", spec.read_text()).group(1).split(", ")
    lines = [dict(zip(columns, line.split(","))) for line in source.read_text().splitlines()]

    def value(feature, cell):
        if cell == "?":
            return np.nan
        # As the trainer reads codes: 1.0 is 1.
        return feature["categories"].index(f"{float(cell):g}") if "categories" in feature else float(cell)

    rows = [[value(feature, lines[int(line["row"]) - 1][feature["name"]]) for feature in contract["features"]] for line in scored]
    expected = lightgbm.Booster(model_file=left / "model.txt").predict(np.array(rows, dtype=np.float32))
    distance = np.abs(expected - np.array([float(line["score"]) for line in scored])).max()
    assert distance < 1e-7, distance


def compare_nodes(trainer, repository, spec, source, folder):
    received, left = prepare(trainer, spec, source, folder)
    place = importlib.util.spec_from_file_location("launch", repository / "examples/custom-trainer/trainjob/launch.py")
    launch = importlib.util.module_from_spec(place)
    place.loader.exec_module(launch)
    os.environ["LAUNCHER_ADDRESS"] = "127.0.0.1"
    url, done = launch.serve(received / "contract.json", received / "train.csv", left, "secret")
    job = launch.train_job("heart", url, {"nodes": "2", "rounds": "60", "runtime": "xgboost-distributed"})
    program = job["spec"]["trainer"]["command"][1:] + job["spec"]["trainer"]["args"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = []
    for rank in range(job["spec"]["trainer"]["numNodes"]):
        environment = {
            "DMLC_TASK_ID": str(rank),
            "DMLC_NUM_WORKER": "2",
            "DMLC_TRACKER_URI": "127.0.0.1",
            "DMLC_TRACKER_PORT": str(port),
            "no_proxy": "*",
        }
        nodes.append(subprocess.Popen([sys.executable, *program], env=os.environ | environment))
    try:
        assert [node.wait(300) for node in nodes] == [0, 0]
    finally:
        for node in nodes:
            node.kill()
    assert done.wait(10), "no model came"
    measure(trainer, spec, source, folder)


def main():
    trainer, repository, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    samples = repository / "manifests/samples"
    source = samples / "heart-disease/cleveland.csv"
    for name in ("one", "nodes"):
        (folder / name).mkdir(parents=True)
    compare_lightgbm(trainer, repository, samples / "heart-custom.yaml", source, folder / "one")
    # The trainer reads the version alone, the last document of the sample.
    version = folder / "trainjob.yaml"
    version.write_text((samples / "heart-trainjob.yaml").read_text().split("\n---\n")[-1])
    compare_nodes(trainer, repository, version, source, folder / "nodes")


main()
