#!/usr/bin/env bash
# Removes the cluster of demo.sh with everything in it. Builds stay in the cache.
set -Eeuo pipefail
CLUSTER_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/../hack/cluster" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$CLUSTER_SCRIPTS/lib.sh"
"$CLUSTER_SCRIPTS/cluster.sh" down
rm -rf "$CACHE/demo"
say "builds are kept in the cache $CACHE; delete it with rm -r to start from scratch"
