#!/usr/bin/env bash
# Collects the files of the trainer's image: the program, the C++ libraries that it loads, and the shared libraries that these need, at
# their paths on the machine that built the program.
#
#   collect.sh PROGRAM ENGINES OUT
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/../cluster/lib.sh"
PROGRAM=$1 ENGINES=$2 OUT=$3
install -D "$PROGRAM" "$OUT/modelward"
mkdir -p "$OUT/usr/lib/modelward/engines" "$OUT/etc"
cp -r "$ENGINES"/xgboost "$ENGINES"/xgboost_cpu.libs "$ENGINES"/lightgbm "$OUT/usr/lib/modelward/engines/"
# The usual name resolution: the hosts file first, then the DNS of the cluster.
echo 'hosts: files dns' >"$OUT/etc/nsswitch.conf"
needed() { # FILE…: the shared libraries of the system that they load
  local libraries
  for file in "$@"; do
    libraries=$(ldd "$file")
    awk '/=> \// { print $3 } /^\t\/.*ld-linux/ { print $1 }' <<<"$libraries"
  done | sort -u
}
mapfile -t files < <(find "$ENGINES" -name '*.so*' -type f)
mapfile -t libraries < <(needed "$PROGRAM" "${files[@]}")
for library in "${libraries[@]}"; do
  case $(readlink -f "$library") in
    "$(readlink -f "$ENGINES")"/*) continue ;;
  esac
  install -D -m 755 "$(readlink -f "$library")" "$OUT$library"
done
