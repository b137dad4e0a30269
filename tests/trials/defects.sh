#!/usr/bin/env bash
# Seeds defects into a copy of the repository, one after another, and expects the trials to find each of them: a judge that
# finds nothing wrong with a wrong operator proves nothing about a right one.
#
#   defects.sh            every patch in defects/
#   defects.sh PATCH…     these alone
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$HERE/../.." && pwd)
# Always the same place, so that what was built there before is used again.
COPY=${MODELWARD_CACHE:-$HOME/.cache/modelward}/defects
# A build folder of its own: cargo knows what it built by paths within a workspace and by times, and would take what it made
# of a defect for what it makes of the repository itself.
export CARGO_TARGET_DIR=${MODELWARD_CACHE:-$HOME/.cache/modelward}/defects-target

patches=("$@")
[ ${#patches[@]} -gt 0 ] || patches=("$HERE"/defects/*.patch)

mkdir -p "$COPY"
exec 9> "$COPY.lock"
flock 9
cd "$REPOSITORY"
# Files that did not change keep their times, and so what was built from them; the others are new now, whenever they were written.
git ls-files --cached --others --exclude-standard -z | while IFS= read -r -d '' file; do
  if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done > "$COPY.files"
(cd "$COPY" && find . -type f -not -path './target/*' -print0 | sed -z 's|^\./||' | LC_ALL=C sort -z) |
  LC_ALL=C comm -z -23 - <(LC_ALL=C sort -z "$COPY.files") | (cd "$COPY" && xargs -0 -r rm -f)
while IFS= read -r -d '' file; do
  cmp -s "$file" "$COPY/$file" || { mkdir -p "$COPY/$(dirname "$file")" && cp --preserve=mode "$file" "$COPY/$file"; }
done < "$COPY.files"

caught=0
for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch)
  (cd "$COPY" && patch --quiet --forward -p1 < "$patch") || { echo "$name does not apply to this state of the repository" >&2; exit 1; }
  undo() { (cd "$COPY" && patch --quiet --reverse -p1 < "$patch"); }
  trap undo EXIT
  echo "seeded: $name"
  (cd "$COPY" && cargo build --locked --quiet -p modelward-trials --bin trials)
  "$CARGO_TARGET_DIR/debug/trials" --story approved --site 'POST modelversions' --expect-violations > "$COPY.log" 2>&1 || {
    tail -n 20 "$COPY.log" >&2
    echo "$name was not found by the trials" >&2
    exit 1
  }
  grep -hE '^ +I[0-9]' "$COPY.log" | sed -E 's/-[0-9a-f]{8}\b/-…/g; s/sha256:[0-9a-f]+/sha256:…/g' | cut -c1-180 | sort -u | head -n 4
  tail -n 1 "$COPY.log"
  trap - EXIT
  undo
  caught=$((caught + 1))
done
echo "$caught of ${#patches[@]} seeded defects were found"
