#!/usr/bin/env bash
# Runs each reader of files under libFuzzer: no panic, no endless loop, no more memory than it may hold (tests/fuzz).
#
#   fuzz.sh            every target, FUZZ_SECONDS (60) each
#   fuzz.sh TARGET…    these alone
#
# What was found to be interesting is kept in the cache and is where the next run begins. An input that a reader fails on is kept too, and
# the command that repeats it is printed.
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../hack/cluster/lib.sh"
cd "$REPOSITORY"

SECONDS_EACH=${FUZZ_SECONDS:-60}
# Seconds that one input may take, and megabytes of the process: those of the readers by themselves are in tests/fuzz/src/target.
TIMEOUT=30
RSS=4096
CORPUS=$CACHE/fuzz
mkdir -p "$CORPUS/found"

cargo_counted seeds build --locked -p modelward-fuzz --bin seeds
RUSTC_WORKSPACE_WRAPPER=$HERE/fuzz/instrument.sh \
  cargo_counted fuzz build --locked -p modelward-fuzz --bin fuzz --features libfuzzer
SEEDS=$(mktemp -d)
at_exit rm -rf "$SEEDS"
# Another build in the same directory would replace it by one without libFuzzer.
cp "$CARGO_TARGET_DIR/debug/fuzz" "$SEEDS/program"
"$CARGO_TARGET_DIR/debug/seeds" "$SEEDS"

figure() { # NAME LOG: of libFuzzer's final statistics
  awk -v name="stat::$1:" '$1 == name { print $2 }' "$2"
}

fuzz() { # TARGET
  local target=$1 log=$LOGS/fuzz-$1.log code=0 begun=$SECONDS
  mkdir -p "$CORPUS/$target"
  MODELWARD_FUZZ=$target RUST_BACKTRACE=0 "$SEEDS/program" "$CORPUS/$target" "$SEEDS/$target" -dict="$SEEDS/$target.dict" \
    -max_total_time="$SECONDS_EACH" -max_len=65536 -timeout="$TIMEOUT" -rss_limit_mb="$RSS" -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="$CORPUS/found/$target-" >"$log" 2>&1 || code=$?
  printf '%-16s %12s %10s %8s %10s  %s\n' "$target" "$(figure number_of_executed_units "$log")" "$(figure new_units_added "$log")" \
    "$((SECONDS - begun)) s" "$(figure peak_rss_mb "$log") MB" "$([ $code = 0 ] && echo ok || echo FAILED)"
  [ $code != 0 ] || return 0
  grep -aE "panicked at|ERROR: libFuzzer|Test unit written|^[a-z]+ holds" -A1 "$log" | tail -8
  echo "   to repeat it: MODELWARD_FUZZ=$target cargo run --locked -p modelward-fuzz --bin fuzz FILE"
  return 1
}

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <("$CARGO_TARGET_DIR/debug/seeds")
printf '%-16s %12s %10s %8s %10s\n' target executions new time memory
failed=0
for target in "${targets[@]}"; do
  fuzz "$target" || failed=1
done
[ $failed = 0 ] || die "an input was found that a reader fails on; it is in $CORPUS/found, the logs are in $LOGS"
