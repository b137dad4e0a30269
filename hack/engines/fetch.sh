#!/usr/bin/env bash
# Downloads the C++ libraries that the trainer loads, from wheels with hashes that are pinned in engines.lock. Nothing is compiled.
#
#   fetch.sh          into $MODELWARD_ENGINES, the cache by default
#   fetch.sh DIR      into this folder
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../cluster/lib.sh"
TO=${1:-$MODELWARD_ENGINES}
FILES=(xgboost/lib/libxgboost.so xgboost_cpu.libs lightgbm/lib/lib_lightgbm.so)

# The folder is complete if its copy of the lock file is the same. Otherwise it is created again.
! cmp -s "$HERE/engines.lock" "$TO/.lock" || exit 0
need_python
# The wheel of LightGBM uses the system's OpenMP. It is installed with gcc and may be missing on a machine without gcc.
need_packages /usr/lib/"$(uname -m)"-linux-gnu/libgomp.so.1:libgomp1
WORK=$(mktemp -d)
at_exit rm -rf "$WORK"
say "XGBoost and LightGBM in $TO: $(sed -n 's/^\([a-z-]*==[0-9.]*\).*/\1/p' "$HERE/engines.lock" | paste -sd' ')"
# A machine may have Python without pip.
quietly venv python3 -m venv "$WORK/venv"
quietly engines retried "$WORK/venv/bin/pip" download --disable-pip-version-check --progress-bar off --no-deps --only-binary :all: \
  --require-hashes -r "$HERE/engines.lock" -d "$WORK/wheels"
for wheel in "$WORK"/wheels/*.whl; do
  python3 -m zipfile -e "$wheel" "$WORK/unpacked"
done
mkdir -p "$TO"
for file in "${FILES[@]}"; do
  rm -rf "${TO:?}/$file"
  mkdir -p "$(dirname "$TO/$file")"
  cp -r "$WORK/unpacked/$file" "$TO/$file"
done
chmod -R a+rX "$TO"
cp "$HERE/engines.lock" "$TO/.lock"
