#!/usr/bin/env bash
# Fetches the two files of this folder from their source and checks that they are the very bytes that are kept here.
#   download.sh [DIRECTORY]      default: this folder
set -Eeuo pipefail
shopt -s inherit_errexit
trap 'echo "failed: ${BASH_SOURCE[0]} line $LINENO: \`$BASH_COMMAND\` ended with exit status $?" >&2' ERR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=${1:-$here}
source=https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease
mkdir -p "$directory"

fetch() { # ORIGINAL NAME SHA256
  local part
  part=$(mktemp "$directory/.$2.XXXXXX")
  if ! curl --fail --silent --show-error --location --retry 2 --max-time 60 --output "$part" "$source/$1"; then
    rm -f "$part"
    echo "error: $source/$1 could not be fetched; the copy in $here is the same file" >&2
    exit 1
  fi
  if ! echo "$3  $part" | sha256sum --check --status; then
    echo "error: $source/$1 has sha256 $(sha256sum "$part" | cut -d' ' -f1) and should have $3; nothing was replaced" >&2
    rm -f "$part"
    exit 1
  fi
  chmod 644 "$part"
  mv "$part" "$directory/$2"
  echo "$directory/$2: sha256 as expected"
}

fetch processed.cleveland.data cleveland.csv a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8
fetch processed.hungarian.data hungarian.csv d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796
