# What the clusters are made of, built once from pinned sources into the cache (see tools/*/go.mod and go.sum).
# shellcheck shell=bash
KUBERNETES=${MODELWARD_KUBERNETES:-1.37.2}
COREDNS=1.15.0
HELM=4.2.4

build_hyperkube() {
  local out=$TOOLS/kubernetes-$KUBERNETES component major minor version=k8s.io/component-base/version
  if [ ! -x "$out/hyperkube" ]; then
    [ -d "$HERE/tools/kubernetes-$KUBERNETES" ] || die "MODELWARD_KUBERNETES=$KUBERNETES: there are $(cd "$HERE/tools" && echo kubernetes-*)"
    need_go
    need_disk 8 "$CACHE"
    say "about 6 minutes on 2 cores, once; $LOGS/hyperkube.log tells more"
    IFS=. read -r major minor _ <<<"$KUBERNETES"
    mkdir -p "$out"
    (
      cd "$HERE/tools/kubernetes-$KUBERNETES" || exit 1
      CGO_ENABLED=0 quietly hyperkube go build -mod=readonly -buildvcs=false -trimpath -o "$out/hyperkube.part" \
        -ldflags "-s -w -X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=$major -X $version.gitMinor=$minor" .
    )
    mv "$out/hyperkube.part" "$out/hyperkube"
  fi
  for component in etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet; do
    ln -sf hyperkube "$out/$component"
  done
  say "$out ($(du -h "$out/hyperkube" | cut -f1))"
}

build_coredns() {
  local out=$TOOLS/coredns-$COREDNS
  if [ ! -x "$out/coredns" ]; then
    need_go
    say "about 90 seconds, once"
    mkdir -p "$out"
    (cd "$HERE/tools/coredns-$COREDNS" && CGO_ENABLED=0 quietly coredns go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w" -o "$out/coredns.part" .)
    mv "$out/coredns.part" "$out/coredns"
  fi
  say "$out ($(du -h "$out/coredns" | cut -f1))"
}

build_helm() {
  local out=$TOOLS/helm-$HELM
  if [ ! -x "$out/helm" ]; then
    need_go
    say "about 70 seconds, once"
    mkdir -p "$out"
    (cd / && GOFLAGS=-buildvcs=false CGO_ENABLED=0 GOBIN=$out quietly helm go install -trimpath -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$HELM" "helm.sh/helm/v4/cmd/helm@v$HELM")
  fi
  say "$out ($(du -h "$out/helm" | cut -f1))"
}

build_pause() {
  local out=$TOOLS/pause-1
  if [ ! -f "$out/pause.tar" ]; then
    need_packages gcc:gcc /usr/lib/x86_64-linux-gnu/libc.a:libc6-dev
    mkdir -p "$out"
    gcc -O2 -static -s -o "$out/pause" "$HERE/pause/pause.c"
    image_archive "$out/pause.tar" localhost/pause:1 "$out/pause" '["/pause"]'
  fi
  say "$out ($(du -h "$out/pause" | cut -f1))"
}

# image_archive TAR NAME FILE ENTRYPOINT: an image of one file, written as `docker save` would, without any builder.
image_archive() {
  local work layer config
  work=$(mktemp -d)
  tar -C "$(dirname "$3")" --owner=0 --group=0 --mtime=@0 -cf "$work/layer.tar" "$(basename "$3")"
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":%s,"User":"65535:65535"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$4" "$layer" >"$work/config.json"
  config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
  mv "$work/config.json" "$work/$config.json"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$config" "$2" >"$work/manifest.json"
  tar -C "$work" -cf "$1" manifest.json "$config.json" layer.tar
  rm -rf "$work"
}

build_tools() {
  local have=("$TOOLS/kubernetes-$KUBERNETES/kubelet" "$TOOLS/helm-$HELM/helm")
  [ "$PLACE" = kind ] || have+=("$TOOLS/coredns-$COREDNS/coredns" "$TOOLS/pause-1/pause.tar")
  if all_exist "${have[@]}"; then
    say "Kubernetes $KUBERNETES and Helm $HELM are built ($TOOLS)"
    return
  fi
  step "Kubernetes $KUBERNETES with etcd" build_hyperkube
  step "Helm $HELM" build_helm
  if [ "$PLACE" = bare ]; then
    step "CoreDNS $COREDNS" build_coredns
    step "pause" build_pause
  fi
}

all_exist() {
  local file
  for file in "$@"; do [ -e "$file" ] || return 1; done
}
