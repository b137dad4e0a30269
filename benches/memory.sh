#!/usr/bin/env bash
# `make bench-memory`: the peak memory of the trainer on a generated table. Builds the trainer for release and prints a table.
#
#   memory.sh [--rows 1000000] [--families LightGBM,XGBoost] [--limit-mib 8192]
#
# 10,000,000 rows take 5 GB of disk and an hour.
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../hack/cluster/lib.sh"
cd "$REPOSITORY"

"$HERE/../hack/engines/fetch.sh"
"$HERE/../tests/differential/compare.sh" fetch
cargo_counted bench-build build --locked --release -p modelward-trainer
FOLDER=$(mktemp -d)
at_exit rm -rf "$FOLDER"
"$CACHE/venv/sklearn/bin/python" "$HERE/memory/measure.py" "$CARGO_TARGET_DIR/release/modelward-trainer" "$FOLDER" "$@"
