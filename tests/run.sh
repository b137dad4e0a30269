#!/usr/bin/env bash
# Everything that must hold on each change. README's second command.
#
#   run.sh            all parts, in the order in which they fail fastest
#   run.sh PART…      these parts alone: fetch lints scripts crates python charts story
#
# What it needs it installs, outside the checkout where that is possible. It leaves no cluster and no process behind.
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/../hack/cluster/lib.sh"
cd "$REPOSITORY"

# A cluster of its own, so that a demo that runs on this machine is left alone.
export MODELWARD_CLUSTER=${MODELWARD_TEST_CLUSTER:-modelward-test}
export MODELWARD_CLUSTER_ON=${MODELWARD_CLUSTER_ON:-bare}

part_fetch() { # everything that comes from elsewhere, and the tools that are built from it, before anything is timed as a test
  "$HERE/fetch.sh" test
  "$HERE/../hack/cluster/cluster.sh" tools
}

part_lints() {
  cargo fmt --all --check
  # A test with `test = false` is no part of all targets.
  cargo_counted clippy clippy --workspace --all-targets --test restored --locked -- -D warnings
  cargo_counted crdgen build --locked -p modelward-crds --bin crdgen
  "$CARGO_TARGET_DIR/debug/crdgen" --check
  RUSTDOCFLAGS="-D warnings" cargo_counted doc doc --workspace --no-deps --locked
  # Its build takes longer than all lints together: a machine that has it uses it, and .github/workflows/ci.yml always does.
  if command -v cargo-deny >/dev/null; then cargo deny --log-level error --locked check bans licenses sources; fi
  if command -v cargo-machete >/dev/null; then cargo machete; fi
}

# Unit tests, and tests against a real kube-apiserver and a real PostgreSQL.
part_crates() {
  local code=0 log=$LOGS/crates.log junit=target/nextest/default/junit.xml
  rm -f "$junit"
  # Of the tests that passed, each fiftieth: what is left is about those that did not.
  "$HERE/nextest.sh" --color never 2>&1 | tee "$log" | awk '/^ +PASS \[/ && ++passed % 50 { next } { print; fflush() }' || code=$?
  if [ -s "$junit" ]; then
    cp "$junit" "$LOGS/crates.xml"
    slowest_tests "$junit" 10
  fi
  # nextest runs none of these.
  cargo test --doc --workspace --locked --no-fail-fast 2>&1 | tee -a "$log" |
    { grep -E '^(   Doc-tests|test result|failures:|error|test .*FAILED)|panicked' || true; } || code=$?
  [ $code = 0 ] || die "tests failed; the whole output is in $log"
}

slowest_tests() { # JUNIT COUNT
  python3 - "$@" <<'P'
import sys
import xml.etree.ElementTree as xml

tests = [(float(test.get("time")), test.get("classname"), test.get("name")) for test in xml.parse(sys.argv[1]).iter("testcase")]
print(f"\n{'seconds':>9}  slowest tests")
for seconds, binary, name in sorted(tests, reverse=True)[: int(sys.argv[2])]:
    print(f"{seconds:9.1f}  {binary} {name}")
P
}

# How many tests passed, by nextest's summary and by the results of the doctests.
tests_passed() { # LOG
  awk '/^ +Summary \[/ && match($0, /[0-9]+ passed/) { sum += substr($0, RSTART, RLENGTH) } /^test result/ { sum += $4 } END { print sum + 0 }' "$1"
}

part_python() { "$HERE/differential/compare.sh"; }

part_charts() { "$HERE/../hack/cluster/charts.sh" lint; }

part_scripts() { "$HERE/scripts.sh"; }

# The programs as images on a cluster of their own, which begins empty and ends with this script.
part_story() {
  local environment
  "$HERE/../hack/cluster/images.sh" build operator inference trainer postgres load
  "$HERE/nextest.sh" build
  "$HERE/../hack/cluster/cluster.sh" down
  at_exit "$HERE/../hack/cluster/cluster.sh" down
  "$HERE/../hack/cluster/cluster.sh" up
  environment=$("$HERE/../hack/cluster/cluster.sh" env)
  eval "$environment"
  "$HERE/../hack/cluster/images.sh" load operator inference trainer postgres load
  "$HERE/../hack/cluster/charts.sh" dry-run
  "$HERE/install.sh"
  stories
}

# The stories of tests/e2e, on the cluster that is up.
stories() {
  local code=0 log=$LOGS/stories.log junit=target/nextest/cluster/junit.xml
  rm -f "$junit"
  "$HERE/nextest.sh" stories --color never 2>&1 | tee "$log" || code=$?
  if [ -s "$junit" ]; then cp "$junit" "$LOGS/stories.xml"; fi
  [ $code = 0 ] || die "stories failed; the whole output is in $log"
}

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(fetch lints scripts crates python charts story)
for part in "${parts[@]}"; do
  declare -F "part_$part" >/dev/null || die "no such part: $part (fetch lints scripts crates python charts story)"
  step "$part" "part_$part"
done

step_table
if [[ " ${parts[*]} " == *" crates "* ]]; then
  printf '\ntests of the crates: %s passed' "$(tests_passed "$LOGS/crates.log")"
fi
if [[ " ${parts[*]} " == *" story "* ]]; then printf '\nstories: %s hold' "$(tests_passed "$LOGS/stories.log")"; fi
echo
