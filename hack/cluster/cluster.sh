#!/usr/bin/env bash
# A real one-node Kubernetes cluster for the demo and the tests: kind if Docker and kind are present, otherwise the same
# components on the bare machine, in Linux namespaces.
#
#   cluster.sh fetch             installs the packages and downloads the sources that the next two commands need
#   cluster.sh tools             builds Kubernetes, etcd, CoreDNS, Helm and pause into the cache (once; about 9 minutes on 2 cores)
#   cluster.sh up                starts the cluster; a running cluster is not changed
#   cluster.sh load IMAGE…       loads images into the cluster's container runtime
#   cluster.sh volumes           creates the local volumes, and empties those that are not claimed any more
#   cluster.sh env               prints shell commands to use it:  eval "$(hack/cluster/cluster.sh env)"
#   cluster.sh node COMMAND…     runs a command on the node
#   cluster.sh down              deletes the cluster completely
#
# Parameters, from the environment:
#   MODELWARD_CLUSTER            name (modelward)
#   MODELWARD_CLUSTER_ON         kind | bare (kind if `docker info` and `kind` work, otherwise bare)
#   MODELWARD_CLUSTER_INDEX      0-255: the address block of a bare cluster (the first free one): link 10.210.N.0/30,
#                                Pods 10.211.N.0/24, Services 10.212.N.0/24
#   MODELWARD_CLUSTER_LINK, _PODS, _SERVICES   other addresses: the first three numbers of the link's /30 ("10.210.0"), the two CIDRs
#   MODELWARD_CLUSTER_CGROUP     cgroup of its Pods on a bare machine (/modelward-NAME)
#   MODELWARD_STATE              state directory (/var/lib/modelward/NAME)
#   MODELWARD_KUBERNETES         version, one of hack/cluster/tools/kubernetes-* (1.37.2)
#   MODELWARD_AUDIT_POLICY       file with an audit policy: the API server of a new bare cluster writes an audit log with it
#   MODELWARD_APISERVER_FLAGS    further flags for this API server
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/lib.sh"
source "$HERE/tools.sh"

NAME=${MODELWARD_CLUSTER:-modelward}
STATE=${MODELWARD_STATE:-/var/lib/modelward/$NAME}
VOLUMES=12
VOLUME_SIZE=2Gi
[[ $NAME =~ ^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$ ]] || die "MODELWARD_CLUSTER=$NAME: a name has 1-40 of a-z, 0-9 and -, and begins and ends with a letter or digit"

chosen_place() {
  local place=${MODELWARD_CLUSTER_ON:-}
  if [ -z "$place" ]; then
    if [ -f "$STATE/place" ]; then
      place=$(cat "$STATE/place")
    elif command -v kind >/dev/null && docker info >/dev/null 2>&1; then
      # The `docker` command may exist without an engine, so this checks whether the engine answers.
      place=kind
    else
      place=bare
    fi
  fi
  case $place in kind | bare) echo "$place" ;; *) die "MODELWARD_CLUSTER_ON=$place: must be kind or bare" ;; esac
}
PLACE=$(chosen_place)
# shellcheck source=/dev/null
source "$HERE/$PLACE.sh"

kubectl() { command "$KUBERNETES_BIN/kubectl" --kubeconfig "$STATE/admin.kubeconfig" "$@"; }

# === local volumes ===

# A StorageClass without a provisioner, and some directories of the node as `local` volumes. The kubelet changes their group
# to the fsGroup of a Pod, so that a restricted Pod can write to them. It does not do this for host-path volumes.
make_volumes() {
  local node i
  node=$(kubectl get nodes -o jsonpath='{.items[0].metadata.name}')
  kubectl get pv -l modelward.io/local-volume -o jsonpath='{range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}' |
    while read -r released; do
      [ -n "$released" ] || continue
      say "emptying the released volume $released"
      kubectl delete pv "$released" --wait=true >/dev/null
      on_node find "$VOLUME_ROOT/$released" -mindepth 1 -delete </dev/null
    done
  # shellcheck disable=SC2046
  on_node mkdir -p $(for i in $(seq "$VOLUMES"); do echo "$VOLUME_ROOT/modelward-local-$i"; done)
  {
    cat <<Y
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: modelward-local}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
Y
    for i in $(seq "$VOLUMES"); do
      cat <<Y
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: modelward-local-$i, labels: {modelward.io/local-volume: "$i"}}
spec:
  capacity: {storage: $VOLUME_SIZE}
  accessModes: [ReadWriteOnce, ReadOnlyMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: modelward-local
  volumeMode: Filesystem
  local: {path: $VOLUME_ROOT/modelward-local-$i}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$node]}]
Y
    done
  } | kubectl apply --server-side --force-conflicts -f - >/dev/null
  say "$VOLUMES local volumes of $VOLUME_SIZE in storage class modelward-local"
}

# === commands ===

# Tools in the cache come first. A machine with Docker and kind often has kubectl and Helm and need not build them.
cluster_tools() {
  KUBERNETES_BIN=$TOOLS/kubernetes-$KUBERNETES
  if [ ! -x "$KUBERNETES_BIN/kubectl" ]; then
    if ! type -P kubectl >/dev/null || ! type -P helm >/dev/null; then
      build_tools
    elif [ "$PLACE" = kind ]; then
      KUBERNETES_BIN=$(dirname "$(type -P kubectl)")
    fi
  fi
}

# Whether the API server of a cluster that is up answers within a minute.
answers() {
  local since=$SECONDS
  until [ "$(kubectl get --raw /readyz --request-timeout=10s 2>/dev/null)" = ok ]; do
    [ $((SECONDS - since)) -lt 60 ] || return 1
    sleep 1
  done
}

up() {
  local running=
  [ "$PLACE" = kind ] || lock_cluster
  if is_up; then
    cluster_tools
    if answers; then
      running=yes
    elif [ "$PLACE" = kind ]; then
      die "the API server of cluster $NAME does not answer: delete the cluster with \`cluster.sh down\`, create it with \`cluster.sh up\`"
    else
      say "the API server of cluster $NAME does not answer ($(tail -n 1 "$STATE/log/node.log")): starting the cluster again"
    fi
  fi
  if [ -n "$running" ]; then
    say "cluster $NAME is already running ($PLACE, $STATE)"
  else
    prepare
    cluster_tools
    step "cluster $NAME: start ($PLACE)" start
    step "cluster $NAME: node ready" kubectl wait --for=condition=Ready node --all --timeout=120s
    kubectl -n default wait --for=create serviceaccount/default --timeout=60s >/dev/null
  fi
  step "cluster $NAME: local volumes" make_volumes
  say "use it:  eval \"\$($(realpath --relative-to="$PWD" "$HERE")/cluster.sh env)\""
}

environment() {
  is_up || die "no cluster $NAME runs: \`cluster.sh up\` makes it"
  cluster_tools
  # shellcheck disable=SC2016
  printf 'export KUBECONFIG=%q PATH=%q:%q:"$PATH"\n' "$STATE/admin.kubeconfig" "$KUBERNETES_BIN" "$TOOLS/helm-$HELM"
  printf 'export MODELWARD_CLUSTER=%q MODELWARD_CLUSTER_PLACE=%q MODELWARD_CLUSTER_STATE=%q\n' "$NAME" "$PLACE" "$STATE"
}

case ${1:-} in
  fetch)
    if [ "$PLACE" = bare ]; then
      need_cluster_packages
      fetch_tools
    elif ! type -P kubectl >/dev/null || ! type -P helm >/dev/null; then
      fetch_tools
    fi
    ;;
  tools) build_tools ;;
  up) up ;;
  down) down ;;
  env) environment ;;
  load)
    shift
    is_up || die "no cluster $NAME runs: \`cluster.sh up\` makes it"
    load "$@"
    ;;
  volumes)
    is_up || die "no cluster $NAME runs: \`cluster.sh up\` makes it"
    cluster_tools
    make_volumes
    ;;
  node)
    shift
    is_up || die "no cluster $NAME runs: \`cluster.sh up\` makes it"
    on_node "$@"
    ;;
  *)
    sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
