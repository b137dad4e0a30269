#!/usr/bin/env bash
# Seeds defects into a copy of the repository, one after another, and expects the trials to find each of them. A judge that accepts
# a wrong operator would prove nothing about a correct one.
#
#   defects.sh            every patch in defects/
#   defects.sh PATCH…     these alone
#
# A patch names the test that must catch it in a line before its first file, with a filter that fits this test:
#   Caught by: cargo test -p CRATE --lib NAME
# A patch without such a line must be caught by the trials.
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../../hack/cluster/lib.sh"
# Always the same path, so that earlier builds are reused.
COPY=$CACHE/defects
# A separate target folder: cargo identifies builds by paths within a workspace and by times, and would mistake a build of a defect
# for one of the repository.
export CARGO_TARGET_DIR=$CACHE/defects-target

patches=("$@")
[ ${#patches[@]} -gt 0 ] || patches=("$HERE"/defects/*.patch)

mkdir -p "$COPY"
exec 9> "$COPY.lock"
flock -n 9 || {
  say "another run of the seeded defects is under way; waiting for it"
  flock 9
}
cd "$REPOSITORY"
# Unchanged files keep their times, so their builds stay valid. Changed files get the current time.
git ls-files --cached --others --exclude-standard -z | while IFS= read -r -d '' file; do
  if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done > "$COPY.files"
(cd "$COPY" && find . -type f -not -path './target/*' -print0 | sed -z 's|^\./||' | LC_ALL=C sort -z) |
  LC_ALL=C comm -z -23 - <(LC_ALL=C sort -z "$COPY.files") | (cd "$COPY" && xargs -0 -r rm -f)
while IFS= read -r -d '' file; do
  cmp -s "$file" "$COPY/$file" || { mkdir -p "$COPY/$(dirname "$file")" && cp --preserve=mode "$file" "$COPY/$file"; }
done < "$COPY.files"

# If this script ends early, the copying above undoes the patch at the next run.
undo() { (cd "$COPY" && patch --quiet --reverse -p1 < "$patch"); }

# The named test must fail. A failed build, or a filter that matches no test, does not count.
caught_by_test() {
  local words
  read -r -a words <<< "$1"
  [ "${words[*]:0:2}" = "cargo test" ] || die "$name: \"$1\" is not a cargo test"
  (cd "$COPY" && cargo_counted defects-build test --locked --no-run "${words[@]:2}")
  if (cd "$COPY" && cargo test --locked "${words[@]:2}") > "$COPY.log" 2>&1; then
    last_lines 20 "$COPY.log" >&2
    die "$name was not found by: $1"
  fi
  grep -E '^test .* FAILED$' "$COPY.log" || {
    last_lines 20 "$COPY.log" >&2
    die "$name: the command failed and no test of it did: $1"
  }
}

caught_by_trials() {
  (cd "$COPY" && cargo_counted defects-build build --locked -p modelward-trials --bin trials)
  "$CARGO_TARGET_DIR/debug/trials" --story approved --site 'POST modelversions' --expect-violations > "$COPY.log" 2>&1 || {
    last_lines 20 "$COPY.log" >&2
    die "$name was not found by the trials; the whole output is in $COPY.log"
  }
  grep -hE '^ +I[0-9]' "$COPY.log" | sed -E 's/-[0-9a-f]{8}\b/-…/g; s/sha256:[0-9a-f]+/sha256:…/g' | cut -c1-180 | sort -u | sed -n 1,4p
  tail -n 1 "$COPY.log"
}

caught=0
for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch)
  (cd "$COPY" && patch --quiet --forward -p1 < "$patch") || die "$name does not apply to this state of the repository"
  echo "seeded: $name"
  command=$(sed -n '/^--- /q; s/^Caught by: //p' "$patch")
  if [ -n "$command" ]; then caught_by_test "$command"; else caught_by_trials; fi
  undo
  caught=$((caught + 1))
done
echo "$caught of ${#patches[@]} seeded defects were found"
