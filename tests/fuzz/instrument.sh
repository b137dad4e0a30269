#!/usr/bin/env bash
# rustc for the crates of this workspace, with the counters that libFuzzer steers by (RUSTC_WORKSPACE_WRAPPER of tests/fuzz.sh).
# They are what cargo-fuzz sets, but for the sanitizer, which needs a nightly compiler.
set -Eeuo pipefail
exec "$@" \
  -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
