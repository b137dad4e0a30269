# What story.sh and disruptions.sh stand on: the cluster that is up, the release in it, versions made from the sample,
# killing and waiting.
# shellcheck shell=bash
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER_SCRIPTS=$TESTS/cluster
# shellcheck source=tests/cluster/lib.sh
source "$CLUSTER_SCRIPTS/lib.sh"
# Read by the scripts that source this.
# shellcheck disable=SC2034
SAMPLES=$REPOSITORY/manifests/samples
SYSTEM=${MODELWARD_RELEASE_NAMESPACE:-modelward-system}

# === the cluster ===

use_cluster() {
  if [ -z "${MODELWARD_CLUSTER_STATE:-}" ]; then
    local environment
    environment=$("$CLUSTER_SCRIPTS/cluster.sh" env)
    eval "$environment"
  fi
  kubectl version >/dev/null || die "the cluster ${MODELWARD_CLUSTER} does not answer: tests/cluster/cluster.sh up"
}

on_node() { "$CLUSTER_SCRIPTS/cluster.sh" node "$@"; }

# A namespace whose Pods must all keep the restricted Pod Security Standard.
restricted_namespace() {
  kubectl apply --server-side --field-manager=modelward-tests -f - >/dev/null <<Y
apiVersion: v1
kind: Namespace
metadata:
  name: $1
  labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}
Y
}

# Both charts, with the images that tests/cluster/images.sh built. A release that stands already is brought up to them.
install_release() {
  local images
  images=$(mktemp)
  restricted_namespace "$SYSTEM"
  "$CLUSTER_SCRIPTS/images.sh" load
  "$CLUSTER_SCRIPTS/images.sh" values >"$images"
  quietly helm-crds helm upgrade --install modelward-crds "$REPOSITORY/charts/modelward-crds" --namespace "$SYSTEM" --wait --timeout 2m
  quietly helm helm upgrade --install modelward "$REPOSITORY/charts/modelward" --namespace "$SYSTEM" \
    --values "$REPOSITORY/manifests/local/values.yaml" --values "$images" --wait --wait-for-jobs --timeout 4m
  rm -f "$images"
}

# === waiting ===

# await SECONDS "what" COMMAND…: until the command succeeds; what it prints is not shown.
await() {
  local seconds=$1 what=$2 since=$SECONDS
  shift 2
  until "$@" >/dev/null; do
    [ $((SECONDS - since)) -lt "$seconds" ] || die "not within $seconds s: $what"
    sleep 0.3
  done
}

# condition NAMESPACE KIND/NAME TYPE: "True Reason the message".
condition() {
  kubectl get --namespace "$1" "$2" -o jsonpath="{range .status.conditions[?(@.type=='$3')]}{.status} {.reason} {.message}{end}"
}

# condition_is NAMESPACE KIND/NAME TYPE PATTERN: whether what `condition` prints matches, as `[[ … == PATTERN* ]]`.
condition_is() {
  local now
  now=$(condition "$1" "$2" "$3" 2>/dev/null) || return 1
  # shellcheck disable=SC2053
  [[ $now == $4* ]]
}

# await_condition NAMESPACE KIND/NAME TYPE PATTERN SECONDS
await_condition() {
  local since=$SECONDS
  until condition_is "$1" "$2" "$3" "$4"; do
    if [ $((SECONDS - since)) -ge "$5" ]; then
      kubectl get --namespace "$1" modelward,jobs,pods >&2 || true
      kubectl get --namespace "$1" "$2" -o jsonpath='{range .status.conditions[*]}   {.type}={.status} {.reason}: {.message}{"\n"}{end}' >&2 || true
      die "$2: $3 is not '$4…' within $5 s, it is '$(condition "$1" "$2" "$3")'"
    fi
    sleep 0.3
  done
}

# field NAMESPACE KIND/NAME JSONPATH, empty where it is absent.
field() { kubectl get --namespace "$1" "$2" -o jsonpath="{$3}" 2>/dev/null; }

# === versions ===

# version NAME [JQ]: the sample heart-1 under another name, changed by a jq program.
version() {
  kubectl create --dry-run=client -f "$SAMPLES/heart-1.yaml" -o json |
    jq --arg name "$1" "del(.metadata.namespace) | .metadata.name = \$name | ${2:-.}"
}

apply() { kubectl apply --namespace "$1" -f - >/dev/null; }

# delete_version NAMESPACE NAME [FLAG…]: also one that answers requests, whose deletion the gate asks to confirm by its uid.
delete_version() {
  local uid
  uid=$(field "$1" "modelversion/$2" .metadata.uid)
  kubectl annotate --overwrite --namespace "$1" "modelversion/$2" "modelward.io/confirm-delete=$uid" >/dev/null
  kubectl delete --namespace "$1" modelversion "$2" "${@:3}" >/dev/null
}

# await_live NAMESPACE NAME [SECONDS]: served by all of its Pods.
await_live() {
  await_condition "$1" "modelversion/$2" Ready "True Serving" "${3:-180}"
  [ "$(field "$1" "modelversion/$2" .status.role)" = Live ] || die "$2 is Ready and its role is $(field "$1" "modelversion/$2" .status.role)"
}

# === requests ===

# The first rows of the Cleveland data, as the array of named features that /predict takes, without what is to be told.
rows_as_json() { # COUNT
  head -n "$1" "$SAMPLES/heart-disease/cleveland.csv" | jq -Rn '
    ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"] as $names
    | [inputs | split(",")[:13] | to_entries | map({key: $names[.key], value: (if .value == "?" then null else (.value | tonumber) end)}) | from_entries]'
}

# post NAMESPACE SERVICE PATH FILE: through the Service. The host of a bare cluster has a route to it; kind's node is
# asked in its place.
post() {
  local address curl=(curl -sS --fail-with-body --max-time 10 -H 'content-type: application/json' --data-binary @-)
  address=$(kubectl get --namespace "$1" service "$2" -o jsonpath='{.spec.clusterIP}')
  if [ "$MODELWARD_CLUSTER_PLACE" = kind ]; then
    on_node "${curl[@]}" "http://$address$3" <"$4"
  else
    "${curl[@]}" "http://$address$3" <"$4"
  fi
}

# === artifacts ===

# Where the ledger keeps the artifacts of a namespace, on the node.
artifacts() { # NAMESPACE
  local volume
  volume=$(kubectl get --namespace "$SYSTEM" pvc modelward-ledger-artifacts -o jsonpath='{.spec.volumeName}')
  echo "$(kubectl get pv "$volume" -o jsonpath='{.spec.local.path}')/$1"
}

# fetch_bundle NAMESPACE DIGEST DIRECTORY: the very files that the ledger keeps.
fetch_bundle() {
  local from file sha256
  from=$(artifacts "$1")
  rm -rf "$3"
  mkdir -p "$3"
  on_node cat "$from/manifests/sha256/${2#sha256:}" </dev/null >"$3/manifest.json"
  while read -r file sha256; do
    on_node cat "$from/blobs/sha256/${sha256#sha256:}" </dev/null >"$3/$file"
  done < <(jq -r '.files[] | "\(.path) \(.sha256)"' "$3/manifest.json")
}

trainer() { "$CARGO_TARGET_DIR/x86_64-unknown-linux-musl/release/modelward-trainer" "$@"; }

# === killing ===

container_id() { # NAMESPACE POD CONTAINER
  kubectl get --namespace "$1" pod "$2" -o jsonpath="{.status.containerStatuses[?(@.name=='$3')].containerID}"
}

# kill_container NAMESPACE POD CONTAINER: SIGKILL to its first process, by the node's container runtime.
kill_container() {
  local id
  id=$(container_id "$1" "$2" "$3")
  [[ $id == containerd://* ]] || die "$2 has no running container $3"
  on_node ctr --namespace k8s.io task kill --signal SIGKILL "${id#containerd://}" </dev/null
}

# Whether the container is another one than before, and ready.
replaced() { # NAMESPACE POD CONTAINER FORMER-ID
  local now
  now=$(kubectl get --namespace "$1" pod "$2" -o jsonpath="{range .status.containerStatuses[?(@.name=='$3')]}{.ready} {.containerID}{end}" 2>/dev/null) || return 1
  [[ $now == "true containerd://"* && ${now#true } != "$4" ]]
}

# Kills a container and waits for its successor; prints the proof.
kill_and_await() { # NAMESPACE POD CONTAINER
  local former
  former=$(container_id "$1" "$2" "$3")
  kill_container "$1" "$2" "$3"
  await 120 "container $3 of $2 runs again" replaced "$1" "$2" "$3" "$former"
  echo "container ${former:13:12} -> $(container_id "$1" "$2" "$3" | cut -c14-25)"
}
