#!/usr/bin/env bash
# `make bench-training`: compares the trainer with Python's libraries. Builds both programs for release, creates the Python environment and
# prints the tables. The figures go to bench-training.json in the build directory.
#
#   training.sh [--pairs 10] [--rows 80000,800000] [--selection-rows 4000] [--only fits|selection|start] [--families XGBoost,LightGBM]
#
# Nothing else should run on the machine, because times are compared, even though they are compared in pairs.
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../hack/cluster/lib.sh"
cd "$REPOSITORY"

"$HERE/../hack/engines/fetch.sh"
"$HERE/../tests/differential/compare.sh" fetch
cargo_counted bench-build build --locked --release -p modelward-trainer -p modelward-benches --features modelward-benches/rivals
exec "$CARGO_TARGET_DIR/release/bench-training" --trainer "$CARGO_TARGET_DIR/release/modelward-trainer" \
  --python "$CACHE/venv/sklearn/bin/python" --output "$CARGO_TARGET_DIR/bench-training.json" "$@"
