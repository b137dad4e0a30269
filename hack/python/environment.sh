# shellcheck shell=bash
# Creates a Python environment of pinned packages. For scripts that source hack/cluster/lib.sh.

# The environment is complete if its copy of the requirements is the same. Otherwise it is created again.
# Packages of a second file are installed without their dependencies.
make_environment() { # VENV REQUIREMENTS [REQUIREMENTS_ALONE]
  local requirements
  requirements=$(cat "${@:2}")
  [ "$(cat "$1/.requirements" 2>/dev/null)" != "$requirements" ] || return 0
  say "creating a Python environment in $1: $(grep -v '^#' <<<"$requirements" | paste -sd' ')"
  need_python
  rm -rf "$1"
  mkdir -p "$(dirname "$1")"
  quietly venv python3 -m venv "$1"
  install_packages "$1" -r "$2"
  [ -z "${3:-}" ] || install_packages "$1" --no-deps -r "$3"
  printf '%s\n' "$requirements" >"$1/.requirements"
}

install_packages() { # VENV ARGUMENTS...
  counted pip packages_fetched retried "$1/bin/pip" install --disable-pip-version-check --progress-bar off --only-binary :all: "${@:2}"
}

packages_fetched() { printf '%s packages fetched' "$(grep -cE '^ *(Downloading|Using cached) ' "$1")"; }
