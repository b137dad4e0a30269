# Builds the tools of the clusters once, from pinned sources, into the cache (see tools/*/go.mod and go.sum).
# shellcheck shell=bash
KUBERNETES=${MODELWARD_KUBERNETES:-1.37.2}
COREDNS=1.15.0
HELM=4.2.4

# === Go ===

# `go build -v` prints each package of a program when it is built. The list of packages is known once the modules are
# downloaded.
packages_built() {
  local all=${1%.log}-packages.log
  printf 'package %s of %s' "$(grep -cvE '^(go:|#)' "$1")" "$(grep -cv '^go:' "$all")"
}

modules_fetched() { printf '%s modules' "$(grep -c '^go: downloading' "$1")"; }

# fetch_modules NAME DIRECTORY: downloads the modules of the program in a directory, and writes the list of its packages.
fetch_modules() {
  (cd "$2" && CGO_ENABLED=0 counted "$1-packages" modules_fetched retried go list -mod=readonly -deps .)
}

# build_go NAME DIRECTORY PROGRAM [FLAG…]: builds a program, which gets its final name last.
build_go() {
  local name=$1 directory=$2 program=$3
  shift 3
  fetch_modules "$name" "$directory"
  mkdir -p "$(dirname "$program")"
  (cd "$directory" && CGO_ENABLED=0 counted "$name" packages_built go build -v -mod=readonly -buildvcs=false -trimpath -o "$program.part" "$@" .)
  mv "$program.part" "$program"
}

# === the tools ===

build_hyperkube() {
  local out=$TOOLS/kubernetes-$KUBERNETES component major minor version=k8s.io/component-base/version
  if [ ! -x "$out/hyperkube" ]; then
    need_kubernetes
    need_go
    need_disk 8 "$CACHE"
    say "about 6 minutes on 2 cores, once"
    IFS=. read -r major minor _ <<<"$KUBERNETES"
    build_go hyperkube "$HERE/tools/kubernetes-$KUBERNETES" "$out/hyperkube" \
      -ldflags "-s -w -X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=$major -X $version.gitMinor=$minor"
  fi
  for component in etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet; do
    ln -sf hyperkube "$out/$component"
  done
  say "$out ($(du -h "$out/hyperkube" | cut -f1))"
}

need_kubernetes() {
  [ -d "$HERE/tools/kubernetes-$KUBERNETES" ] || die "MODELWARD_KUBERNETES=$KUBERNETES: there are $(cd "$HERE/tools" && echo kubernetes-*)"
}

build_coredns() {
  local out=$TOOLS/coredns-$COREDNS
  if [ ! -x "$out/coredns" ]; then
    need_go
    say "about 90 seconds, once"
    build_go coredns "$HERE/tools/coredns-$COREDNS" "$out/coredns" -ldflags "-s -w"
  fi
  say "$out ($(du -h "$out/coredns" | cut -f1))"
}

# Helm is built in the directory of its released module, with the versions that its go.sum pins.
build_helm() {
  local out=$TOOLS/helm-$HELM
  if [ ! -x "$out/helm" ]; then
    need_go
    say "about 70 seconds, once"
    fetch_helm
    build_go helm "$HELM_SOURCE/cmd/helm" "$out/helm" -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$HELM"
  fi
  say "$out ($(du -h "$out/helm" | cut -f1))"
}

fetch_helm() { # sets HELM_SOURCE
  (cd / && GOFLAGS=-mod=mod quietly helm-source retried go mod download -json "helm.sh/helm/v4@v$HELM")
  HELM_SOURCE=$(sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p' "$LOGS/helm-source.log")
  [ -n "$HELM_SOURCE" ] || die "Helm $HELM could not be downloaded: $LOGS/helm-source.log"
}

build_pause() {
  local out=$TOOLS/pause-1
  if [ ! -f "$out/pause.tar" ]; then
    need_packages gcc:gcc /usr/lib/x86_64-linux-gnu/libc.a:libc6-dev
    mkdir -p "$out"
    gcc -O2 -static -s -o "$out/pause" "$HERE/pause/pause.c"
    image_archive "$out/pause.tar.part" localhost/pause:1 "$out/pause" '["/pause"]'
    mv "$out/pause.tar.part" "$out/pause.tar"
  fi
  say "$out ($(du -h "$out/pause" | cut -f1))"
}

# image_archive TAR NAME FILE ENTRYPOINT: an image of one file, written like `docker save`, without a builder.
image_archive() {
  local work layer config
  work=$(mktemp -d)
  at_exit rm -rf "$work"
  tar -C "$(dirname "$3")" --owner=0 --group=0 --mtime=@0 -cf "$work/layer.tar" "$(basename "$3")"
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":%s,"User":"65535:65535"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$4" "$layer" >"$work/config.json"
  config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
  mv "$work/config.json" "$work/$config.json"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$config" "$2" >"$work/manifest.json"
  tar -C "$work" -cf "$1" manifest.json "$config.json" layer.tar
}

tools_are_built() {
  local have=("$TOOLS/kubernetes-$KUBERNETES/kubelet" "$TOOLS/helm-$HELM/helm")
  [ "$PLACE" = kind ] || have+=("$TOOLS/coredns-$COREDNS/coredns" "$TOOLS/pause-1/pause.tar")
  all_exist "${have[@]}"
}

build_tools() {
  if tools_are_built; then
    say "Kubernetes $KUBERNETES and Helm $HELM are built ($TOOLS)"
    return
  fi
  lock_tools
  step "Kubernetes $KUBERNETES with etcd" build_hyperkube
  step "Helm $HELM" build_helm
  if [ "$PLACE" = bare ]; then
    step "CoreDNS $COREDNS" build_coredns
    step "pause" build_pause
  fi
  exec 7>&-
}

# Two concurrent builds would write the same files.
lock_tools() {
  exec 7>"$TOOLS/.lock"
  flock -n 7 && return
  say "another command is building the tools; waiting for it"
  flock 7
}

# Downloads what the builds need before anything is built.
fetch_tools() {
  ! tools_are_built || return 0
  need_kubernetes
  need_packages gcc:gcc /usr/lib/x86_64-linux-gnu/libc.a:libc6-dev
  need_go
  say "Go modules of Kubernetes $KUBERNETES, Helm $HELM and CoreDNS $COREDNS"
  fetch_modules hyperkube "$HERE/tools/kubernetes-$KUBERNETES"
  fetch_helm
  fetch_modules helm "$HELM_SOURCE/cmd/helm"
  [ "$PLACE" = kind ] || fetch_modules coredns "$HERE/tools/coredns-$COREDNS"
}

all_exist() {
  local file
  for file in "$@"; do [ -e "$file" ] || return 1; done
}
