#!/usr/bin/env python3
"""Logs models to an MLflow server as people do, imports each by its alias, and compares the scores of the bundle with those of the library.
Models that are Python objects have to be refused by the name of their flavor. A bundle that Modelward published comes back with its digest.

    compare_registry.py TRAINER REPOSITORY FOLDER [BUNDLE REGISTERED]
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

COLUMNS = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num".split()


class Constant(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[float], params=None) -> list[float]:
        return [0.5] * len(model_input)


def run_import(trainer, name, folder, sample=None):
    """The registered model `name` by its alias; the sample is a file."""
    artifact = {"mlflow": {"uri": os.environ["MLFLOW_TRACKING_URI"], "model": name, "alias": "champion"}}
    command = [trainer, "import", "--spec", folder / f"{name}.json", "--out", folder / name]
    if sample is not None:
        artifact["sample"] = {"dataset": {"configMap": {"name": "heart", "key": "sample.csv"}}, "target": {"column": "label"}}
        sample.to_csv(folder / f"{name}.csv", index=False)
        command += ["--sample", folder / f"{name}.csv"]
    spec = {"model": "heart", "source": {"artifact": artifact}, "serving": {"access": "Open"}}
    version = {"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "heart-1"}, "spec": spec}
    (folder / f"{name}.json").write_text(json.dumps(version))
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"RUST_LOG": "error", "NO_COLOR": "1"})


def main(trainer, repository, folder, bundle=None, registered=None):
    folder.mkdir(parents=True, exist_ok=True)
    client = MlflowClient()
    data = pd.read_csv(repository / "manifests/samples/heart-disease/cleveland.csv", header=None, names=COLUMNS, na_values="?")
    label = (data.pop("num").astype(float) > 0).astype(int)
    data = data.astype(np.float32)
    half = np.arange(len(data)) % 2 == 0

    def log(name, flavor, model):
        with mlflow.start_run() as run:
            flavor.log_model(model, name="model", registered_model_name=name)
        version = max(client.search_model_versions(f"name='{name}'"), key=lambda found: int(found.version))
        client.set_registered_model_alias(name, "champion", version.version)
        return version.version, run.info.run_id

    boosters = {
        "lightgbm": lightgbm.train({"verbose": -1, "objective": "binary", "num_threads": 1}, lightgbm.Dataset(data, label), 30),
        "xgboost": xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, xgboost.DMatrix(data, label), 30),
    }
    for name, booster in boosters.items():
        version, run = log(name, getattr(mlflow, name), booster)
        expected = booster.predict(xgboost.DMatrix(data) if name == "xgboost" else data)
        ended = run_import(trainer, name, folder, data[half].assign(label=label[half], expected=expected[half]))
        assert ended.returncode == 0, ended.stderr
        report = json.loads(ended.stdout)
        assert report["mlflow"]["version"] == version, report
        assert report["mlflow"].get("run") in (run, None), report
        data[~half].to_csv(folder / "rows.csv", index=False)
        lines = subprocess.run([trainer, "score", "--bundle", folder / name, "--csv", folder / "rows.csv"], check=True, capture_output=True, text=True)
        found = np.array([json.loads(line)["probability"] for line in lines.stdout.splitlines()])
        distance = np.abs(found - expected[~half]).max()
        assert distance <= 6e-8, distance
        print(f"{name}: {report['format']} of version {version}, {len(found)} rows scored, largest difference {distance:.1e}")

    # A classifier of scikit-learn's interface is saved as its booster.
    classifier = xgboost.XGBClassifier(n_estimators=10, max_depth=3, n_jobs=1).fit(data, label)
    log("xgb-classifier", mlflow.xgboost, classifier)
    expected = classifier.predict_proba(data)[:, 1]
    ended = run_import(trainer, "xgb-classifier", folder, data[half].assign(label=label[half], expected=expected[half]))
    assert ended.returncode == 0, ended.stderr

    filled = data.fillna(0)
    sample = data[half].assign(label=label[half], expected=0.5)
    refused = [
        ("sklearn", mlflow.sklearn, LogisticRegression(max_iter=10).fit(filled, label), "has the flavor sklearn, which is a file of Python objects"),
        ("classifier", mlflow.lightgbm, lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(data, label), "model.booster_"),
    ]
    for name, flavor, model, words in refused:
        log(name, flavor, model)
        ended = run_import(trainer, name, folder, sample)
        assert ended.returncode == 2 and words in ended.stderr and not (folder / name).exists(), ended
        print(f"{name}: {ended.stderr.strip().splitlines()[-1].split(': ', 1)[-1][:150]}")
    with mlflow.start_run():
        mlflow.pyfunc.log_model(python_model=Constant(), name="model", registered_model_name="pyfunc")
    client.set_registered_model_alias("pyfunc", "champion", "1")
    ended = run_import(trainer, "pyfunc", folder, sample)
    assert ended.returncode == 2 and "has the flavor python_function, which is Python code" in ended.stderr, ended

    client.create_registered_model("empty")
    for name in ["empty", "absent"]:
        ended = run_import(trainer, name, folder, sample)
        assert ended.returncode == 1 and f"the alias champion of the registered model {name}" in ended.stderr, ended

    if bundle is not None:
        version = max(client.search_model_versions(f"name='{registered}'"), key=lambda found: int(found.version))
        client.set_registered_model_alias(str(registered), "champion", version.version)
        ended = run_import(trainer, registered, folder)
        assert ended.returncode == 0, ended.stderr
        assert (folder / registered / "manifest.json").read_bytes() == (bundle / "manifest.json").read_bytes()
        print(f"{registered}: a bundle that was published, {json.loads(ended.stdout)['digest']} again")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    trainer, repository, folder, *rest = sys.argv[1:]
    published = (Path(rest[0]).resolve(), rest[1]) if rest else ()
    main(Path(trainer).resolve(), Path(repository).resolve(), Path(folder).resolve(), *published)
