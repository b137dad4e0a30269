#!/usr/bin/env bash
# Ends what demo.sh brought up: the cluster and all that ran in it. What was built stays in the cache.
set -Eeuo pipefail
CLUSTER_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/../hack/cluster" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$CLUSTER_SCRIPTS/lib.sh"
"$CLUSTER_SCRIPTS/cluster.sh" down
rm -rf "$CACHE/demo"
say "the cache $CACHE keeps what was built; rm -r it to start from nothing"
