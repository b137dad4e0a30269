# Shared by the scripts of this folder and by tests/demo: where things are, how progress is told, what is missing.
# shellcheck shell=bash
REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${MODELWARD_CACHE:-$HOME/.cache/modelward}
TOOLS=$CACHE/tools
LOGS=$CACHE/logs
# The project's own build stays inside the cache too, unless the caller has a place for it.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
mkdir -p "$TOOLS" "$LOGS"
# sudo drops what a login shell adds.
for directory in /usr/local/go/bin "$HOME/.cargo/bin"; do
  [ -d "$directory" ] && PATH=$PATH:$directory
done
export PATH

# === telling ===

say() { printf '   %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

seconds_since() { # START, as $EPOCHREALTIME
  awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'
}

STEP_NAMES=()
STEP_SECONDS=()

# step "what is done" COMMAND…: says what begins and how long it took; the command's own output stays visible.
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

# quietly LOG COMMAND…: output goes to the log; a failure shows its end and where the rest is.
quietly() {
  local log=$LOGS/$1.log
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    die "\`$*\` failed; the whole output is in $log"
  fi
}

# === what the machine must have ===

need_root() {
  [ "$(id -u)" = 0 ] || die "$1 needs root: run it with sudo (sudo -E make …)"
}

need_disk() { # GIGABYTES DIRECTORY
  local free
  free=$(df --output=avail -BG "$2" | tail -1 | tr -dc 0-9)
  [ "$free" -ge "$1" ] || die "$2 has $free GB free and this needs $1: free some space, or set MODELWARD_CACHE to a larger disk"
}

# need_packages COMMAND:PACKAGE…: installs the Debian or Ubuntu packages whose command is absent.
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
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (package names of Debian; this machine has no apt-get, install them by hand)"
  [ "$(id -u)" = 0 ] || die "missing: ${missing[*]}; install them (sudo apt-get install ${missing[*]}) or run this as root"
  say "installing ${missing[*]}"
  # A machine with fresh lists needs no update; an empty one has none.
  DEBIAN_FRONTEND=noninteractive quietly apt bash -c 'apt-get install -y -qq --no-install-recommends "$@" || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; }' -- "${missing[@]}"
}

# Go builds Kubernetes, CoreDNS and Helm. A Go of 1.21 or later fetches the wanted toolchain by itself.
need_go() {
  local version
  command -v go >/dev/null || need_packages go:golang-go /etc/ssl/certs/ca-certificates.crt:ca-certificates
  version=$(go env GOVERSION)
  case $version in
    go1.[0-9] | go1.[0-9].* | go1.1[0-9] | go1.1[0-9].* | go1.20 | go1.20.*)
      GO_TOOLCHAIN=$TOOLS/go-$GO_WANTED
      if [ ! -x "$GO_TOOLCHAIN/bin/go" ]; then
        say "$version is too old to fetch Go $GO_WANTED by itself: fetching it as a module"
        # The official toolchains are modules of the checksum database; only the executable bits are lost on the way.
        local fetched
        fetched=$(cd / && GOFLAGS=-mod=mod go mod download -json "golang.org/toolchain@v0.0.1-go$GO_WANTED.linux-$(go env GOARCH)" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p')
        [ -n "$fetched" ] || die "Go $GO_WANTED could not be fetched; install Go 1.21 or later and try again"
        rm -rf "$GO_TOOLCHAIN.part" && cp -r "$fetched" "$GO_TOOLCHAIN.part"
        chmod -R u+w "$GO_TOOLCHAIN.part"
        chmod +x "$GO_TOOLCHAIN.part"/bin/* "$GO_TOOLCHAIN.part"/pkg/tool/*/*
        mv "$GO_TOOLCHAIN.part" "$GO_TOOLCHAIN"
      fi
      export PATH=$GO_TOOLCHAIN/bin:$PATH
      ;;
  esac
}
GO_WANTED=1.26.8

# The pinned Rust toolchain (rust-toolchain.toml) and the target of the static programs.
need_rust() {
  if ! command -v rustup >/dev/null && [ "$(id -u)" = 0 ] && apt-cache show rustup >/dev/null 2>&1; then
    need_packages rustup:rustup
  fi
  if ! command -v rustup >/dev/null; then
    need_packages curl:curl /etc/ssl/certs/ca-certificates.crt:ca-certificates
    say "installing rustup into $HOME/.cargo, as https://rustup.rs says"
    curl --proto '=https' --tlsv1.2 -sSf --max-time 120 https://sh.rustup.rs | quietly rustup-init sh -s -- -y --no-modify-path --profile minimal --default-toolchain none ||
      die "rustup, which installs Rust, could not be installed: do it by hand (https://rustup.rs) and try again"
    export PATH=$HOME/.cargo/bin:$PATH
  fi
  local channel
  channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$REPOSITORY/rust-toolchain.toml")
  rustup toolchain list | grep -q "^$channel-" || quietly rustup rustup toolchain install "$channel" --profile minimal
  (cd "$REPOSITORY" && rustup target list --installed | grep -qx x86_64-unknown-linux-musl) ||
    (cd "$REPOSITORY" && quietly rustup-target rustup target add x86_64-unknown-linux-musl)
}
