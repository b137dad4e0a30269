# What demo.sh, install.sh and disruptions.sh stand on: the cluster that is up, the release in it, versions made from the sample,
# people with credentials of their own, traffic, killing and waiting.
# shellcheck shell=bash
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER_SCRIPTS=$TESTS/../hack/cluster
# shellcheck source=hack/cluster/lib.sh
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
  kubectl version >/dev/null || die "the cluster ${MODELWARD_CLUSTER} does not answer: hack/cluster/cluster.sh up"
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

# Both charts, with the images that hack/cluster/images.sh built. A release that stands already is brought up to them.
install_release() {
  local images
  images=$(mktemp)
  at_exit rm -f "$images"
  restricted_namespace "$SYSTEM"
  "$CLUSTER_SCRIPTS/images.sh" load
  "$CLUSTER_SCRIPTS/images.sh" values >"$images"
  clear_pending_release modelward-crds
  clear_pending_release modelward
  quietly helm-crds helm upgrade --install modelward-crds "$REPOSITORY/charts/modelward-crds" --namespace "$SYSTEM" --wait --timeout 2m
  (quietly helm helm upgrade --install modelward "$REPOSITORY/charts/modelward" --namespace "$SYSTEM" \
    --values "$REPOSITORY/manifests/local/values.yaml" --values "$images" --wait --wait-for-jobs --timeout 4m) || {
    show_what_waits "$SYSTEM" >&2
    exit 1
  }
}

# What keeps Pods from running: the node's conditions and taints, the Pods and their warnings. Helm names only what is not ready.
show_what_waits() { # NAMESPACE
  kubectl get nodes -o jsonpath='{range .items[*]}   node {.metadata.name}:{range .status.conditions[?(@.status=="True")]} {.type}{end}{range .spec.taints[*]}, taint {.key}:{.effect}{end}{"\n"}{end}' || true
  kubectl get pods --namespace "$1" || true
  kubectl get events --namespace "$1" --field-selector type=Warning --sort-by=.lastTimestamp | tail -n 12 || true
}

# A Helm that was killed leaves its release locked: "another operation is in progress". Its record goes, and what it made is
# taken over by the next one.
clear_pending_release() { # RELEASE
  local pending
  pending=$(kubectl get --namespace "$SYSTEM" secrets --selector "owner=helm,name=$1,status in (pending-install,pending-upgrade,pending-rollback)" -o name)
  [ -n "$pending" ] || return 0
  say "a former Helm was killed while it installed $1: its lock is taken away"
  # shellcheck disable=SC2086
  kubectl delete --namespace "$SYSTEM" $pending >/dev/null
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
field() { kubectl get --namespace "$1" "$2" --ignore-not-found -o jsonpath="{$3}" 2>/dev/null; }

# === versions ===

# version NAME [JQ]: the sample heart-1 under another name, changed by a jq program. Its windows are a week long, so that none
# closes in the middle of a check, unless the program says otherwise.
version() {
  kubectl create --dry-run=client -f "$SAMPLES/heart-1.yaml" -o json |
    jq --arg name "$1" "del(.metadata.namespace) | .metadata.name = \$name | .spec.monitoring.windowSeconds = 604800 | .spec.monitoring.season = \"None\" | ${2:-.}"
}

apply() { kubectl apply --namespace "$1" -f - >/dev/null; }

# await_live NAMESPACE NAME [SECONDS]: served by all of its Pods.
await_live() {
  await_condition "$1" "modelversion/$2" Ready "True Serving" "${3:-180}"
  [ "$(field "$1" "modelversion/$2" .status.role)" = Live ] || die "$2 is Ready and its role is $(field "$1" "modelversion/$2" .status.role)"
}

# === people ===

# person NAME FILE: a kubeconfig of their own. The key is made here, and the cluster signs the certificate for it once the
# administrator has approved the request: what the API server knows is who holds the key.
person() {
  local name=$1 file=$2 request directory
  directory=$(mktemp -d)
  at_exit rm -rf "$directory"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$directory/key" -out "$directory/csr" -subj "/CN=$name" 2>/dev/null
  request=$(kubectl create -o jsonpath='{.metadata.name}' -f - <<Y
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {generateName: $name-}
spec:
  request: $(base64 -w0 <"$directory/csr")
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 86400
  usages: [client auth]
Y
  )
  kubectl certificate approve "$request" >/dev/null
  await 30 "the cluster signs the certificate of $name (a cluster that was made before this could be asked of it does not: make demo-down)" certificate_of "$request"
  (
    umask 077
    kubectl config view --raw --minify --flatten -o json | jq --arg name "$name" \
      --arg certificate "$(certificate_of "$request")" --arg key "$(base64 -w0 <"$directory/key")" '
      .users = [{name: $name, user: {"client-certificate-data": $certificate, "client-key-data": $key}}]
      | .contexts[0].context |= {cluster, user: $name}' >"$file"
  )
  kubectl delete certificatesigningrequest "$request" >/dev/null
}

certificate_of() { # REQUEST
  local certificate
  certificate=$(kubectl get certificatesigningrequest "$1" -o jsonpath='{.status.certificate}')
  [ -n "$certificate" ] && printf %s "$certificate"
}

# decide KUBECONFIG NAMESPACE ACTION approve|reject [COMMENT]: as the person of the kubeconfig. What kubectl says is printed.
decide() {
  local words
  if words=$(KUBECONFIG=$1 kubectl annotate --namespace "$2" "ra/$3" "modelward.io/$4=true" ${5:+"modelward.io/comment=$5"} 2>&1); then
    say "$words"
    return
  fi
  # Before Kubernetes 1.36 nothing stamps the short form: its refusal prints the line to type.
  if [[ $words =~ type\ it\ in\ full.*(approval\.modelward\.io/[0-9]+)=\"approve\ ([^\"]*)\" ]]; then
    words=$(KUBECONFIG=$1 kubectl annotate --namespace "$2" "ra/$3" "${BASH_REMATCH[1]}=$4 ${BASH_REMATCH[2]}${5:+ # $5}" 2>&1) && {
      say "$words"
      return
    }
  fi
  printf '%s\n' "$words"
  return 1
}

# promotion NAMESPACE VERSION: the name of the action that waits to promote it.
promotion() {
  kubectl get --namespace "$1" remediationactions -o json | jq -er --arg version "$2" '
    [.items[] | select(.spec.type == "PromoteModel" and .spec.candidate.name == $version) | .metadata.name][0]'
}

# promote KUBECONFIG NAMESPACE VERSION: approves its promotion, which waits for nothing else, and awaits that it is Live.
promote() {
  local action
  await_condition "$2" "modelversion/$3" Ready "True AwaitingPromotion" 180
  await 30 "the promotion of $3 is proposed" promotion "$2" "$3"
  action=$(promotion "$2" "$3")
  await_condition "$2" "remediationaction/$action" Approved "False AwaitingApproval" 60
  decide "$1" "$2" "$action" approve
  await_live "$2" "$3" "${4:-180}"
}

# === requests ===

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

# === traffic ===

# The Secret with the keys of a model, once there is one.
keys_of() { # NAMESPACE MODEL
  local secret
  secret=$(field "$1" "model/$2" .status.keySecret)
  [ -n "$secret" ] && echo "$secret"
}

# A Pod of the client: `client NAMESPACE POD MODEL ARGUMENT…`, with the model's traffic key at /key and, of a
# replay, the data at /data.
client() {
  local namespace=$1 pod=$2 model=$3 image arguments secret
  shift 3
  await 60 "the keys of $model are made" keys_of "$namespace" "$model"
  secret=$(keys_of "$namespace" "$model")
  image=$("$CLUSTER_SCRIPTS/images.sh" name load)
  arguments=$(jq -nc '$ARGS.positional' --args -- "$@")
  kubectl delete --namespace "$namespace" pod "$pod" --ignore-not-found --grace-period=1 >/dev/null
  apply "$namespace" <<Y
apiVersion: v1
kind: Pod
metadata: {name: $pod, labels: {app.kubernetes.io/name: modelward-load}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: load
      image: $image
      imagePullPolicy: IfNotPresent
      args: $arguments
      resources: {requests: {cpu: 50m, memory: 32Mi}}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: tmp, mountPath: /tmp}, {name: key, mountPath: /key, readOnly: true}, {name: data, mountPath: /data, readOnly: true}]
  volumes:
    - {name: tmp, emptyDir: {}}
    - {name: key, secret: {secretName: $secret, items: [{key: traffic.key, path: traffic.key}]}}
    - {name: data, configMap: {name: heart-disease, optional: true}}
Y
}

# start_load NAMESPACE MODEL RATE RETRIES [ARGUMENT…]: an open-loop stream of requests through the Service; synthetic with
# `--synthetic-key /key/traffic.key`.
start_load() {
  local pod=modelward-load-$2
  client "$1" "$pod" "$2" send --url "http://$2.$1.svc/predict" --rate "$3" --retries "$4" --seconds 1800 "${@:5}"
  await 60 "the client of $2 counts its first requests" load_counts "$1" "$pod"
}

load_counts() { # NAMESPACE POD
  [ "$(field "$1" "pod/$2" .status.phase)" != Failed ] || die "the client ended: $(kubectl logs --namespace "$1" "$2" --tail 3)"
  kubectl logs --namespace "$1" "$2" 2>/dev/null | matches ' answered, '
}

pod_ended() { [[ $(field "$1" "pod/$2" .status.phase) == @(Succeeded|Failed) ]]; } # NAMESPACE POD

# stop_load NAMESPACE MODEL FILE: ends the stream in order; its figures are in the file.
stop_load() {
  local pod=modelward-load-$2
  kubectl exec --namespace "$1" "$pod" -- /modelward stop
  figures_of "$1" "$pod" "$3" 30
}

# The last line of a client is its figures.
figures_of() { # NAMESPACE POD FILE SECONDS
  await "$4" "$2 ended" pod_ended "$1" "$2"
  kubectl logs --namespace "$1" "$2" >"$3.log"
  grep '^{' "$3.log" | tail -1 >"$3" || true
  jq -e .scheduled "$3" >/dev/null 2>&1 || die "$2 printed no figures: $(tail -3 "$3.log")"
  kubectl delete --namespace "$1" pod "$2" --wait=false >/dev/null
}

# The columns of the Heart Disease files.
COLUMNS_OF_HEART=age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num

# begin_replay NAMESPACE MODEL FROM COUNT WINDOW-SECONDS: Hungarian patients as requests, each once, in the order of seed 7, in
# the next window.
begin_replay() {
  client "$1" "modelward-replay-$2" "$2" replay --url "http://$2.$1.svc/predict" --csv /data/hungarian.csv --columns "$COLUMNS_OF_HEART" \
    --leave-out num --seed 7 --from "$3" --count "$4" --entity-prefix hungarian --window-seconds "$5"
}

end_replay() { # NAMESPACE MODEL FILE WINDOW-SECONDS
  figures_of "$1" "modelward-replay-$2" "$3" "$((60 + 2 * $4))"
  [ "$(jq '.failed + .lost' "$3")" = 0 ] || die "not every patient was answered: $(jq -c '{scheduled, answered, failed, failures}' "$3")"
}

# report_of VERSION FILE: the name of the DriftReport on the window that the replay was in.
report_of() {
  local end
  # `date` would take no end for today's midnight.
  end=$(jq -er .window.end "$2")
  echo "$1-$(date -u -d "$end" +%Y%m%d-%H%M%S)"
}

has_verdict() { [ -n "$(field "$1" "driftreport/$2" .status.verdict)" ]; } # NAMESPACE REPORT

# await_verdict NAMESPACE REPORT SECONDS: prints it.
await_verdict() {
  await "$3" "a verdict of $2" has_verdict "$1" "$2"
  field "$1" "driftreport/$2" .status.verdict
}

# What the ledger has counted for a model since ever: rows, synthetic, repeated, over the limit, and their sum. A namespace
# that was made again has the counts of the former one too.
counted() { # NAMESPACE MODEL
  kubectl exec --namespace "$SYSTEM" modelward-postgresql-0 -- psql --username modelward --dbname modelward --no-align --tuples-only --field-separator ' ' -c "
    SELECT coalesce(sum(rows), 0), coalesce(sum(synthetic), 0), coalesce(sum(repeated), 0), coalesce(sum(over_limit), 0),
           coalesce(sum(rows + synthetic + repeated + over_limit), 0) FROM counts WHERE namespace = '$1' AND model = '$2'" </dev/null
}

counted_in_all() { counted "$1" "$2" | cut -d' ' -f5; }

# await_count NAMESPACE MODEL SUM: Pods report what they counted every few seconds.
await_count() {
  local now since=$SECONDS
  until now=$(counted_in_all "$1" "$2") && [ "$now" = "$3" ]; do
    [ $((SECONDS - since)) -lt 40 ] || die "the ledger has counted $now rows of $2, and $3 were answered"
    sleep 1
  done
}

pods_of() { # NAMESPACE SELECTOR
  kubectl get --namespace "$1" pods --selector "$2" --field-selector status.phase=Running -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}'
}

inference_pods() { # NAMESPACE MODEL
  pods_of "$1" "app.kubernetes.io/name=modelward-inference,modelward.io/model=$2"
}

# Every Pod of the model is the present template's and ready, and none is leaving.
settled() { # NAMESPACE MODEL
  local state
  state=$(kubectl get --namespace "$1" deployment "$2" -o json | jq -r '
    (.status.observedGeneration == .metadata.generation) and .status.updatedReplicas == .spec.replicas and .status.replicas == .spec.replicas
    and .status.availableReplicas == .spec.replicas') || return 1
  [ "$state" = true ] && [ "$(inference_pods "$1" "$2" | wc -l)" = "$(field "$1" "deployment/$2" .spec.replicas)" ]
}

# === the trainer ===

trainer() { "$CARGO_TARGET_DIR/release/modelward-trainer" "$@"; }

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
