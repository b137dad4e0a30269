#!/usr/bin/env bash
# Starts and deletes a bare cluster repeatedly: it must start each time, and nothing of it may be left.
#
#   soak.sh [COUNT]     COUNT times (30), every second time with two busy loops in parallel; prints a line for each
#   soak.sh late        with an `unshare` that starts late
#   soak.sh killed      with SIGKILL to `cluster.sh up` at several moments, and once to `cluster.sh down`; then `up` must work
#
# The cluster is called soak. A failure ends the script and prints the state directory with the logs.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/lib.sh
source "$HERE/lib.sh"
export MODELWARD_CLUSTER=${MODELWARD_SOAK_CLUSTER:-soak} MODELWARD_CLUSTER_ON=bare
STATE=/var/lib/modelward/$MODELWARD_CLUSTER
unset MODELWARD_STATE
BUSY=()

start_busy_loops() {
  local i
  for i in 1 2; do
    (while :; do :; done) &
    BUSY+=("$!")
  done
}

end_busy_loops() {
  local pid
  for pid in "${BUSY[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  BUSY=()
}

cluster() { quietly "soak-$1" "$HERE/cluster.sh" "$@"; }

# Starts the cluster, checks that the node accepts Pods and that a Service address works, and deletes it.
up_and_down() { # WORDS
  local from=$EPOCHREALTIME up
  cluster up
  answers
  up=$(seconds_since "$from")
  from=$EPOCHREALTIME
  cluster down
  [ ! -e "$STATE" ] || die "$STATE is still there"
  say "$1: up in $up s, down in $(seconds_since "$from") s"
}

# Uses the route of the host, like the tests.
answers() {
  local environment kubectl
  environment=$("$HERE/cluster.sh" env)
  kubectl=$(eval "$environment" && type -P kubectl)
  [ "$("$kubectl" --kubeconfig "$STATE/admin.kubeconfig" get --raw /readyz)" = ok ] || die "the API server does not answer"
  "$kubectl" --kubeconfig "$STATE/admin.kubeconfig" wait --for=condition=Ready node --all --timeout=60s >/dev/null
}

many() { # COUNT
  local i words
  for ((i = 1; i <= $1; i++)); do
    words=""
    if [ $((i % 2)) = 0 ]; then
      start_busy_loops
      words=" with two busy loops"
    fi
    up_and_down "$i of $1$words"
    end_busy_loops
  done
  printf 'the cluster started and was deleted %s of %s times, %s of them with two busy loops in parallel\n' "$1" "$1" "$(($1 / 2))"
}

late() {
  local shims i real
  shims=$(mktemp -d)
  at_exit rm -rf "$shims"
  real=$(type -P unshare)
  # The first variant has a child meanwhile, which is not the node.
  printf '#!/usr/bin/env bash\nsleep 0.3\nexec %q "$@"\n' "$real" >"$shims/unshare"
  chmod +x "$shims/unshare"
  for i in 1 2 3; do PATH=$shims:$PATH up_and_down "an unshare that is late and has a child, $i of 3"; done
  printf '#!/usr/bin/env bash\nread -rt 0.3 <> <(:) || true\nexec %q "$@"\n' "$real" >"$shims/unshare"
  for i in 1 2 3; do PATH=$shims:$PATH up_and_down "an unshare that is late, $i of 3"; done
}

# === killed half-way ===

# Files that `up` creates, in this order.
MOMENTS=(addresses log log/node.log sa.key client-ca.crt tokens.csv log/kube-apiserver.log admin.kubeconfig log/kubelet.log ready)

kill_up_at() { # FILE
  local pid since=$SECONDS
  "$HERE/cluster.sh" up >"$LOGS/soak-killed.log" 2>&1 &
  pid=$!
  until [ -e "$STATE/$1" ]; do
    if [ ! -d "/proc/$pid" ] || [ $((SECONDS - since)) -ge 120 ]; then
      die "\`cluster.sh up\` did not create $STATE/$1: $(tail -n 3 "$LOGS/soak-killed.log")"
    fi
  done
  kill -KILL "$pid"
  wait "$pid" 2>/dev/null || true
}

kill_down() {
  local pid
  "$HERE/cluster.sh" down >"$LOGS/soak-killed.log" 2>&1 &
  pid=$!
  # `down` removes the state last.
  while [ -e "$STATE/addresses" ] && [ -d "/proc/$pid" ]; do :; done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

kill_api_server() {
  local pid
  pid=$("$HERE/cluster.sh" node pgrep -xf 'bin/kube-apiserver .*')
  "$HERE/cluster.sh" node kill -KILL "$pid"
}

killed() {
  local moment
  for moment in "${MOMENTS[@]}"; do
    kill_up_at "$moment"
    up_and_down "killed when there was $moment, and then"
  done
  cluster up
  kill_down
  up_and_down "\`down\` killed while it removed the state, and then"
  cluster up
  kill_api_server
  up_and_down "the API server of a cluster that was up killed, and then"
  kill_up_at tokens.csv
  cluster down
  say "killed when tokens.csv existed, then deleted"
  printf 'killed at %s moments, started the next time each time\n' $((${#MOMENTS[@]} + 3))
}

# === all ===

need_root "a cluster on the bare machine"
at_exit end_busy_loops
# Deletes what an earlier run left behind.
cluster down
case ${1:-30} in
  late | killed) "$1" ;;
  *)
    [[ ${1:-30} =~ ^[1-9][0-9]{0,3}$ ]] || die "soak.sh [COUNT], soak.sh late or soak.sh killed"
    many "${1:-30}"
    ;;
esac
