#!/usr/bin/env bash
# `make bench-selection`: compares the trainer's selection with FLAML and with default models, on real tables from packages. Creates the
# Python environment, builds the trainer for release and prints the tables. The figures go to bench-selection.json in the build directory.
#
#   selection.sh forest-bins
#   selection.sh [--seconds 20] [--folds 5] [--jobs 2] [--only NAME...]
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../hack/cluster/lib.sh"
# shellcheck source=hack/python/environment.sh
source "$HERE/../hack/python/environment.sh"
cd "$REPOSITORY"

"$HERE/../hack/engines/fetch.sh"
make_environment "$CACHE/venv/selection" "$HERE/selection/requirements.txt" "$HERE/selection/requirements-tables.txt"
if [ "${1:-}" = forest-bins ]; then exec "$CACHE/venv/selection/bin/python" "$HERE/selection/forest_bins.py"; fi
cargo_counted bench-build build --locked --release -p modelward-trainer
exec "$CACHE/venv/selection/bin/python" "$HERE/selection/compare.py" "$CARGO_TARGET_DIR/release/modelward-trainer" \
  "$CARGO_TARGET_DIR/bench-selection.json" "$@"
