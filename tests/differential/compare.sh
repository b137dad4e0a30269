#!/usr/bin/env bash
# Trains on the sample data and compares every metric, score and coefficient with scikit-learn's, and how a second model was
# compared with the first with NumPy's bootstrap. Fits declared transforms with scikit-learn's. Scores the members of ensembles in their libraries. Evaluates expectations, and compares
# every field with Great Expectations'. Reads Parquet files that pyarrow wrote, and compares their snapshots with that of the CSV file.
# Imports models that Python trained, and compares their scores. Runs the examples of custom trainers, and computes their metrics again. Publishes a version to an MLflow server, and compares what MLflow's
# client reads; imports models that were logged to that server.
#
#   compare.sh            builds the trainer, makes the Python environments if needed, compares
#   compare.sh fetch      makes the Python environments alone
#   TRAINER=PATH          uses this trainer instead of building one
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../../hack/cluster/lib.sh"
# shellcheck source=hack/python/environment.sh
source "$HERE/../../hack/python/environment.sh"
VENV=$CACHE/venv/sklearn
VENV_EXPECTATIONS=$CACHE/venv/expectations
VENV_MLFLOW=$CACHE/venv/mlflow
VENV_ONNX=$CACHE/venv/onnx

make_environment "$VENV" "$HERE/requirements.txt"
make_environment "$VENV_EXPECTATIONS" "$HERE/requirements-expectations.txt"
make_environment "$VENV_MLFLOW" "$HERE/requirements-mlflow.txt"
make_environment "$VENV_ONNX" "$HERE/requirements-onnx.txt"
[ "${1:-}" != fetch ] || exit 0

if [ -z "${TRAINER:-}" ]; then
  (cd "$REPOSITORY" && cargo_counted trainer build --locked -p modelward-trainer)
  TRAINER=$CARGO_TARGET_DIR/debug/modelward-trainer
fi

WORK=$(mktemp -d)
at_exit rm -rf "$WORK"

compare() { # NAME SPEC CSV
  echo "== $1"
  RUST_LOG=warn "$TRAINER" snapshot --spec "$2" --source "$3" --out "$WORK/$1/snapshot" >/dev/null
  RUST_LOG=warn "$TRAINER" fit --spec "$2" --snapshot-dir "$WORK/$1/snapshot" --out "$WORK/$1/bundle" >/dev/null
  "$VENV/bin/python" "$HERE/compare_sklearn.py" "$WORK/$1/snapshot" "$WORK/$1/bundle"
}

DATA=$REPOSITORY/manifests/samples/heart-disease
compare cleveland "$REPOSITORY/manifests/samples/heart-1.yaml" "$DATA/cleveland.csv"
# Missing values in most rows, categories that some folds never see, every code declared as a category.
compare hungarian "$HERE/hungarian.yaml" "$DATA/hungarian.csv"

echo "== parquet"
RUST_LOG=warn "$VENV/bin/python" "$HERE/compare_parquet.py" "$TRAINER" "$REPOSITORY/manifests/samples/heart-1.yaml" \
  "$DATA/cleveland.csv" "$WORK/cleveland/snapshot" "$WORK/parquet"

# Every kind of declared transform, fitted by scikit-learn.
echo "== transforms"
RUST_LOG=warn "$VENV/bin/python" "$HERE/compare_transforms.py" "$TRAINER" "$WORK/transforms"

# Each family of trees by itself, its model in the libraries of Python.
compare_trees() {
  echo "== trees"
  local family spec bundles=()
  for family in RandomForest XGBoost LightGBM; do
    spec=$WORK/$family.yaml
    sed "s/families: .*/families: [$family]/" "$REPOSITORY/manifests/samples/heart-1.yaml" >"$spec"
    RUST_LOG=warn "$TRAINER" fit --spec "$spec" --snapshot-dir "$WORK/cleveland/snapshot" --out "$WORK/$family" >/dev/null
    bundles+=("$WORK/$family")
  done
  "$VENV/bin/python" "$HERE/compare_trees.py" "$TRAINER" "$WORK/cleveland/snapshot" "${bundles[@]}"
}
compare_trees

# The vote of several families, each member in the library that fitted it.
compare_ensembles() {
  echo "== ensembles"
  local families spec bundles=()
  for families in LogisticRegression,RandomForest XGBoost,LightGBM; do
    spec=$WORK/ensemble-$families.yaml
    sed "s/families: .*/families: [${families/,/, }]\n      ensemble: {use: Always}\n      calibration: Platt/; s/selectBy: F1/selectBy: LogLoss/; s/repeats: 10/repeats: 2/" \
      "$REPOSITORY/manifests/samples/heart-1.yaml" >"$spec"
    RUST_LOG=warn "$TRAINER" fit --spec "$spec" --snapshot-dir "$WORK/cleveland/snapshot" --out "$WORK/ensemble-$families" >/dev/null
    bundles+=("$WORK/ensemble-$families")
  done
  "$VENV/bin/python" "$HERE/compare_ensemble.py" "$TRAINER" "$WORK/cleveland/snapshot" "${bundles[@]}"
}
compare_ensembles

# Models that Python trained, imported, and their scores on other rows.
echo "== import"
"$VENV/bin/python" "$REPOSITORY/manifests/samples/heart-model/train.py" --check
"$VENV_ONNX/bin/python" "$HERE/compare_import.py" "$TRAINER" "$REPOSITORY" "$WORK/import"

# The examples of trainers of one's own: what they leave, and the metrics that the trainer computes of it.
echo "== custom"
RUST_LOG=warn "$VENV/bin/python" "$HERE/compare_custom.py" "$TRAINER" "$REPOSITORY" "$WORK/custom"

# A name with every character that one of the libraries refuses: brackets, commas, quotation marks and backslashes.
compare_names() {
  echo "== names"
  local family spec at=$WORK/names bundles=()
  export NAME=$'\'age [in] <years>, "x": {1} \\\\ é 😀\''
  for family in RandomForest XGBoost LightGBM; do
    spec=$at-$family.yaml
    awk '{ at = index($0, "[age, ") } at { $0 = substr($0, 1, at) ENVIRON["NAME"] substr($0, at + 4) } { print }' "$WORK/$family.yaml" >"$spec"
    [ -d "$at" ] || RUST_LOG=warn "$TRAINER" snapshot --spec "$spec" --source "$DATA/cleveland.csv" --out "$at" >/dev/null
    RUST_LOG=warn "$TRAINER" fit --spec "$spec" --snapshot-dir "$at" --out "$at-$family" >/dev/null
    bundles+=("$at-$family")
  done
  "$VENV/bin/python" "$HERE/compare_trees.py" "$TRAINER" "$at" "${bundles[@]}"
}
compare_names

end_process() { # PID
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# A version that the ledger publishes to an MLflow server, as MLflow's own client reads it.
compare_mlflow() {
  echo "== mlflow"
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$VENV_MLFLOW/bin/mlflow" server --host 127.0.0.1 --port "$port" --workers 1 \
    --backend-store-uri "sqlite:///$WORK/mlflow.db" --artifacts-destination "$WORK/mlflow" >"$LOGS/mlflow.log" 2>&1 &
  at_exit end_process $!
  export MLFLOW_TRACKING_URI=http://127.0.0.1:$port
  curl --retry 120 --retry-delay 1 --retry-all-errors --noproxy '*' -sf -o /dev/null "$MLFLOW_TRACKING_URI/health" ||
    die "MLflow did not start: see $LOGS/mlflow.log"
  MODELWARD_MLFLOW_URI=$MLFLOW_TRACKING_URI MODELWARD_MLFLOW_BUNDLE=$WORK/XGBoost \
    "$HERE/../nextest.sh" -p modelward-ledger --run-ignored only -E 'test(mlflow::)'
  "$VENV_MLFLOW/bin/python" "$HERE/compare_mlflow.py" "$WORK/XGBoost" "$WORK/downloaded"
  local registered
  registered=$("$VENV_MLFLOW/bin/python" -c 'from mlflow import MlflowClient; print(MlflowClient().search_registered_models()[0].name)')
  "$VENV_MLFLOW/bin/python" "$HERE/compare_registry.py" "$TRAINER" "$REPOSITORY" "$WORK/registry" "$WORK/XGBoost" "$registered" 2>"$LOGS/registry.log" ||
    die "models were not imported from MLflow: see $LOGS/registry.log"
}


# The same suites by the trainer and by Great Expectations: the sample data, and files with missing values, dates, texts and duplicates.
# They run beside the publication to MLflow, which mostly waits for its next attempt.
begin_expectations() {
  "$VENV_EXPECTATIONS/bin/python" "$HERE/compare_expectations.py" "$TRAINER" "$REPOSITORY" "$WORK/expectations" >"$LOGS/expectations.log" 2>&1 &
  EXPECTATIONS_PID=$!
  at_exit end_process "$EXPECTATIONS_PID"
}

end_expectations() {
  local code=0
  echo "== expectations"
  wait "$EXPECTATIONS_PID" || code=$?
  cat "$LOGS/expectations.log"
  [ $code = 0 ] || die "expectations differ from Great Expectations'; the whole output is in $LOGS/expectations.log"
}
begin_expectations
compare_mlflow

# Both together, compared with the model of the first. Both models have this threshold if one is given.
compare_champion() { # METRIC [THRESHOLD]
  echo "== union, compared by $1${2:+, threshold $2}"
  local champion of=$WORK/cleveland/bundle at=$WORK/union-$1 spec change=""
  if [ $# = 2 ]; then
    of=$WORK/cleveland-threshold at=$at-threshold
    # Gates that pass: a failed one has another exit code.
    change="s/^      gates:/      threshold: $2\n&/; s/atLeast: \"0.75\"/atLeast: \"0\"/; s/notWorseThan: {/&margin: \"0.9\", /"
    sed "$change" "$REPOSITORY/manifests/samples/heart-1.yaml" >"$of.yaml"
    RUST_LOG=warn "$TRAINER" fit --spec "$of.yaml" --snapshot-dir "$WORK/cleveland/snapshot" --out "$of" >/dev/null
  fi
  spec=$at.yaml
  champion=$(sha256sum "$of/manifest.json" | cut -d' ' -f1)
  # The sample's own dataset again, under the name of the other file.
  awk -v champion="$champion" '
    /^  retraining:/ { exit }
    /^        csv:/ { csv = 1 }
    /^      target:/ {
      csv = 0
      print "      additionalDatasets:"
      print "        - name: hungarian"
      print "          dataset:"
      print "            configMap: {name: heart-disease, key: hungarian.csv}"
      printf "%s", kept
      print "      notWorseThan: {version: heart-1, bundle: \"sha256:" champion "\"}"
    }
    csv { kept = kept "    " $0 "\n" }
    { print }
  ' "$REPOSITORY/manifests/samples/heart-1.yaml" | sed "s/selectBy: F1/selectBy: $1/; $change" >"$spec"
  local sources=(--source "$DATA/cleveland.csv" --source "$DATA/hungarian.csv")
  RUST_LOG=warn "$TRAINER" snapshot --spec "$spec" "${sources[@]}" --out "$at/snapshot" >/dev/null
  RUST_LOG=warn "$TRAINER" fit --spec "$spec" --snapshot-dir "$at/snapshot" --champion "$of" --out "$at/bundle" >/dev/null
  "$VENV/bin/python" "$HERE/compare_champion.py" "$at/snapshot" "$at/bundle" "$of"
}
for metric in F1 RocAuc LogLoss; do
  compare_champion "$metric"
done
compare_champion F1 '{maximise: F1}'

end_expectations
