#!/usr/bin/env bash
# A stream of requests through the Service from inside the cluster, while everything around it is killed, evicted and
# replaced: no request may fail.
#
#   disruptions.sh           on the cluster that is up, where the demo left a model
#   disruptions.sh sample    where the release is (install.sh): with a model of its own, which is deleted at the end
#
# An open-loop client (`modelward-load send`, a Pod) sends requests at a fixed rate and counts each. Meanwhile operator,
# ledger and PostgreSQL are killed with SIGKILL, each inference Pod is evicted, and a new version is approved and rolled out.
# Then, by itself: SIGKILL of one inference container, where a client may try once more, 2 seconds later: until the kubelet
# has seen it, the Service gives new connections to the Pod whose container is starting again.
#
# MODELWARD_NAMESPACE (hospital), MODELWARD_MODEL (heart), MODELWARD_RATE (200 requests a second) and the parameters of
# hack/cluster/cluster.sh apply. It can run again and again: new versions are counted up.
set -Eeuo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
NAMESPACE=${MODELWARD_NAMESPACE:-hospital}
MODEL=${MODELWARD_MODEL:-heart}
RATE=${MODELWARD_RATE:-200}
WORK=$(mktemp -d)
at_exit rm -rf "$WORK"
EVENT_TIMES=()
EVENT_WORDS=()

event() { # WORDS…
  EVENT_TIMES+=("$EPOCHREALTIME")
  EVENT_WORDS+=("$*")
  say "$(date -u +%H:%M:%S) $*"
}

# === the client ===

end_client() { kubectl delete --namespace "$NAMESPACE" pod "modelward-load-$MODEL" --ignore-not-found --wait=false >/dev/null 2>&1; }

# === the model of the sample ===

make_sample() {
  kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout=180s >/dev/null
  restricted_namespace "$NAMESPACE"
  kubectl apply --namespace "$NAMESPACE" --server-side -k "$SAMPLES/heart-disease" >/dev/null
  version heart-1 '.spec.source.training.validation += {folds: 2, repeats: 1}' | apply "$NAMESPACE"
  await_live "$NAMESPACE" heart-1
}

# === disruptions ===

kill_component() { # COMPONENT CONTAINER
  local pods pod proof
  pods=$(pods_of "$SYSTEM" "app.kubernetes.io/instance=modelward,app.kubernetes.io/component=$1")
  [ -n "$pods" ] || die "no Pod of the $1 runs in $SYSTEM"
  for pod in $pods; do
    event "SIGKILL $pod"
    proof=$(kill_and_await "$SYSTEM" "$pod" "$2")
    event "$pod is ready again, $proof"
  done
}

# The Eviction API, as a drain asks it: refused while the budget does not allow it.
evict() { # POD
  printf '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "%s", "namespace": "%s"}}' "$1" "$NAMESPACE" |
    kubectl create --raw "/api/v1/namespaces/$NAMESPACE/pods/$1/eviction" -f - >/dev/null 2>"$WORK/refusal" ||
    { grep -qi 'disruption budget' "$WORK/refusal" || die "the eviction of $1 was refused: $(cat "$WORK/refusal")"; return 1; }
}

gone() { # an API server that does not answer proves nothing
  local left
  left=$(kubectl get --namespace "$NAMESPACE" pod "$1" --ignore-not-found -o name 2>/dev/null) && [ -z "$left" ]
}

evict_all() {
  local pod pods uid
  pods=$(inference_pods "$NAMESPACE" "$MODEL")
  [ -n "$pods" ] || die "$MODEL has no Pod to evict"
  for pod in $pods; do
    await 60 "all Pods of $MODEL are ready" settled "$NAMESPACE" "$MODEL"
    uid=$(field "$NAMESPACE" "pod/$pod" .metadata.uid)
    await 60 "the budget allows the eviction of $pod" evict "$pod"
    event "evicted $pod"
    await 90 "$pod (uid $uid) is gone" gone "$pod"
    await 90 "$pod has a ready replacement" settled "$NAMESPACE" "$MODEL"
    event "$pod is gone and replaced"
  done
}

# The version that serves, with another seed and the next free number.
roll_version() {
  local former number
  former=$(field "$NAMESPACE" "model/$MODEL" .status.serving)
  number=$(kubectl get --namespace "$NAMESPACE" modelversions -o json | jq --arg model "$MODEL" '
    [.items[] | select(.spec.model == $model) | .metadata.name | capture("-(?<number>[0-9]+)$").number | tonumber] | (max // 0) + 1')
  NEW=$MODEL-$number
  kubectl get --namespace "$NAMESPACE" modelversion "$former" -o json | jq --arg name "$NEW" --argjson number "$number" '
    {apiVersion, kind, metadata: {name: $name}, spec} | del(.spec.provenance) | .spec.source.training.validation.seed += $number' | apply "$NAMESPACE"
  event "applied $NEW (seed $(field "$NAMESPACE" "modelversion/$NEW" .spec.source.training.validation.seed)); $former serves"
  promote "$WORK/alice.kubeconfig" "$NAMESPACE" "$NEW" 300
  [ "$(field "$NAMESPACE" "model/$MODEL" .status.serving)" = "$NEW" ] || die "$NEW is Live and the model serves $(field "$NAMESPACE" "model/$MODEL" .status.serving)"
  await_condition "$NAMESPACE" "modelversion/$former" Ready "True Retired" 30
  event "$NEW is Live, $former is Retired"
  FORMER=$former
}

# === verdict ===

events() { # FIGURES
  local i started
  started=$(jq -r .started "$1" | xargs -I{} date -u -d {} +%s.%N)
  printf '\n%-12s %8s  %s\n' "time (UTC)" second event
  for i in "${!EVENT_TIMES[@]}"; do
    printf '%-12s %8s  %s\n' "$(date -u -d "@${EVENT_TIMES[$i]}" +%H:%M:%S.%3N)" \
      "$(awk -v at="${EVENT_TIMES[$i]}" -v from="$started" 'BEGIN { printf "%.1f", at - from }')" "${EVENT_WORDS[$i]}"
  done
  EVENT_TIMES=()
  EVENT_WORDS=()
}

figures() { # FIGURES
  jq -r '
    "scheduled \(.scheduled) in \(.seconds) s (\(.rate)/s)   answered \(.answered)   failed \(.failed)   first tries failed \(.firstTryFailed)",
    "latency from when due, ms: p50 \(.latencyMs.p50)  p90 \(.latencyMs.p90)  p99 \(.latencyMs.p99)  p99.9 \(.latencyMs.p999)  max \(.latencyMs.max)",
    "sent late by, ms:          p50 \(.latenessMs.p50)  p99 \(.latenessMs.p99)  max \(.latenessMs.max)",
    "connections opened \(.connectionsOpened), kept-alive ones found closed before use \(.connectionsFoundClosed)",
    (.versions | to_entries[] | "\(.key): \(.value.answers) answers, second \(.value.first) to \(.value.last)"),
    (.failures[] | "first try failed: second \(.second) \(.kind) after \(.elapsedMs) ms, \(if .recovered then "answered at the retry" else "FAILED" end): \(.detail)")' "$1"
}

# holds "what must hold" JQ FIGURES
holds() {
  jq -e "$2" "$3" >/dev/null || {
    printf 'VIOLATED: %s\n' "$1"
    VIOLATIONS=$((VIOLATIONS + 1))
  }
}
VIOLATIONS=0

judge_all() { # FIGURES
  holds "every scheduled request has an outcome" '.lost == 0 and .scheduled == .answered + .failed' "$1"
  holds "no scheduled request failed" '.failed == 0' "$1"
  holds "the schedule was kept: at least 99 of 100 requests that the time holds were due" '.scheduled >= .seconds * .rate * 0.99' "$1"
}

# === all ===

need_packages jq:jq openssl:openssl
use_cluster
at_exit end_client
"$CLUSTER_SCRIPTS/images.sh" name load >/dev/null 2>&1 || step "client image" "$CLUSTER_SCRIPTS/images.sh" build load
step "client image into the cluster" "$CLUSTER_SCRIPTS/images.sh" load load
if [ "${1:-}" = sample ]; then
  NAMESPACE=modelward-disruptions
  MODEL=heart
  step "the model of the sample" make_sample
fi
kubectl get --namespace "$NAMESPACE" model "$MODEL" >/dev/null || die "no model $MODEL in the namespace $NAMESPACE: run the demo first"
person alice "$WORK/alice.kubeconfig"
kubectl create rolebinding modelward-disruptions --namespace "$NAMESPACE" --clusterrole modelward-approver --user alice --dry-run=client -o yaml | apply "$NAMESPACE"
await 120 "all Pods of $MODEL are ready" settled "$NAMESPACE" "$MODEL"
[ "$(inference_pods "$NAMESPACE" "$MODEL" | wc -l)" -ge 2 ] || die "$MODEL has fewer than 2 Pods; no disruption could go unnoticed"

step "client starts, $RATE requests a second" start_load "$NAMESPACE" "$MODEL" "$RATE" 0 --synthetic-key /key/traffic.key
event "begun: $(field "$NAMESPACE" "model/$MODEL" .status.serving), $(inference_pods "$NAMESPACE" "$MODEL" | wc -l) Pods"
step "operator killed" kill_component operator operator
step "ledger killed" kill_component ledger ledger
step "PostgreSQL killed" kill_component postgresql postgresql
step "inference Pods evicted" evict_all
step "new version" roll_version
sleep 5
event "ended"
stop_load "$NAMESPACE" "$MODEL" "$WORK/undisturbed.json"
events "$WORK/undisturbed.json"
echo
figures "$WORK/undisturbed.json"
judge_all "$WORK/undisturbed.json"
holds "no first try failed" '.firstTryFailed == 0' "$WORK/undisturbed.json"
holds "$FORMER answered before and $NEW after" ".versions | has(\"$FORMER\") and has(\"$NEW\") and .[\"$FORMER\"].first < .[\"$NEW\"].first and .[\"$FORMER\"].last < .[\"$NEW\"].last" "$WORK/undisturbed.json"

echo
step "client starts, with one retry" start_load "$NAMESPACE" "$MODEL" "$RATE" 1 --synthetic-key /key/traffic.key --retry-after-ms 2000
VICTIM=$(inference_pods "$NAMESPACE" "$MODEL" | sed -n 1p)
event "SIGKILL $VICTIM"
PROOF=$(kill_and_await "$NAMESPACE" "$VICTIM" inference)
event "$VICTIM is ready again, $PROOF"
await 60 "all Pods of $MODEL are ready" settled "$NAMESPACE" "$MODEL"
sleep 5
event "ended"
stop_load "$NAMESPACE" "$MODEL" "$WORK/killed.json"
events "$WORK/killed.json"
echo
figures "$WORK/killed.json"
judge_all "$WORK/killed.json"

echo
[ $VIOLATIONS = 0 ] || die "$VIOLATIONS of the things that must hold do not"
printf 'all hold: 0 of %s requests failed; after SIGKILL of an inference container 0 of %s failed with one retry, %s first tries did\n' \
  "$(jq .scheduled "$WORK/undisturbed.json")" "$(jq .scheduled "$WORK/killed.json")" "$(jq .firstTryFailed "$WORK/killed.json")"
[ "${1:-}" != sample ] || kubectl delete namespace "$NAMESPACE" --timeout=180s >/dev/null
