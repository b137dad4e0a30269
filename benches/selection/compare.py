#!/usr/bin/env python3
"""Compares the trainer's selection with FLAML and with default models on real tables: the area under the ROC curve on unseen rows, at
equal processor time.

    compare.py TRAINER OUT [--seconds 20] [--folds 5] [--jobs 2] [--tables 3] [--only NAME...]

For each table and each of its stratified folds the trainer searches for --seconds on one thread. FLAML gets the processor time that this
took. Prints the tables as Markdown and the progress to standard error, and writes the figures to OUT as JSON. Each finished split is saved
next to OUT, so that an interrupted run continues with the missing splits if trainer, seconds and folds are the same.
"""

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from tables import all_tables, employment

PEER = Path(__file__).with_name("peer.py")
SEED = 7
# Maximum difference of the mean over all tables below that of FLAML.
MEAN_BAR = 0.005
# Maximum number of standard errors below the best default model on any table.
ERRORS_BAR = 2.0

SPEC = """apiVersion: modelward.io/v1alpha1
kind: ModelVersion
metadata: {{name: bench-1}}
spec:
  model: bench
  source:
    training:
      dataset: {{configMap: {{name: rows, key: rows.csv}}}}
      target: {{column: target, positiveWhen: {{equals: "1"}}}}
      families: [LogisticRegression, RandomForest, XGBoost, LightGBM]
      validation: {{folds: 5, repeats: 1, seed: 7}}
      search: {{trials: 1000, seed: 1, timeLimitSeconds: {seconds}}}
      selectBy: RocAuc
  serving: {{access: Open}}
"""


def run(command: list, out: Path | None = None) -> float:
    """Runs a command and returns the processor seconds that it took."""
    with open(out or os.devnull, "w") as stdout, tempfile.TemporaryFile("w+") as stderr:
        environment = {**os.environ, "RUST_LOG": "warn", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        child = subprocess.Popen(list(map(str, command)), stdout=stdout, stderr=stderr, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            stderr.seek(0)
            raise SystemExit(f"{command[0]} {command[1]} ended with {child.returncode}:\n{stderr.read()[-4000:]}")
    return usage.ru_utime + usage.ru_stime


def compare_split(arguments, train, test) -> dict:
    """Areas under the curve of all models on the rows of `test`, and their processor seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, (features, classes) in (("train.csv", train), ("test.csv", test)):
            features.assign(target=classes).to_csv(folder / file, index=False)
        spec, bundle = folder / "spec.yaml", folder / "bundle"
        spec.write_text(SPEC.format(seconds=arguments.seconds))
        fit = [arguments.trainer, "fit", "--threads", "1", "--spec", spec]
        seconds = run([*fit, "--source", folder / "train.csv", "--out", bundle])
        scored = [arguments.trainer, "score", "--bundle", bundle, "--spec", spec, "--csv", folder / "test.csv"]
        run(scored, folder / "scores")
        lines = [json.loads(line) for line in (folder / "scores").read_text().splitlines()]
        ours = [line["probability"] for line in lines]
        files = [folder / "train.csv", folder / "test.csv"]
        theirs = run([sys.executable, PEER, "flaml", *files, folder / "flaml", seconds])
        run([sys.executable, PEER, "defaults", *files, folder / "defaults"])
        flaml = json.loads((folder / "flaml").read_text())
        areas = {name: roc_auc_score(test[1], scores) for name, scores in json.loads((folder / "defaults").read_text()).items()}
        metrics = json.loads((bundle / "metrics.json").read_text())
        return {
            "ours": roc_auc_score(test[1], ours),
            "flaml": roc_auc_score(test[1], flaml["flaml"]),
            "defaults": areas,
            "seconds": seconds,
            "flamlSeconds": theirs,
            "trials": len(metrics["trials"]),
            "family": metrics["selected"],
        }


class Kept:
    """The finished splits, one line of JSON each, in a file for this trainer and these seconds and folds."""

    def __init__(self, arguments):
        trainer = hashlib.sha256(Path(arguments.trainer).read_bytes()).hexdigest()[:12]
        self.file = arguments.out.with_suffix(f".{trainer}-{arguments.seconds}-{arguments.folds}.jsonl")
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.splits = {(line["table"], line["fold"]): line["split"] for line in map(json.loads, lines)}
        self.lock = threading.Lock()

    def compare(self, arguments, name: str, fold: int, train, test) -> dict:
        if (name, fold) not in self.splits:
            split = compare_split(arguments, train, test)
            with self.lock, open(self.file, "a") as file:
                file.write(json.dumps({"table": name, "fold": fold, "split": split}) + "\n")
            return split
        return self.splits[name, fold]


def summarize(name: str, rows: int, columns: int, splits: list[dict]) -> dict:
    """The means over the folds of a table, and the difference from the best default model in corrected standard errors."""
    mean = lambda values: float(np.mean(list(values)))
    defaults = {family: mean(split["defaults"][family] for split in splits) for family in splits[0]["defaults"]}
    best = max(defaults, key=defaults.get)
    differences = np.array([split["ours"] - split["defaults"][best] for split in splits])
    # Nadeau and Bengio (2003): folds share most of their training rows.
    count = len(splits)
    error = math.sqrt((1 / count + 1 / (count - 1)) * differences.var(ddof=1)) if count > 1 else math.nan
    return {
        "table": name,
        "rows": rows,
        "columns": columns,
        "ours": mean(split["ours"] for split in splits),
        "flaml": mean(split["flaml"] for split in splits),
        "best": best,
        "bestDefault": defaults[best],
        # The variance cannot be estimated from one split.
        "errors": float(differences.mean() / error) if error > 0 else None,
        "seconds": mean(split["seconds"] for split in splits),
        "flamlSeconds": mean(split["flamlSeconds"] for split in splits),
        "trials": mean(split["trials"] for split in splits),
        "families": [split["family"] for split in splits],
    }


def main() -> bool:
    parser = argparse.ArgumentParser()
    parser.add_argument("trainer")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--tables", type=int, help="compare only this many tables")
    parser.add_argument("--only", nargs="*", help="compare only these tables")
    arguments = parser.parse_args()
    chosen = [table for table in all_tables() if not arguments.only or table[0] in arguments.only][: arguments.tables]
    tasks = []
    shapes = {}
    for name, read in chosen:
        features, classes = read()
        shapes[name] = features.shape
        folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=SEED).split(features, classes)
        for fold, (train, test) in enumerate(folds):
            tasks.append((name, fold, *((features.iloc[rows], classes.iloc[rows]) for rows in (train, test))))
    if not arguments.only and arguments.tables is None:
        tasks.append(("nannyml/employment", 0, *employment()))
        shapes["nannyml/employment"] = tasks[-1][2][0].shape
    kept = Kept(arguments)
    # Saved splits come first, for the estimate of the remaining time. The last tasks should not be the longest ones.
    tasks.sort(key=lambda task: (task[:2] not in kept.splits, -task[2][0].size))
    there = sum(task[:2] in kept.splits for task in tasks)
    begun, found = time.monotonic(), {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        splits = pool.map(lambda task: kept.compare(arguments, *task), tasks)
        for done, (task, split) in enumerate(zip(tasks, splits), start=1):
            found.setdefault(task[0], []).append(split)
            if done > there:
                left = (time.monotonic() - begun) / (done - there) * (len(tasks) - done)
                print(f"{done} of {len(tasks)} splits, {task[0]}; about {left / 60:.0f} min left", file=sys.stderr)
    return report(arguments, [summarize(name, *shapes[name], found[name]) for name in shapes])


def report(arguments, tables: list[dict]) -> bool:
    """Prints and saves the figures. Returns whether both bars are met."""
    print("| table | rows | columns | ours | FLAML | best default | | standard errors | CPU s | FLAML's | trials |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for of in tables:
        print(
            f"| {of['table']} | {of['rows']} | {of['columns']} | {of['ours']:.4f} | {of['flaml']:.4f} | {of['bestDefault']:.4f} | {of['best']} | "
            f"{show_errors(of)} | {of['seconds']:.1f} | {of['flamlSeconds']:.1f} | {of['trials']:.0f} |"
        )
    difference = float(np.mean([of["ours"] - of["flaml"] for of in tables]))
    compared = [of for of in tables if of["errors"] is not None]
    worst = min(compared, key=lambda of: of["errors"], default=None)
    met = lambda holds: "met" if holds else "not met"
    bars = [difference >= -MEAN_BAR]
    print(f"\nMean over {len(tables)} tables: ours minus FLAML {difference:+.4f}, bar {-MEAN_BAR}: {met(bars[0])}")
    if worst is not None:
        bars.append(worst["errors"] >= -ERRORS_BAR)
        print(
            f"The most standard errors below the best default model, of {len(compared)} tables: {show_errors(worst)} ({worst['table']}), "
            f"bar {-ERRORS_BAR:.0f}: {met(bars[1])}"
        )
    arguments.out.write_text(json.dumps({"seconds": arguments.seconds, "difference": difference, "tables": tables}, indent=1))
    return all(bars)


def show_errors(of: dict) -> str:
    return "-" if of["errors"] is None else f"{of['errors']:+.1f}"


if not main():
    sys.exit(1)
