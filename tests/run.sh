#!/usr/bin/env bash
# Everything that must hold on each change. README's second command.
#
#   run.sh            all parts, in the order in which they fail fastest
#   run.sh PART…      these parts alone: rust lints crates python charts scripts story
#
# What it needs it installs, outside the checkout where that is possible. It leaves no cluster and no process behind.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/cluster/lib.sh"
cd "$REPOSITORY"

# A cluster of its own, so that a demo that runs on this machine is left alone.
export MODELWARD_CLUSTER=${MODELWARD_TEST_CLUSTER:-modelward-test}
export MODELWARD_CLUSTER_ON=${MODELWARD_CLUSTER_ON:-bare}

part_rust() { # toolchain and packages, before anything is timed as a test
  need_rust
  need_packages gcc:gcc make:make musl-gcc:musl-tools openssl:openssl python3:python3 jq:jq curl:curl shellcheck:shellcheck
  [ -n "$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null)" ] || need_packages /usr/lib/postgresql:postgresql
  "$HERE/cluster/cluster.sh" tools
}

part_lints() {
  cargo fmt --all --check
  cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
  cargo run --locked --quiet -p modelward-crds --bin crdgen -- --check
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
  # Its build takes longer than all lints together: a machine that has it uses it, and .github/workflows/ci.yml always does.
  if command -v cargo-deny >/dev/null; then cargo deny --log-level error --locked check bans licenses sources; fi
}

# Unit tests, and tests against a real kube-apiserver and a real PostgreSQL.
part_crates() {
  cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$LOGS/crates.log" | grep -E '^(     Running|   Doc-tests|test result|failures:|error|test .*FAILED)|panicked' || true
  ! grep -qE '^test result: FAILED|^error' "$LOGS/crates.log" || {
    grep -E '^---- |panicked|FAILED' -A 12 "$LOGS/crates.log" | head -200
    die "tests failed; the whole output is in $LOGS/crates.log"
  }
}

part_python() { "$HERE/python/compare.sh"; }

part_charts() { "$HERE/cluster/charts.sh" lint; }

part_scripts() {
  # shellcheck disable=SC2046
  shellcheck -x $(git ls-files '*.sh')
}

# The programs as images on a cluster of their own.
part_story() {
  local failed=0
  "$HERE/cluster/images.sh" build operator inference trainer postgres tests
  "$HERE/cluster/cluster.sh" up
  eval "$("$HERE/cluster/cluster.sh" env)"
  "$HERE/cluster/images.sh" load operator inference trainer postgres tests
  "$HERE/cluster/charts.sh" dry-run || failed=1
  [ $failed = 1 ] || "$HERE/story.sh" || failed=1
  "$HERE/cluster/cluster.sh" down
  [ $failed = 0 ] || die "the story failed"
}

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(rust lints scripts crates python charts story)
for part in "${parts[@]}"; do
  declare -F "part_$part" >/dev/null || die "no such part: $part (rust lints scripts crates python charts story)"
  step "$part" "part_$part"
done

passed=$(awk '/^test result/ { sum += $4 } END { print sum + 0 }' "$LOGS/crates.log" 2>/dev/null || echo 0)
step_table
printf '\ntests by layer: %s of the crates, %s of the story\n' "$passed" "$(cat "$LOGS/story.count" 2>/dev/null || echo 0)"
