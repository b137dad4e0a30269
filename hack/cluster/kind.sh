# A kind cluster, with the node in Docker. A cluster with this name that is already running is used unchanged.
# shellcheck shell=bash
KIND_NODE=$NAME-control-plane
# Read by cluster.sh.
# shellcheck disable=SC2034
VOLUME_ROOT=/var/local/modelward

is_up() {
  docker info >/dev/null 2>&1 || return 1
  kind get clusters 2>/dev/null | matches -xF "$NAME" || return 1
  # The cluster may have been created elsewhere or created again, so the files that the scripts need are always written.
  adopt
}

adopt() {
  mkdir -p "$STATE" 2>/dev/null || die "$STATE cannot be written: set MODELWARD_STATE to a directory of yours"
  echo kind >"$STATE/place"
  kind get kubeconfig --name "$NAME" >"$STATE/admin.kubeconfig"
  chmod 600 "$STATE/admin.kubeconfig"
  # Test users without any rights: the administrator impersonates them.
  local user
  for user in alice bob; do
    sed "s/^\( *\)user:\$/&\n\1  as: $user/" "$STATE/admin.kubeconfig" >"$STATE/$user.kubeconfig"
    chmod 600 "$STATE/$user.kubeconfig"
  done
}

prepare() {
  docker info >/dev/null 2>&1 || die "kind needs Docker, but \`docker info\` fails: start Docker, or set MODELWARD_CLUSTER_ON=bare"
  command -v kind >/dev/null || die "kind is not installed: install it, or set MODELWARD_CLUSTER_ON=bare"
}

start() {
  # Otherwise kind would write to the user's kubeconfig.
  mkdir -p "$STATE" 2>/dev/null || die "$STATE cannot be written: set MODELWARD_STATE to a directory of yours"
  kind create cluster --name "$NAME" --config "$REPOSITORY/manifests/local/kind.yaml" --kubeconfig "$STATE/admin.kubeconfig" --wait 120s
  adopt
}

down() {
  if kind get clusters 2>/dev/null | matches -xF "$NAME"; then
    mkdir -p "$STATE" 2>/dev/null || die "$STATE cannot be written: set MODELWARD_STATE to a directory of yours"
    kind delete cluster --name "$NAME" --kubeconfig "$STATE/admin.kubeconfig"
    say "cluster $NAME deleted"
  else
    say "cluster $NAME is not running"
  fi
  rm -rf "$STATE"
  rmdir "$(dirname "$STATE")" 2>/dev/null || true
}

on_node() { docker exec -i "$KIND_NODE" "$@"; }

load() {
  local image archive
  for image in "$@"; do
    if on_node crictl --image-endpoint unix:///run/containerd/containerd.sock inspecti -q "$image" >/dev/null 2>&1 </dev/null ||
      on_node ctr -n k8s.io images ls -q "name==$image" </dev/null 2>/dev/null | matches -xF "$image"; then
      say "$image is already loaded"
      continue
    fi
    if docker image inspect "$image" >/dev/null 2>&1; then
      kind load docker-image --name "$NAME" "$image"
    else
      archive=$(mktemp --suffix .tar)
      at_exit rm -f "$archive"
      "$HERE/images.sh" archive "$image" "$archive"
      kind load image-archive --name "$NAME" "$archive"
      rm -f "$archive"
    fi
    say "$image loaded"
  done
}
