#!/usr/bin/env bash
# README's two commands as a new machine sees them: a fresh clone of the commit, and an empty HOME, CARGO_HOME, RUSTUP_HOME and
# cache. Prints the times of both.
#
#   fresh.sh                     make demo, then make test
#   fresh.sh TARGET…             these targets of the Makefile instead
#
#   FRESH_DIR      where its directory is made; about 25 GB (/var/tmp). It is removed at the end unless something failed.
#   FRESH_KEEP     files and directories below HOME that say where registries are and are therefore taken along
#                  (.gitconfig .pip .config/pip .config/go/env .cargo/config.toml; variables of the environment stay as they are,
#                  except those that name a place for caches and programs below HOME)
#
# Packages of the distribution are not taken away: what the machine has, it has. Changes that are not committed are not tested.
set -Eeuo pipefail
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$TESTS/../hack/cluster/lib.sh"
need_root "make fresh"
need_packages git:git make:make
read -ra KEPT <<<"${FRESH_KEEP-.gitconfig .pip .config/pip .config/go/env .cargo/config.toml}"
# A cluster of a demo that stands on this machine is left alone.
DEMO_CLUSTER=fresh
TEST_CLUSTER=fresh-test
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(demo demo-down test)

need_disk 25 "${FRESH_DIR:-/var/tmp}" FRESH_DIR
FRESH=$(mktemp -d "${FRESH_DIR:-/var/tmp}/modelward-fresh.XXXXXX")
RESULT=failed
at_exit finish
mkdir "$FRESH/home"

clone() {
  git -C "$REPOSITORY" diff --quiet HEAD || say "there are changes that are not committed: they are not in the clone"
  git clone --quiet "$REPOSITORY" "$FRESH/modelward"
  say "$(git -C "$FRESH/modelward" log -1 --format='%h %s')"
}

take_along() {
  local file from
  for file in "${KEPT[@]}"; do
    from=$HOME/$file
    [[ $file != .cargo/* ]] || from=${CARGO_HOME:-$HOME/.cargo}/${file#.cargo/}
    [ -e "$from" ] || continue
    mkdir -p "$(dirname "$FRESH/home/$file")"
    cp -r "$from" "$FRESH/home/$file"
    say "taken along: $from"
  done
}

# PATH without programs that stand in the caller's HOME.
path_of_the_machine() {
  local entry kept=()
  while read -r entry; do
    case $entry/ in "$HOME"/* | "${CARGO_HOME:-$HOME/.cargo}"/*) ;; *) kept+=("$entry") ;; esac
  done < <(tr ':' '\n' <<<"$PATH")
  (IFS=: && echo "${kept[*]}")
}

in_new_home() { # COMMAND…
  local path name unset=()
  path=$(path_of_the_machine)
  while read -r name; do
    case $name in
      MODELWARD_* | XDG_* | GOPATH | GOROOT | GOCACHE | GOMODCACHE | GOBIN | GOTMPDIR | PIP_CACHE_DIR | CARGO_TARGET_DIR | CARGO_BUILD_TARGET_DIR | \
        RUSTUP_TOOLCHAIN | RUSTC_WRAPPER | VIRTUAL_ENV | PYTHONPATH | DEMO_DECISION | MAKEFLAGS | MAKEOVERRIDES | MFLAGS | MAKELEVEL) unset+=(-u "$name") ;;
    esac
  done < <(compgen -e)
  env "${unset[@]}" HOME="$FRESH/home" CARGO_HOME="$FRESH/home/.cargo" RUSTUP_HOME="$FRESH/home/.rustup" MODELWARD_CACHE="$FRESH/cache" PATH="$path" \
    MODELWARD_CLUSTER="$DEMO_CLUSTER" MODELWARD_TEST_CLUSTER="$TEST_CLUSTER" "$@"
}

run_target() { in_new_home make --no-print-directory -C "$FRESH/modelward" "$1"; }

end_clusters() {
  local cluster
  for cluster in "$DEMO_CLUSTER" "$TEST_CLUSTER"; do
    [ "$RESULT" = passed ] || [ ! -d "/var/lib/modelward/$cluster/log" ] || cp -r "/var/lib/modelward/$cluster/log" "$FRESH/log-$cluster"
    in_new_home env MODELWARD_CLUSTER="$cluster" "$TESTS/../hack/cluster/cluster.sh" down || true
  done
}

finish() {
  end_clusters >"$FRESH/end.log" 2>&1
  if [ "$RESULT" = passed ]; then
    # The cache of Go modules is read-only.
    chmod -R u+w "$FRESH"
    rm -rf --one-file-system "$FRESH"
  else
    printf 'it failed; everything is kept in %s (logs in %s)\n' "$FRESH" "$FRESH/cache/logs" >&2
  fi
}

step "a fresh clone" clone
step "what says where registries are" take_along
for target in "${targets[@]}"; do step "make $target" run_target "$target"; done
RESULT=passed
step_table
