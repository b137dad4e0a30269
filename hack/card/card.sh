#!/usr/bin/env bash
# The screenshot of a model card in docs/bundle.md: trains on the sample data and takes a screenshot of the page.
#
#   card.sh          writes docs/images/model-card.png
#   card.sh DIR      also keeps the bundle in this folder, which must not exist
#
# It needs the engines (hack/engines/fetch.sh), Chromium (CHROMIUM, `chromium` by default) and Python.
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../cluster/lib.sh"
cd "$REPOSITORY"
PICTURE=docs/images/model-card.png
WORK=$(mktemp -d)
LOG=$WORK/log
at_exit rm -rf "$WORK"
BUNDLE=${1:-$WORK/bundle}

cargo run --locked --quiet -p modelward-trainer --bin modelward-trainer -- fit --spec "$HERE/heart.yaml" \
  --source manifests/samples/heart-disease/cleveland.csv --out "$BUNDLE"
# Only the figures: the tables are text, which readers of the documentation do not need.
python3 - "$BUNDLE/model-card.html" "$WORK/figures.html" <<'PYTHON'
import sys

page = open(sys.argv[1], encoding="utf-8").read()
start = page.index("<h2>How well it predicts</h2>")
end = page.index("<h2>Inputs</h2>")
head = page[: page.index("<body>")]
open(sys.argv[2], "w", encoding="utf-8").write(f"{head}<body>{page[start:end]}</body></html>")
PYTHON
mkdir -p "$(dirname "$PICTURE")"
"${CHROMIUM:-chromium}" --headless --no-sandbox --disable-gpu --hide-scrollbars --disable-lcd-text --window-size=1000,1990 \
  --screenshot="$REPOSITORY/$PICTURE" "file://$WORK/figures.html" >"$LOG" 2>&1
say "$PICTURE: $(stat -c %s "$PICTURE") bytes"
