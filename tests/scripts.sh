#!/usr/bin/env bash
# Checks of the scripts: shellcheck, what hides a failure, and that a command which fails in any of them is named.
set -Eeuo pipefail
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$TESTS/../hack/cluster/lib.sh"
need_packages shellcheck:shellcheck git:git
cd "$REPOSITORY"
WORK=$(mktemp -d)
at_exit rm -rf "$WORK"
mapfile -t SCRIPTS < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)
[ ${#SCRIPTS[@]} -ge 15 ] || die "only ${#SCRIPTS[@]} scripts were found"

# printed WHAT OUTPUT PATTERN…: each pattern is in the output.
printed() {
  local what=$1 output=$2 pattern
  shift 2
  for pattern in "$@"; do
    # shellcheck disable=SC2053
    [[ $output == *$pattern* ]] || die "$what: '$pattern' is not in what was printed:"$'\n'"$output"
  done
}

# === what hides a failure ===

# Under pipefail the command in front of these fails by SIGPIPE where they have read enough: `matches` and `sed -n 1p` read all.
check_pipes() {
  local found
  # shellcheck disable=SC2016
  found=$(grep -nE '\| *(grep +-[a-zA-Z]*q|head\b)' "${SCRIPTS[@]}" | grep -vE ':[0-9]+: *(#|found=)' || true)
  [ -z "$found" ] || die "a pipe into a reader that ends early:"$'\n'"$found"
  # `local x=$(…)` and `export x=$(…)` succeed whatever happens inside.
  found=$(grep -nE '^ *(local|export|readonly|declare)( +-[a-zA-Z]+)? +[A-Za-z_0-9 ]*=\$\(' "${SCRIPTS[@]}" || true)
  [ -z "$found" ] || die "a failure inside is not seen:"$'\n'"$found"
}

# `for x in $(…)` runs no round where the command fails: what a script lists by kubectl goes through a variable.
check_loops() {
  local found
  found=$(grep -nE 'for [a-z_]+ in .*\$\((kubectl|inference_pods|pods_of)' "${SCRIPTS[@]}" | grep -vE ':[0-9]+: *(#|found=)' || true)
  [ -z "$found" ] || die "a loop that does not see its list fail:"$'\n'"$found"
}

# === each script names what fails ===

# A copy in which a command fails right after a script has set its trap, or at the beginning of a file that another script sources.
check_each_script() {
  local script runs output line count=0
  for script in "${SCRIPTS[@]}"; do
    rm -rf "$WORK/copy"
    mkdir -p "$WORK/copy"
    cp -r --parents tests/*.sh tests/*/*.sh benches demo hack manifests/samples .ci rust-toolchain.toml Makefile "$WORK/copy"
    # The first line after the trap, or after the line that sources the file with the trap.
    line=$(awk '/^(source .*lib\.sh"|trap .* ERR)$/ { print FNR + 1; exit }' "$script")
    runs=$script
    case $script in
      # They only become other programs.
      .ci/run | tests/fuzz/instrument.sh) continue ;;
      hack/cluster/lib.sh) runs=demo/demo-down.sh ;;
      tests/lib.sh) runs=tests/install.sh ;;
      demo/mlflow.sh)
        runs=demo/demo.sh
        line=3
        ;;
      hack/python/environment.sh)
        runs=tests/differential/compare.sh
        line=3
        ;;
      hack/cluster/bare.sh | hack/cluster/kind.sh | hack/cluster/tools.sh)
        runs=hack/cluster/cluster.sh
        line=3
        ;;
    esac
    [ -n "$line" ] || die "$script neither sources hack/cluster/lib.sh nor sets a trap on ERR"
    sed -i "${line}i false injected" "$WORK/copy/$script"
    output=$(run_copy "$runs" "$script" 2>&1) && die "$script succeeded although a command in it failed"
    printed "$script" "$output" "${script##*/} line $line: \`false injected\` ended with exit status 1"
    count=$((count + 1))
  done
  say "$count scripts name the command that fails in them"
}

run_copy() { # SCRIPT INJECTED
  local place=bare
  [ "$2" != hack/cluster/kind.sh ] || place=kind
  mkdir -p "$WORK/node/log"
  # shellcheck disable=SC2016
  env LINK=192.0.2 CLUSTER=none POSTGRES_USER=none PGDATA="$WORK/none" MODELWARD_CLUSTER=none MODELWARD_CLUSTER_ON=$place MODELWARD_CACHE="$WORK/cache" \
    timeout 60 bash -c 'case $2 in */node.sh) bash "$1/$2" "$3" ;; */entrypoint.sh) bash "$1/$2" postgres ;; *) bash "$1/$2" ;; esac' -- "$WORK/copy" "$1" "$WORK/node" && return
  # The node's words are in a file that the host prints.
  cat "$WORK/node/failed" 2>/dev/null || true
  rm -rf "$WORK/node"
  return 1
}

# === what the trap prints ===

# prints "what" STATUS PATTERN… with the script at the standard input.
prints() {
  local what=$1 status=$2 output code=0 script=$WORK/case.sh
  shift 2
  { printf '#!/usr/bin/env bash\nset -Eeuo pipefail\nsource %q\n' "$TESTS/../hack/cluster/lib.sh" && cat; } >"$script"
  output=$(MODELWARD_CACHE=$WORK/cache bash "$script" 2>&1) || code=$?
  [ "$code" = "$status" ] || die "$what: exit status $code and not $status:"$'\n'"$output"
  printed "$what" "$output" "$@"
}

check_trap() {
  local output
  prints "a command" 3 "case.sh line 4: \`( exit 3 )\`" "exit status 3" <<'S'
(exit 3)
S
  prints "a pipeline in a substitution in a function" 1 "case.sh line 4: " "sed -n 1p" "find_it was called at" "line 5" <<'S'
find_it() { x=$(pgrep -P 99999999 | sed -n 1p); echo "not reached"; }
find_it
S
  prints "a function in a substitution" 1 "case.sh line 4: \`false\`" "\`x=\$(inner)\`" <<'S'
inner() { false; echo "not reached"; }
x=$(inner)
S
  prints "a subshell" 1 "case.sh line 4: \`false\`" <<'S'
(false; echo "not reached")
S
  prints "a loop that reads a pipe" 1 "case.sh line 4: \`false\`" <<'S'
echo 1 | while read -r _; do false; done
S
  prints "a log that is being written" 1 "\`false\`" "the last lines of $WORK/some.log" "| the very last" <<S
LOG=$WORK/some.log
printf 'first\nthe very last\n' >"\$LOG"
false
S
  prints "a quiet command" 1 "some words of it" "failed; the whole output is in" "quiet.log" <<'S'
quietly quiet bash -c 'echo some words of it; exit 4'
S
  prints "a quiet command in a subshell" 1 "some words of it" "ended with exit status 1" <<'S'
(cd / && quietly quiet bash -c 'echo some words of it; exit 4')
S
  prints "a counted command" 1 "some words of it" "failed; the whole output is in" <<'S'
counted quiet crates_built bash -c 'echo some words of it; exit 4'
S
  prints "an error in a substitution" 1 "error: no such thing" "\`x=\$(refuse)\`" <<'S'
refuse() { die "no such thing"; }
x=$(refuse)
S
  prints "a script in a script" 1 "child.sh line 4: \`false\`" "case.sh line 5: \`bash" <<S
printf 'set -Eeuo pipefail\nsource %q\n\nfalse\n' "$TESTS/../hack/cluster/lib.sh" >"$WORK/child.sh"
bash "$WORK/child.sh"
S
  prints "what runs at the end" 1 "\`false\`" "goodbye inner" "goodbye outer" <<'S'
at_exit echo goodbye outer
(at_exit echo goodbye inner; false)
S
  prints "failures that are expected" 0 "all well" <<'S'
if false; then :; fi
false || true
! true || true
x=$(false) || x=none
until x=$(false; echo "$x") && [ "$x" = none ]; do false || break; done
seq 200000 | matches 1
[ "$(inner() { false || true; echo ok; }; inner)" = ok ]
echo "all well"
S
  output=$(MODELWARD_CACHE=$WORK/cache bash "$WORK/case.sh" 2>&1)
  [ "$output" = "all well" ] || die "a failure that ends nothing is printed:"$'\n'"$output"
  say "the trap names commands in functions, substitutions, subshells, pipes and other scripts, with the log's last lines"
}

step "shellcheck" shellcheck -x "${SCRIPTS[@]}"
step "pipes that hide a failure" check_pipes
step "lists that hide a failure" check_loops
step "the trap" check_trap
step "each script" check_each_script
