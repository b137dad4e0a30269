"""What MLflow's own client reads of a version that the ledger published.

  compare_mlflow.py BUNDLE TO    with MLFLOW_TRACKING_URI; the bundle as it is downloaded is left in TO
"""

import filecmp
import json
import sys
from pathlib import Path

import mlflow
from mlflow import MlflowClient

bundle, to = Path(sys.argv[1]), Path(sys.argv[2])
client = MlflowClient()
registered = [model for model in client.search_registered_models() if model.latest_versions]
assert registered, "no model is registered"
name, version = registered[0].name, registered[0].latest_versions[0]
assert version.tags["modelward.bundle"].startswith("sha256:"), version.tags

# The files of models:/NAME/VERSION are those of the bundle, byte for byte.
downloaded = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}", dst_path=str(to)))
files = sorted(path.name for path in bundle.iterdir() if path.name != "manifest.json")
match, mismatch, errors = filecmp.cmpfiles(bundle, downloaded, files, shallow=False)
assert sorted(match) == files, f"differ: {mismatch}, missing: {errors}"

metrics = json.loads((bundle / "metrics.json").read_text())
parent = client.get_run(version.run_id)
assert parent.info.status == "FINISHED", parent.info.status
assert parent.data.params["modelward.family"] == metrics["selected"]
children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{version.run_id}'")
assert len(children) == len(metrics["candidates"]), len(children)
points = 0
for candidate in metrics["candidates"]:
    run = next(run for run in children if run.data.tags["modelward.family"] == candidate["family"])
    for metric in candidate["metrics"]:
        assert run.data.metrics[metric["name"]] == metric["mean"], metric
    for metric in ("F1", "RocAuc"):
        history = {point.step: point.value for point in client.get_metric_history(run.info.run_id, f"{metric}_fold")}
        folds = max(fold["fold"] for fold in candidate["folds"]) + 1
        expected = {fold["repeat"] * folds + fold["fold"]: fold["metrics"][metric] for fold in candidate["folds"]}
        assert history == expected, metric
        points += len(history)
print(f"mlflow: {len(files)} files of models:/{name}/{version.version}, {len(children)} candidates, {points} metrics of folds: equal")
