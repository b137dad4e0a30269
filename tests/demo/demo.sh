#!/usr/bin/env bash
# From an empty machine to a served prediction: tools, cluster, images, charts, one ModelVersion, real rows.
#
#   demo.sh           does what is not done yet; running it again is quick and harmless
#   demo-down.sh      ends all of it
#
# MODELWARD_CLUSTER and the other parameters of tests/cluster/cluster.sh apply.
set -euo pipefail
DEMO=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER_SCRIPTS=$(cd "$DEMO/../cluster" && pwd)
# shellcheck source=../cluster/lib.sh
source "$CLUSTER_SCRIPTS/lib.sh"
RELEASE_NAMESPACE=modelward-system
NAMESPACE=hospital
SAMPLES=$REPOSITORY/manifests/samples
WORK=$CACHE/demo
mkdir -p "$WORK"

build_images() { "$CLUSTER_SCRIPTS/images.sh" build; }

bring_up() {
  "$CLUSTER_SCRIPTS/cluster.sh" up
  local environment
  environment=$("$CLUSTER_SCRIPTS/cluster.sh" env)
  eval "$environment"
}

load_images() { "$CLUSTER_SCRIPTS/images.sh" load; }

# A namespace whose Pods must all keep the restricted Pod Security Standard.
restricted_namespace() {
  kubectl apply --server-side --field-manager=modelward-demo -f - >/dev/null <<Y
apiVersion: v1
kind: Namespace
metadata:
  name: $1
  labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}
Y
}

install_charts() {
  restricted_namespace "$RELEASE_NAMESPACE"
  "$CLUSTER_SCRIPTS/images.sh" values >"$WORK/images.yaml"
  quietly helm-crds helm upgrade --install modelward-crds "$REPOSITORY/charts/modelward-crds" --namespace "$RELEASE_NAMESPACE" --wait --timeout 2m
  # What a former attempt left half-way is waited for, not repaired by hand: the same command is the cure.
  if ! helm upgrade --install modelward "$REPOSITORY/charts/modelward" --namespace "$RELEASE_NAMESPACE" \
    --values "$REPOSITORY/manifests/local/values.yaml" --values "$WORK/images.yaml" --wait --wait-for-jobs --timeout 4m >"$LOGS/helm.log" 2>&1; then
    grep -i '^error' "$LOGS/helm.log" >&2 || tail -n 5 "$LOGS/helm.log" >&2
    kubectl --namespace "$RELEASE_NAMESPACE" get pods >&2 || true
    die "the chart did not become ready; kubectl --namespace $RELEASE_NAMESPACE describe pods tells why"
  fi
  kubectl --namespace "$RELEASE_NAMESPACE" get pods
}

apply_sample() {
  restricted_namespace "$NAMESPACE"
  kubectl apply --namespace "$NAMESPACE" -k "$SAMPLES/heart-disease"
  kubectl apply --namespace "$NAMESPACE" -f "$SAMPLES/heart-1.yaml"
}

await_ready() {
  if ! kubectl wait --namespace "$NAMESPACE" --for=condition=Ready modelversion/heart-1 --timeout=5m; then
    kubectl get --namespace "$NAMESPACE" modelward,jobs,pods >&2 || true
    kubectl get --namespace "$NAMESPACE" modelversion heart-1 \
      -o jsonpath='{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' >&2 || true
    die "heart-1 did not become ready"
  fi
  kubectl get --namespace "$NAMESPACE" modelversions,models
}

# === predictions ===

# Rows of the Cleveland data, the last one with a missing value, as the array of named features that /predict takes;
# without what is to be told.
rows_as_json() {
  { head -n 4 "$SAMPLES/heart-disease/cleveland.csv" && grep -m 1 '?' "$SAMPLES/heart-disease/cleveland.csv"; } | awk -F, '
    BEGIN { split("age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal", name, " "); printf "[" }
    { printf "%s{", (NR > 1 ? ",\n " : "")
      for (i = 1; i <= 13; i++) printf "%s\"%s\": %s", (i > 1 ? ", " : ""), name[i], ($i == "?" ? "null" : $i)
      printf "}" }
    END { print "]" }'
}

# Through the Service of the model. The host of a bare cluster has a route to it; kind's node is asked in its place.
post() { # PATH FILE
  local address
  address=$(kubectl get --namespace "$NAMESPACE" service heart -o jsonpath='{.spec.clusterIP}')
  if [ "$MODELWARD_CLUSTER_PLACE" = kind ]; then
    "$CLUSTER_SCRIPTS/cluster.sh" node curl -sS --fail-with-body --max-time 10 -H 'content-type: application/json' --data-binary @- "http://$address$1" <"$2"
  else
    curl -sS --fail-with-body --max-time 10 -H 'content-type: application/json' --data-binary @"$2" "http://$address$1"
  fi
}

# The bundle once more, on this machine, by the very program of the Job: the same data and spec give the same digest, and
# `score` refuses any other.
score_here() { # DIGEST
  local trainer=$CARGO_TARGET_DIR/x86_64-unknown-linux-musl/release/modelward-trainer
  quietly demo-fit "$trainer" fit --spec "$SAMPLES/heart-1.yaml" --source "$SAMPLES/heart-disease/cleveland.csv" --out "$WORK/bundle"
  "$trainer" score --bundle "$WORK/bundle" --digest "$1" --rows "$WORK/rows.json" >"$WORK/scores.jsonl"
}

predict() {
  local digest
  need_packages curl:curl python3:python3
  rows_as_json >"$WORK/rows.json"
  cat "$WORK/rows.json"
  post /predict "$WORK/rows.json" >"$WORK/answers.json" || die "the Service answered: $(cat "$WORK/answers.json")"
  digest=$(kubectl get --namespace "$NAMESPACE" modelversion heart-1 -o jsonpath='{.status.bundle.digest}')
  say "the cluster's bundle and the one trained again here: $digest"
  score_here "$digest"
  python3 "$DEMO/compare.py" "$WORK/answers.json" "$WORK/scores.jsonl"
}

# === all ===

step "programs and images" build_images
step "cluster" bring_up
step "images into the cluster" load_images
step "charts" install_charts
step "data and ModelVersion" apply_sample
step "trained, gated, served" await_ready
step "predictions" predict
step_table
cat <<T

Next:
  eval "\$(tests/cluster/cluster.sh env)"
  kubectl get modelward -A
  kubectl describe --namespace $NAMESPACE modelversion heart-1
  kubectl explain modelversion.spec.source
  address=\$(kubectl get --namespace $NAMESPACE service heart -o jsonpath='{.spec.clusterIP}')
  curl -s http://\$address/v2/models/heart; echo
  make demo-down
T
