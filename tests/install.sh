#!/usr/bin/env bash
# Installs both charts on the cluster that is up, with the images that hack/cluster/images.sh built, for the stories of tests/e2e.
# A release that stands already is brought up to them.
set -Eeuo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# OpenSSL makes the keys of the people in the stories.
need_packages jq:jq openssl:openssl
use_cluster
step "charts" install_release
