# Functions for the scripts of this folder and of tests/: paths, output, error reports, and the installation of required tools.
# shellcheck shell=bash

# === failures ===

# A failing command that ends a script reports its location. Without this `set -e` ends a script silently, most often in
# `x=$(a | b)` if `a` does not find something yet. Subshells and functions inherit the trap, and substitutions inherit `set -e`.
set -Eeuo pipefail
shopt -s inherit_errexit

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# The log that is currently being written, if any.
LOG=

# The arguments are expanded first, because any command here would overwrite them.
report_failure() { # STATUS FILE LINE COMMAND
  local status=$1 file=$2 line=$3 command=${4%%$'\n'*} i
  # If `set -e` is off, the failure does not end the script.
  [[ $- == *e* ]] || return 0
  [ ${#command} -le 200 ] || command=${command:0:200}…
  {
    # shellcheck disable=SC2016
    printf 'failed: %s line %s: `%s` ended with exit status %s\n' "${file#"$REPOSITORY/"}" "$line" "$command" "$status"
    # Frame 0 is this function, frame 1 the one that failed.
    for ((i = 2; i < ${#FUNCNAME[@]}; i++)); do
      printf '        %s was called at %s line %s\n' "${FUNCNAME[i - 1]}" "${BASH_SOURCE[i]#"$REPOSITORY/"}" "${BASH_LINENO[i - 1]}"
    done
    # The failure of a subshell is reported again by its parent shell.
    if [ "$BASH_SUBSHELL" = 0 ] && [ -n "$LOG" ] && [ -s "$LOG" ]; then
      printf '        the last lines of %s:\n' "$LOG"
      last_lines 15 "$LOG" | sed 's/^/        | /'
    fi
  } >&2
}
trap 'report_failure $? "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND"' ERR

# last_lines COUNT FILE: the last lines without the progress bars of cargo.
last_lines() {
  tail -c 20000 "$2" | tr '\r' '\n' | sed -E $'s/\e\\[[0-9;]*[A-Za-z]//g; /^ *(Building|Downloading|Fetch|Updating) \\[/d; /^ *$/d' | tail -n "$1"
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# === where things are ===

CACHE=${MODELWARD_CACHE:-$HOME/.cache/modelward}
TOOLS=$CACHE/tools
LOGS=$CACHE/logs
# Builds of the project are also in the cache, unless the caller chooses a directory.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
# Where the trainer finds XGBoost and LightGBM.
export MODELWARD_ENGINES=${MODELWARD_ENGINES:-$CACHE/engines}
mkdir -p "$TOOLS" "$LOGS"
# sudo drops the PATH of a login shell. The pinned Rust comes before that of a distribution.
CARGO_BIN=${CARGO_HOME:-$HOME/.cargo}/bin
PATH=$CARGO_BIN:$PATH
[ ! -d /usr/local/go/bin ] || PATH=$PATH:/usr/local/go/bin
export PATH
# A registry may fail temporarily.
export CARGO_NET_RETRY=${CARGO_NET_RETRY:-5} PIP_RETRIES=${PIP_RETRIES:-5} RUSTUP_MAX_RETRIES=${RUSTUP_MAX_RETRIES:-5}

# at_exit COMMAND…: runs a command when this shell ends for any reason except SIGKILL. The latest command runs first. A subshell
# does not run the commands of its parent shell.
AT_EXIT=()
AT_EXIT_SHELL=$BASHPID
at_exit() {
  if [ "$AT_EXIT_SHELL" != "$BASHPID" ]; then
    AT_EXIT=()
    AT_EXIT_SHELL=$BASHPID
  fi
  AT_EXIT+=("$(printf '%q ' "$@")")
  trap run_at_exit EXIT
}
run_at_exit() {
  local i
  set +e
  for ((i = ${#AT_EXIT[@]} - 1; i >= 0; i--)); do eval "${AT_EXIT[i]}"; done
}

# matches GREP-ARGUMENTS…: like `grep -q`, but reads all input. `command | grep -q` fails with pipefail if grep finds the line
# and `command` then writes to the closed pipe.
matches() { grep "$@" | cat >/dev/null; }

# === what is printed ===

say() { printf '   %s\n' "$*"; }

seconds_since() { # START, as $EPOCHREALTIME
  awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'
}

STEP_NAMES=()
STEP_SECONDS=()

# step "what is done" COMMAND…: prints the start of a step and its duration. The output of the command is visible.
step() {
  local name=$1 from=$EPOCHREALTIME
  shift
  printf '== %s\n' "$name"
  "$@"
  local took
  took=$(seconds_since "$from")
  STEP_NAMES+=("$name")
  STEP_SECONDS+=("$took")
  printf '   %s s\n' "$took"
}

step_table() {
  local i total=0
  printf '\n%-58s %9s\n' "step" "seconds"
  for i in "${!STEP_NAMES[@]}"; do
    printf '%-58s %9s\n' "${STEP_NAMES[$i]}" "${STEP_SECONDS[$i]}"
    total=$(awk -v a="$total" -v b="${STEP_SECONDS[$i]}" 'BEGIN { printf "%.1f", a + b }')
  done
  printf '%-58s %9s\n' "all" "$total"
}

# quietly NAME COMMAND…: output goes to the log NAME. A failure prints its end and its path.
quietly() {
  local LOG=$LOGS/$1.log
  shift
  if ! "$@" >"$LOG" 2>&1; then
    last_lines 30 "$LOG" >&2
    die "\`$*\` failed; the whole output is in $LOG"
  fi
}

# counted NAME COUNT COMMAND…: like `quietly`, but prints progress. COUNT is a function that prints the progress ("crate 212 of
# 431") from the log that it gets as argument. On a terminal this is one line, otherwise a line every half a minute.
counted() {
  local name=$1 count=$2 watcher code=0
  shift 2
  : >"$LOGS/$name.log"
  show_count "$LOGS/$name.log" "$count" $$ &
  watcher=$!
  # A subshell, so that the watcher also ends if the command fails.
  (quietly "$name" "$@") || code=$?
  kill "$watcher" 2>/dev/null || true
  wait "$watcher" 2>/dev/null || true
  [ ! -t 1 ] || printf '\r\e[K'
  [ $code = 0 ] || exit $code
}

show_count() { # LOG COUNT PID: until the process PID has ended
  local line former='' every=30 from=$SECONDS shown=$SECONDS
  trap - ERR
  set +e
  [ ! -t 1 ] || every=1
  while sleep 1 && [ -d "/proc/$3" ]; do
    [ $((SECONDS - shown)) -ge $every ] || continue
    shown=$SECONDS
    line=$("$2" "$1" 2>/dev/null)
    [ -n "$line" ] || continue
    if [ -t 1 ]; then
      printf '\r\e[K   %s, %s s' "$line" $((SECONDS - from)) | cut -c1-120 | tr -d '\n'
    elif [ "$line" != "$former" ]; then
      say "$line, $((SECONDS - from)) s"
      former=$line
    fi
  done
}

# retried COMMAND…: up to three attempts, for commands that use a server that may fail temporarily.
retried() {
  local wait
  for wait in 5 15; do
    if "$@"; then return 0; fi
    printf 'failed, trying again in %s s: %s\n' "$wait" "$*" >&2
    sleep "$wait"
  done
  "$@"
}

# cargo_counted NAME ARGUMENT…: cargo, with its progress bar on a terminal and a count otherwise.
cargo_counted() {
  local name=$1
  shift
  if [ -t 2 ]; then
    cargo "$@"
  else
    counted "$name" crates_built env CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=120 CARGO_TERM_COLOR=never cargo "$@"
  fi
}

# The last "212/431" of cargo's progress bar.
crates_built() { tail -c 4000 "$1" | tr '\r' '\n' | sed -nE 's|^ *Building \[.*\] ([0-9]+)/([0-9]+).*|crate \1 of \2|p' | tail -n 1; }

crates_fetched() { printf 'crate %s of at most %s' "$(grep -c '^ *Downloaded ' "$1")" "$(grep -c '^source = "registry' "$REPOSITORY/Cargo.lock")"; }

# === what the machine must have ===

need_root() {
  [ "$(id -u)" = 0 ] || die "$1 needs root: run it with sudo (sudo -E make …)"
}

need_disk() { # GIGABYTES DIRECTORY [VARIABLE]: the variable with which users can choose another directory
  local free
  free=$(df --output=avail -BG "$2" | tail -n 1 | tr -dc 0-9)
  [ "$free" -ge "$1" ] || die "$2 has $free GB free, but $1 GB are needed: free some space, or set ${3:-MODELWARD_CACHE} to a directory on a larger disk"
}

# need_packages COMMAND:PACKAGE…: installs the Debian or Ubuntu packages of missing commands.
# A COMMAND with a slash is a file that must exist.
need_packages() {
  local pair missing=()
  for pair in "$@"; do
    case ${pair%%:*} in
      /*) [ -e "${pair%%:*}" ] || missing+=("${pair##*:}") ;;
      *) command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  install_packages "${missing[@]}"
}

install_packages() {
  command -v apt-get >/dev/null || die "missing: $* (package names of Debian; this machine has no apt-get, install them by hand)"
  [ "$(id -u)" = 0 ] || die "missing: $*; install them (sudo apt-get install $*) or run this as root"
  say "installing $*"
  # A machine with current package lists needs no update; a new one has no lists. A machine that has just started may be
  # installing updates itself.
  # shellcheck disable=SC2016
  DEBIAN_FRONTEND=noninteractive counted apt packages_unpacked bash -c '
    options=(-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
    apt-get "${options[@]}" install -y -q --no-install-recommends "$@" || {
      apt-get "${options[@]}" update -q && apt-get "${options[@]}" install -y -q --no-install-recommends "$@"
    }' -- "$@"
}

packages_unpacked() {
  sed -nE 's/^[0-9]+ upgraded, ([0-9]+) newly installed.*/\1/p; /^Setting up /s/.*/up/p' "$1" |
    awk '/^[0-9]/ { all = $1 } /up/ { n++ } END { if (all) printf "package %d of %d", n, all }'
}

# Debian has a separate package for `venv`.
need_python() {
  need_packages python3:python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
}

# Go builds Kubernetes, CoreDNS and Helm. Go 1.21 or later downloads the required toolchain itself.
need_go() {
  local version
  need_packages go:golang-go /etc/ssl/certs/ca-certificates.crt:ca-certificates
  version=$(go env GOVERSION)
  case $version in
    go1.[0-9] | go1.[0-9].* | go1.1[0-9] | go1.1[0-9].* | go1.20 | go1.20.*)
      GO_TOOLCHAIN=$TOOLS/go-$GO_WANTED
      if [ ! -x "$GO_TOOLCHAIN/bin/go" ]; then
        say "$version is too old to download Go $GO_WANTED itself: downloading it as a module"
        fetch_go
      fi
      export PATH=$GO_TOOLCHAIN/bin:$PATH
      ;;
  esac
}
GO_WANTED=1.26.8

# The official toolchains are modules in the checksum database. Only the executable bits have to be restored.
fetch_go() {
  local fetched
  (cd / && GOFLAGS=-mod=mod quietly go-toolchain retried go mod download -json "golang.org/toolchain@v0.0.1-go$GO_WANTED.linux-$(go env GOARCH)")
  fetched=$(sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p' "$LOGS/go-toolchain.log")
  [ -n "$fetched" ] || die "Go $GO_WANTED could not be downloaded; install Go 1.21 or later and try again"
  rm -rf "$GO_TOOLCHAIN.part"
  cp -r "$fetched" "$GO_TOOLCHAIN.part"
  chmod -R u+w "$GO_TOOLCHAIN.part"
  chmod +x "$GO_TOOLCHAIN.part"/bin/* "$GO_TOOLCHAIN.part"/pkg/tool/*/*
  mv "$GO_TOOLCHAIN.part" "$GO_TOOLCHAIN"
}

# Installs rustup with everything in rust-toolchain.toml. An existing rustup may not install toolchains automatically, and a
# minimal toolchain has neither rustfmt nor clippy.
need_rust() {
  local channel toolchain part components targets missing=()
  command -v rustup >/dev/null || install_rustup
  toolchain=$REPOSITORY/rust-toolchain.toml
  channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$toolchain")
  components=$(sed -n 's/^components = \[\(.*\)\]/\1/p' "$toolchain" | tr -d '",')
  targets=$(sed -n 's/^targets = \[\(.*\)\]/\1/p' "$toolchain" | tr -d '",')
  if ! rustup toolchain list | matches "^$channel-"; then
    say "installing Rust $channel"
    quietly rustup retried rustup toolchain install "$channel" --profile minimal --no-self-update
  fi
  for part in $components; do
    rustup component list --toolchain "$channel" --installed | matches "^$part" || missing+=("$part")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]} of Rust $channel"
    quietly rustup-components retried rustup component add --toolchain "$channel" "${missing[@]}"
  fi
  missing=()
  for part in $targets; do
    rustup target list --toolchain "$channel" --installed | matches -x "$part" || missing+=("$part")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    say "installing the target ${missing[*]} of Rust $channel"
    quietly rustup-target retried rustup target add --toolchain "$channel" "${missing[@]}"
  fi
}

RUSTUP=1.28.2
RUSTUP_SHA256=20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c
install_rustup() {
  local installer=$CACHE/rustup-init from=https://static.rust-lang.org/rustup/archive/$RUSTUP/x86_64-unknown-linux-gnu/rustup-init
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "rustup is not installed: install it (https://rustup.rs) and try again"
  need_packages curl:curl /etc/ssl/certs/ca-certificates.crt:ca-certificates
  say "installing rustup $RUSTUP into ${CARGO_HOME:-$HOME/.cargo}"
  quietly rustup-fetch curl --proto '=https' --tlsv1.2 -fsSL --retry 5 --max-time 300 -o "$installer" "$from"
  echo "$RUSTUP_SHA256  $installer" | sha256sum --check --status || die "$from is not the expected file (sha256 $RUSTUP_SHA256)"
  chmod +x "$installer"
  quietly rustup-init "$installer" -y --no-modify-path --profile minimal --default-toolchain none
  rm -f "$installer"
}

# Downloads the crates of Cargo.lock for every target, so that later commands do not need a registry.
need_crates() {
  say "crates of Cargo.lock"
  (cd "$REPOSITORY" && counted cargo-fetch crates_fetched retried cargo fetch --locked)
}
