#!/usr/bin/env bash
# Installs and fetches everything that `make demo` and `make test` need from elsewhere, before either builds or tests anything:
# packages of the distribution, the Rust toolchain, crates, Go modules, the base image and, for the tests, cargo-nextest and
# Python packages.
#
#   fetch.sh demo
#   fetch.sh test
#
# What is there already costs a second or two. A later step that asks a registry is a fault of this script.
set -Eeuo pipefail
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$TESTS/../hack/cluster/lib.sh"

packages() {
  need_packages curl:curl /etc/ssl/certs/ca-certificates.crt:ca-certificates git:git gcc:gcc make:make musl-gcc:musl-tools \
    openssl:openssl python3:python3 jq:jq "$@"
}

test_packages() {
  packages shellcheck:shellcheck patch:patch
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || install_packages postgresql
  need_python
}

# A first run needs about this much; later ones have it.
[ -d "$CARGO_TARGET_DIR" ] || need_disk 15 "$CACHE"

case ${1:-} in
  demo) step "fetch: packages" packages ;;
  test) step "fetch: packages" test_packages ;;
  *)
    sed -n '2,/^set -E/{/^set -E/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
step "fetch: Rust" need_rust
step "fetch: crates" need_crates
step "fetch: XGBoost and LightGBM" "$TESTS/../hack/engines/fetch.sh"
step "fetch: the cluster's packages and Go modules" "$TESTS/../hack/cluster/cluster.sh" fetch
[ "$1" = demo ] || step "fetch: cargo-nextest" "$TESTS/nextest.sh" fetch
[ "$1" = demo ] || step "fetch: Python packages" "$TESTS/differential/compare.sh" fetch
step "fetch: images" "$TESTS/../hack/cluster/images.sh" fetch
