#!/usr/bin/env bash
# The charts: linted, rendered with every switch, and (with `server`) taken by a real API server in a dry run.
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/cluster/lib.sh"
cd "$REPOSITORY"
PATH=$(dirname "$(ls -d "$TOOLS"/helm-*/helm | tail -1)"):$PATH
RENDERED=$CACHE/rendered
mkdir -p "$RENDERED"

# name, then what `helm template` is given beside the defaults
render() {
  local name=$1
  shift
  helm template modelward charts/modelward --namespace modelward-system "$@" >"$RENDERED/$name.yaml" ||
    die "charts/modelward does not render with: $*"
}

# What must be refused, and a word of the reason.
refused() {
  local word=$1 answer
  shift
  if answer=$(helm template modelward charts/modelward "$@" 2>&1); then die "charts/modelward renders with: $*"; fi
  grep -q "$word" <<<"$answer" || die "the refusal of $* does not say $word: $answer"
}

cmp <(cat crds/yaml/*.yaml) <(cat charts/modelward-crds/files/*.yaml) || die "charts/modelward-crds/files is not crds/yaml; run make generate"
helm lint --strict charts/modelward-crds charts/modelward >/dev/null || { helm lint --strict charts/modelward-crds charts/modelward; exit 1; }
helm template modelward-crds charts/modelward-crds >"$RENDERED/crds.yaml"
render default
render local --values manifests/local/values.yaml
render production --set postgresql.enabled=false --set database.existingSecret=database \
  --set ledger.store.url=s3://models/heart --set ledger.store.existingSecret=s3 --set ledger.replicas=2
render one-namespace --set operator.watchNamespace=hospital
render monitored --set metrics.serviceMonitor.enabled=true --api-versions monitoring.coreos.com/v1
refused replicas --set ledger.replicas=2
refused unknown --set ledger.unknown=1
say "rendered: $(ls "$RENDERED" | tr '\n' ' ')"

[ "${1:-}" = server ] || exit 0
kubectl create namespace modelward-system --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null
kubectl create namespace hospital --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null
kubectl apply --server-side --dry-run=server -f "$RENDERED/crds.yaml" >/dev/null
for name in default local production one-namespace; do
  kubectl apply --namespace modelward-system --server-side --dry-run=server -f "$RENDERED/$name.yaml" >"$LOGS/dry-run-$name.log" 2>&1 ||
    { cat "$LOGS/dry-run-$name.log" >&2; die "the API server refuses the chart as rendered in $RENDERED/$name.yaml"; }
done
say "taken by the API server in a dry run"
