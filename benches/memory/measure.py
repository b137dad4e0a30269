"""Peak memory and time of `modelward-trainer snapshot` and `fit` on a generated table of N rows x 30 columns.

usage: measure.py TRAINER FOLDER [--rows N] [--families A,B] [--limit-mib N]

Each command runs in its own process. Its peak is that of the kernel (ru_maxrss). If a peak is above the limit, the script exits with 1.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

FEW_ROUNDS = {
    "LogisticRegression": "{}",
    "RandomForest": "{randomForest: {nEstimators: 5, maxDepth: 8}}",
    "XGBoost": "{xgboost: {nEstimators: 5}}",
    "LightGBM": "{lightgbm: {nEstimators: 5}}",
}

SPEC = """\
apiVersion: modelward.io/v1alpha1
kind: ModelVersion
metadata: {{name: large-1}}
spec:
  model: large
  source:
    training:
      dataset: {{configMap: {{name: large, key: table}}}}
      target: {{column: y, positiveWhen: {{equals: "1"}}}}
      features:
        - {{name: flag, kind: Categorical}}
        - {{name: grade, kind: Categorical}}
      families: [{family}]
      hyperparameters: {parameters}
      validation: {{folds: 2, repeats: 1, seed: 7}}
      selectBy: LogLoss
      gates: [{{metric: RocAuc, atLeast: "0.5"}}]
  serving: {{replicas: {{min: 1, max: 1}}, access: Open}}
"""


def run(what: str, command: list[str]) -> int:
    """Runs a command and prints a line of the table. Returns its peak in MiB."""
    begun = time.monotonic()
    log = Path(command[-1]).with_suffix(".log")
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
    peak = usage.ru_maxrss // 1024
    print(f"| {what} | {peak:,} | {time.monotonic() - begun:,.0f} |", flush=True)
    return peak


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("trainer")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--families", default=",".join(FEW_ROUNDS))
    arguments.add_argument("--limit-mib", type=int, default=8192)
    given = arguments.parse_args()
    folder = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    table = Path(__file__).with_name("table.py")
    subprocess.run([sys.executable, table, str(given.rows), folder], check=True)

    peaks = []
    spec = folder / "spec.yaml"
    print(f"| {given.rows:,} rows x 30 | peak MiB | seconds |\n|---|---:|---:|")
    spec.write_text(SPEC.format(family="LightGBM", parameters="{}"))
    for ending in ["parquet", "csv"]:
        source = folder / f"{given.rows}.{ending}"
        size = source.stat().st_size >> 20
        command = [given.trainer, "snapshot", "--max-dataset-mib", "4095", "--spec", spec, "--source", source]
        what = f"snapshot of a {ending} file of {size:,} MiB"
        peaks.append(run(what, [*map(str, command), "--out", str(folder / "snapshot")]))
        source.unlink()
    for family in given.families.split(","):
        spec.write_text(SPEC.format(family=family, parameters=FEW_ROUNDS[family]))
        command = [given.trainer, "fit", "--threads", "2", "--spec", spec, "--snapshot-dir", folder / "snapshot"]
        peaks.append(run(f"fit of {family}", [*map(str, command), "--out", str(folder / "bundle")]))
    if max(peaks) > given.limit_mib:
        sys.exit(f"the peak of {max(peaks):,} MiB is above the limit of {given.limit_mib:,}")


if __name__ == "__main__":
    main()
