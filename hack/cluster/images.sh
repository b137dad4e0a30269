#!/usr/bin/env bash
# Builds the images of the demo and the tests, from binaries that cargo builds on this machine.
#
#   images.sh fetch              installs and downloads what the builds need, and builds the image of PostgreSQL
#   images.sh build [NAME…]      operator, inference, trainer, postgres (the default) and load, the client of the tests
#   images.sh load [NAME…]       loads images into the cluster (cluster.sh load)
#   images.sh name NAME          prints the full name of a built image
#   images.sh values             prints Helm values with the built images
#   images.sh archive IMAGE TAR  writes an image as an archive, like `docker save`
#
# Tags are the sha256 of the content, so an unchanged image is neither built nor loaded again.
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/lib.sh"
TARGET=x86_64-unknown-linux-musl
IMAGES=$CACHE/images
REGISTRY=localhost
DEBIAN=bookworm
# name: maximum size in MB
declare -A LARGEST=([operator]=40 [inference]=25 [trainer]=70)
DEFAULT=(operator inference trainer postgres)
mkdir -p "$IMAGES"

# A separate storage, so that the images of the machine are not changed and the cache can be deleted as a whole.
builder() { buildah --root "$IMAGES/storage" --runroot "$IMAGES/run" --storage-driver vfs "$@"; }

choose_builder() {
  if command -v buildah >/dev/null || { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }; then
    need_packages buildah:buildah
    BUILDER=buildah
  elif docker info >/dev/null 2>&1; then
    BUILDER=docker
  else
    die "images are built by buildah or Docker, and neither is installed: install buildah (sudo apt-get install buildah)"
  fi
}

exists() {
  if [ "$BUILDER" = docker ]; then
    docker image inspect "$1" >/dev/null 2>&1
  else
    builder inspect --type image "$1" >/dev/null 2>&1
  fi
}

# With `retried` as the last argument if the build uses a package archive.
build_image() { # IMAGE DOCKERFILE CONTEXT ARGUMENT=VALUE [retried]
  if [ "$BUILDER" = docker ]; then
    DOCKER_BUILDKIT=1 quietly "image-$(basename "$1")" ${5:+"$5"} docker build -t "$1" -f "$2" --build-arg "$4" "$3"
  else
    quietly "image-$(basename "$1")" ${5:+"$5"} builder bud --isolation chroot -t "$1" -f "$2" --build-arg "$4" "$3"
  fi
}

size_of() {
  if [ "$BUILDER" = docker ]; then
    docker image inspect --format '{{.Size}}' "$1"
  else
    builder images --json "$1" | sed -n 's/.*"size": "\([0-9.]*\) \([A-Za-z]*\)".*/\1 \2/p' | sed -n 1p |
      awk '{ factor["B"] = 1; factor["KB"] = 1e3; factor["MB"] = 1e6; factor["GB"] = 1e9; printf "%d", $1 * factor[$2] }'
  fi
}

# === programs ===

build_binaries() {
  need_programs
  # Always builds all programs: the features of their shared crates depend on the whole list, and another list would compile
  # everything again. The first build takes about 11 minutes on 2 cores.
  cd "$REPOSITORY"
  CC_x86_64_unknown_linux_musl=musl-gcc cargo_counted programs build --locked --release --target $TARGET \
    -p modelward-operator -p modelward-inference -p modelward-load
}

# The trainer loads the libraries of wheels, which are linked with glibc.
build_trainer() {
  need_programs
  cd "$REPOSITORY"
  cargo_counted trainer build --locked --release -p modelward-trainer
}

need_programs() {
  need_packages musl-gcc:musl-tools gcc:gcc make:make
  need_rust
}

# Downloads what the builds need before anything is built.
fetch() {
  choose_builder
  need_programs
  need_crates
  lock_images
  "$REPOSITORY/hack/engines/fetch.sh"
  [ "$BUILDER" = docker ] || step "image postgres" build_postgres
}

build_program() { # NAME
  local name=$1 binary=$CARGO_TARGET_DIR/$TARGET/release/modelward-$1 context=$IMAGES/context-$1 image size
  local dockerfile=$REPOSITORY/Dockerfile inside=()
  if [ "$name" = trainer ]; then
    binary=$CARGO_TARGET_DIR/release/modelward-trainer
    inside=("$REPOSITORY"/hack/engines/*)
    "$REPOSITORY/hack/engines/fetch.sh"
  fi
  [ -x "$binary" ] || die "cargo did not build $binary: does the package modelward-$name have a program with this name?"
  need_packages /etc/ssl/certs/ca-certificates.crt:ca-certificates
  image=$REGISTRY/modelward/$name:$(cat "$binary" "$dockerfile" /etc/ssl/certs/ca-certificates.crt "${inside[@]}" | sha256sum | cut -c1-12)
  if ! exists "$image"; then
    rm -rf "$context"
    mkdir -p "$context/etc/ssl/certs"
    if [ "$name" = trainer ]; then
      "$REPOSITORY/hack/engines/collect.sh" "$binary" "$MODELWARD_ENGINES" "$context"
    else
      cp "$binary" "$context/modelward"
    fi
    cp -L /etc/ssl/certs/ca-certificates.crt "$context/etc/ssl/certs/"
    build_image "$image" "$dockerfile" "$context" BINARY=prebuilt
    rm -rf "$context"
  fi
  echo "$image" >"$IMAGES/$name.name"
  size=$(size_of "$image")
  say "$image $(awk -v bytes="$size" 'BEGIN { printf "%.1f MB", bytes / 1e6 }')"
  if [ -n "${LARGEST[$name]:-}" ] && [ "$size" -ge "$((LARGEST[$name] * 1000000))" ]; then
    die "$image has $size bytes, the limit is ${LARGEST[$name]} MB"
  fi
}

# === PostgreSQL ===

# Debian from its package archive, as a base image without a registry.
build_debian() {
  ! exists "$REGISTRY/modelward/debian:$DEBIAN" || return 0
  need_root "making a Debian base image"
  need_packages debootstrap:debootstrap /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
  need_disk 3 "$IMAGES"
  local root=$IMAGES/debian context=$IMAGES/context-debian
  say "Debian base, about a minute, once"
  rm -rf --one-file-system "$root" "$context"
  mkdir -p "$context"
  # debootstrap mounts into the directory. If it is killed, the mounts end with their namespace.
  counted debootstrap debian_unpacked retried unshare --mount -- debootstrap --variant=minbase "$DEBIAN" "$root"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" -cf "$context/rootfs.tar" .
  printf 'FROM scratch\nARG NONE\nADD rootfs.tar /\nCMD ["/bin/bash"]\n' >"$context/Dockerfile"
  build_image "$REGISTRY/modelward/debian:$DEBIAN" "$context/Dockerfile" "$context" NONE=
  rm -rf "$root" "$context"
}

debian_unpacked() { printf '%s packages fetched' "$(grep -c '^I: Validating ' "$1")"; }

build_postgres() {
  local image
  if [ "$BUILDER" = docker ]; then
    # With Docker, the node of the cluster pulls the public image that the chart names.
    rm -f "$IMAGES/postgres.name"
    return
  fi
  image=$REGISTRY/modelward/postgres:15-$(cat "$HERE"/postgres/* | sha256sum | cut -c1-12)
  if ! exists "$image"; then
    build_debian
    say "PostgreSQL from Debian's packages, about a minute, once"
    build_image "$image" "$HERE/postgres/Dockerfile" "$HERE/postgres" "BASE=$REGISTRY/modelward/debian:$DEBIAN" retried
  fi
  echo "$image" >"$IMAGES/postgres.name"
  say "$image $(size_of "$image" | awk '{ printf "%.0f MB", $1 / 1e6 }')"
}

# === commands ===

# Two concurrent builds would delete each other's context. A killed build leaves a container with a copy of its image.
lock_images() {
  exec 7>"$IMAGES/.lock"
  flock -n 7 || {
    say "another command is building images; waiting for it"
    flock 7
  }
  [ "$BUILDER" = docker ] || builder rm --all >/dev/null 2>&1 || true
}

build() {
  local name programs=() trainer=
  for name in "$@"; do
    case $name in
      operator | inference | load) programs+=("$name") ;;
      trainer) trainer=1 ;;
      postgres) ;;
      *) die "no image is called $name; there are operator, inference, trainer, load and postgres" ;;
    esac
  done
  choose_builder
  lock_images
  [ ${#programs[@]} -eq 0 ] || step "programs" build_binaries
  [ -z "$trainer" ] || step "trainer" build_trainer
  for name in "$@"; do
    if [ "$name" = postgres ]; then
      step "image postgres" build_postgres
    else
      step "image $name" build_program "$name"
    fi
  done
}

image_name() {
  [ -f "$IMAGES/$1.name" ] || die "the image $1 was not built: hack/cluster/images.sh build $1"
  cat "$IMAGES/$1.name"
}

archive() { # IMAGE TAR
  choose_builder
  exists "$1" || die "no image $1: build it with hack/cluster/images.sh build"
  # If the file exists, the archive would be appended.
  rm -f "$2"
  if [ "$BUILDER" = docker ]; then
    docker save -o "$2" "$1"
  else
    quietly archive builder push "$1" "docker-archive:$2:$1"
  fi
}

values() {
  local name image
  for name in operator inference trainer postgres; do
    [ -f "$IMAGES/$name.name" ] || continue
    image=$(cat "$IMAGES/$name.name")
    [ "$name" != postgres ] || name=postgresql
    printf '%s:\n  image: {registry: %s, repository: %s, tag: "%s"}\n' "$name" "${image%%/*}" "$(sed 's#^[^/]*/##; s#:[^:]*$##' <<<"$image")" "${image##*:}"
  done
}

load() {
  local name images=()
  for name in "$@"; do
    # PostgreSQL may be the public image, which the node pulls itself.
    [ "$name" = postgres ] && [ ! -f "$IMAGES/postgres.name" ] || images+=("$(image_name "$name")")
  done
  "$HERE/cluster.sh" load "${images[@]}"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  build | load)
    [ $# -gt 0 ] || set -- "${DEFAULT[@]}"
    "$command" "$@"
    ;;
  name) image_name "${1:?images.sh name NAME}" ;;
  values) values ;;
  fetch) fetch ;;
  archive) archive "${1:?images.sh archive IMAGE TAR}" "${2:?images.sh archive IMAGE TAR}" ;;
  *)
    sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
