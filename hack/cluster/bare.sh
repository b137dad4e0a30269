# A one-node cluster on the bare machine: one process tree in its own mount, network, PID, IPC and UTS namespaces
# (node.sh is its PID 1), connected to the host by a veth pair, like kind does with a container. Killing PID 1 ends all
# components and containers at once.
# shellcheck shell=bash
CGROUP=${MODELWARD_CLUSTER_CGROUP:-/modelward-$NAME}
SHARED=/var/lib/modelward
# Read by cluster.sh, which sets STATE.
# shellcheck disable=SC2034,SC2153
VOLUME_ROOT=$STATE/volumes
# The name of a network device has at most 15 characters.
VETH=mw-$NAME
[ ${#VETH} -le 15 ] || VETH=mw-$(printf %s "$NAME" | sha256sum | cut -c1-8)
KUBERNETES_BIN=$TOOLS/kubernetes-$KUBERNETES

# A cluster is up if `up` has completed, so that its device and routes exist too.
is_up() {
  [ -f "$STATE/ready" ] && [ -n "$(launcher_pid)" ] && [ -f "$STATE/addresses" ] || return 1
  # shellcheck source=/dev/null
  source "$STATE/addresses"
  [ -n "$(ip -o link show "$VETH" 2>/dev/null)" ] && [ -n "$(ip -4 route show exact "$PODS")" ] && [ -n "$(ip -4 route show exact "$SERVICES")" ]
}

# === its processes ===

# Processes are found by their command and not by a PID file: a killed start may not have written one, and its PID may belong to
# another process now. Functions that print a process print nothing, and succeed, if there is none.

# The number of nested PID namespaces of a process: 1 on the host, 2 in the node.
depth_of() { awk '$1 == "NSpid:" { print NF - 1 }' "/proc/$1/status" 2>/dev/null || true; }

# The launcher, PID 1 of the node, and its subshells.
node_processes() {
  local pid arguments found
  found=$(pgrep -f -- '/node\.sh ' || true)
  for pid in $found; do
    # It may have ended meanwhile.
    mapfile -d '' -t arguments 2>/dev/null <"/proc/$pid/cmdline" || continue
    if [ ${#arguments[@]} -ge 2 ] && [ "${arguments[-1]}" = "$STATE" ] && [[ ${arguments[-2]} == */node.sh ]]; then echo "$pid"; fi
  done
}

# The launcher of the node.
launcher_pid() {
  local pid
  for pid in $(node_processes); do
    if [ "$(depth_of "$pid")" = 1 ]; then
      echo "$pid"
      return
    fi
  done
}

# PID 1 of the node: the child of the launcher in its own PID namespace. Other children are in that of the host.
node_pid() {
  local launcher pid
  launcher=${1:-$(launcher_pid)}
  [ -n "$launcher" ] || return 0
  for pid in $(pgrep -P "$launcher" || true); do
    if [ "$(depth_of "$pid")" = 2 ]; then
      echo "$pid"
      return
    fi
  done
}

# Whether a process runs. A zombie exists but does not run.
lives() { # PID
  local state
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true)
  [ -n "$state" ] && [[ $state != [ZX] ]]
}

# Kills the node and waits until the kernel has ended everything in its namespaces.
end_node() {
  local pid seen=() living since=$SECONDS
  while true; do
    for pid in $(node_processes); do
      seen+=("$pid")
      kill -KILL "$pid" 2>/dev/null || true
    done
    living=()
    for pid in "${seen[@]}"; do
      ! lives "$pid" || living+=("$pid")
    done
    [ ${#living[@]} -gt 0 ] || [ -n "$(node_processes)" ] || return 0
    [ $((SECONDS - since)) -lt 120 ] || die "processes of cluster $NAME do not end: ${living[*]}"
    sleep 0.05
  done
}

on_node() {
  local node
  node=$(node_pid)
  [ -n "$node" ] || die "the node of cluster $NAME is not running; its logs are in $STATE/log"
  nsenter --target "$node" --mount --net --pid --ipc --uts -- "$@"
}

# === one at a time ===

# Two commands on one cluster wait for each other, and so do two clusters that choose addresses. The lock files are never deleted,
# because a lock on a deleted file excludes no other process.
LOCKS=/run/lock
[ -d "$LOCKS" ] || LOCKS=/tmp

lock_cluster() {
  exec 8>"$LOCKS/modelward-cluster-$NAME"
  flock -n 8 && return
  say "another command is using cluster $NAME; waiting for it"
  flock -w 1200 8 || die "another command has been using cluster $NAME for 20 minutes"
}

lock_host() {
  exec 9>"$LOCKS/modelward-clusters"
  flock -w 120 9 || die "another cluster has chosen its addresses for 2 minutes; see who holds $LOCKS/modelward-clusters"
}

unlock_host() { exec 9>&-; }

prepare() {
  need_root "a cluster on the bare machine"
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "a cluster on the bare machine needs Linux on x86_64, this is $(uname -sm); use kind"
  need_cluster_packages
  build_tools
  lock_host
  mkdir -p "$SHARED" "$STATE"
  unlock_host
  need_disk 5 "$STATE"
}

need_cluster_packages() {
  need_packages containerd:containerd runc:runc /usr/lib/cni/ptp:containernetworking-plugins iptables:iptables \
    ip:iproute2 conntrack:conntrack ebtables:ebtables ethtool:ethtool socat:socat openssl:openssl curl:curl \
    unshare:util-linux pgrep:procps mount:mount sysctl:procps flock:util-linux
}

# === addresses ===

# The first address block that neither another cluster nor a route of this machine uses. It is kept across restarts.
choose_addresses() {
  local index=${MODELWARD_CLUSTER_INDEX:-} other
  if [ -f "$STATE/addresses" ]; then
    # shellcheck source=/dev/null
    source "$STATE/addresses"
    return
  fi
  if [ -z "$index" ]; then
    for index in $(seq 0 255); do
      for other in "$SHARED"/*/addresses; do
        [ -f "$other" ] && grep -qE "10\.21[012]\.$index\." "$other" && continue 2
      done
      ip -4 route show | matches -E "10\.21[012]\.$index\." || break
    done
  fi
  [[ $index =~ ^([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$ ]] || die "MODELWARD_CLUSTER_INDEX=$index: must be 0-255"
  LINK=${MODELWARD_CLUSTER_LINK:-10.210.$index}
  PODS=${MODELWARD_CLUSTER_PODS:-10.211.$index.0/24}
  SERVICES=${MODELWARD_CLUSTER_SERVICES:-10.212.$index.0/24}
  for other in "$LINK.0/30" "$PODS" "$SERVICES"; do
    [ -z "$(ip -4 route show root "$other"; ip -4 route show exact "$other")" ] || die "this machine has a route to $other already: choose another MODELWARD_CLUSTER_INDEX"
  done
  printf 'LINK=%q PODS=%q SERVICES=%q\n' "$LINK" "$PODS" "$SERVICES" >"$STATE/addresses.part"
  mv "$STATE/addresses.part" "$STATE/addresses"
}

# === start and stop ===

# Cleans up after an interrupted start. Its state is kept only if the cluster was up once.
clear_former_start() {
  if [ -n "$(node_processes)" ]; then
    say "cleaning up an earlier start of cluster $NAME"
    end_node
  fi
  ip link del "$VETH" 2>/dev/null || true
  remove_cgroups
  # The directory itself stays, so that its parent is not removed meanwhile.
  [ -f "$STATE/complete" ] || find "$STATE" -mindepth 1 -xdev -delete
}

start() {
  local controller launcher node='' since from=$EPOCHREALTIME
  clear_former_start
  # The device disappears with the network namespace of the node. If it exists, that node is running.
  [ -z "$(ip -o link show "$VETH" 2>/dev/null)" ] || die "the network device $VETH exists: a cluster $NAME runs with another state directory than $STATE"
  echo bare >"$STATE/place"
  # Two clusters that start at once must not choose the same block.
  lock_host
  choose_addresses
  remember_sysctls
  unlock_host
  say "link $LINK.1-2, Pods $PODS, Services $SERVICES, cgroup $CGROUP, device $VETH"

  for controller in $(cgroup_roots); do
    mkdir -p "$controller$CGROUP"
    # In cgroup v2 a controller has to be enabled for the children of a group.
    [ ! -f "$controller/cgroup.subtree_control" ] || for c in cpu cpuset memory pids io hugetlb; do
      { echo "+$c" >"$controller/cgroup.subtree_control"; } 2>/dev/null || true
      { echo "+$c" >"$controller$CGROUP/cgroup.subtree_control"; } 2>/dev/null || true
    done
  done
  modprobe -aq overlay br_netfilter 2>/dev/null || true

  rm -f "$STATE/ready" "$STATE/failed"
  mkdir -p "$STATE/log"
  cp "$TOOLS/coredns-$COREDNS/coredns" "$TOOLS/pause-1/pause.tar" "$STATE/"
  [ -z "${MODELWARD_AUDIT_POLICY:-}" ] || cp "$MODELWARD_AUDIT_POLICY" "$STATE/audit-policy.yaml"
  LOG=$STATE/log/node.log
  # A failed start leaves its logs but no processes.
  at_exit end_unfinished_start
  # A new session, so that Ctrl-C in the terminal does not end the cluster.
  CLUSTER=$NAME LINK=$LINK PODS=$PODS SERVICES=$SERVICES CGROUP=$CGROUP BIN=$KUBERNETES_BIN \
    setsid unshare --mount --net --pid --ipc --uts --fork --mount-proc --kill-child -- \
    bash "$HERE/node.sh" "$STATE" >"$LOG" 2>&1 </dev/null 8>&- &
  launcher=$!
  since=$SECONDS
  until node=$(node_pid "$launcher") && [ -n "$node" ]; do
    lives "$launcher" || die "the node did not start: $(tail -n 3 "$LOG")"
    [ $((SECONDS - since)) -lt 60 ] || die "the node has no process after 60 s: $(tail -n 3 "$LOG")"
    sleep 0.05
  done
  ip link add "$VETH" type veth peer name eth0 netns "$node"
  ip addr add "$LINK.1/30" dev "$VETH"
  ip link set "$VETH" up
  ip route replace "$PODS" via "$LINK.2"
  ip route replace "$SERVICES" via "$LINK.2"

  # node.sh has a time limit for each of its waits and reports which one timed out.
  since=$SECONDS
  until [ -s "$STATE/ready" ]; do
    if [ -s "$STATE/failed" ] || ! lives "$launcher"; then
      [ ! -s "$STATE/failed" ] || die "$(cat "$STATE/failed")"
      die "the node ended: $(tail -n 3 "$LOG")"
    fi
    [ $((SECONDS - since)) -lt 600 ] || die "the node did not become ready in 10 minutes; its logs are in $STATE/log"
    sleep 0.1
  done
  touch "$STATE/complete"
  LOG=
  say "API server https://$LINK.2:6443 after $(seconds_since "$from") s; logs in $STATE/log"
}

end_unfinished_start() { if [ ! -f "$STATE/complete" ] || [ ! -s "$STATE/ready" ]; then end_node; fi; }

down() {
  need_root "ending a cluster on the bare machine"
  need_packages ip:iproute2 pgrep:procps flock:util-linux
  lock_cluster
  if [ -n "$(node_processes)" ]; then
    end_node
    say "cluster $NAME deleted"
  else
    say "cluster $NAME is not running"
  fi
  ip link del "$VETH" 2>/dev/null || true
  remove_cgroups
  lock_host
  remove_state
  if [ -z "$(find "$SHARED" -mindepth 2 -maxdepth 2 -name addresses 2>/dev/null || true)" ]; then
    restore_sysctls
    rmdir "$SHARED" 2>/dev/null || true
  fi
  unlock_host
  leftovers
}

remove_state() {
  local since=$SECONDS
  until rm -rf --one-file-system "$STATE" 2>/dev/null; do
    [ $((SECONDS - since)) -lt 30 ] || die "$STATE cannot be removed: $(rm -rf --one-file-system "$STATE" 2>&1 | sed -n 1p)"
    sleep 0.2
  done
}

cgroup_roots() { # one for each hierarchy of cgroup v1, or the one of v2
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    awk '$3 == "cgroup" && $2 ~ "^/sys/fs/cgroup/" { print $2 }' /proc/mounts
  fi
}

# A killed container leaves its cgroup a moment later.
remove_cgroups() {
  local root since=$SECONDS
  while [ -n "$(cgroups)" ] && [ $((SECONDS - since)) -lt 30 ]; do
    for root in $(cgroups); do
      find "$root" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    [ -z "$(cgroups)" ] || sleep 0.1
  done
}

cgroups() { # that exist
  local root
  for root in $(cgroup_roots) /sys/fs/cgroup/unified; do
    [ ! -d "$root$CGROUP" ] || echo "$root$CGROUP"
  done
}

# The kubelet sets kernel parameters that are not namespaced. They are restored when the last cluster is deleted.
SYSCTLS="vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes"
remember_sysctls() {
  # shellcheck disable=SC2086
  [ -f "$SHARED/sysctls" ] || { { sysctl $SYSCTLS >"$SHARED/sysctls.part" || true; } 2>/dev/null && mv "$SHARED/sysctls.part" "$SHARED/sysctls"; }
}
restore_sysctls() {
  [ -f "$SHARED/sysctls" ] || return 0
  sysctl -qp "$SHARED/sysctls" 2>/dev/null || true
  rm -f "$SHARED/sysctls"
}

# The kernel removes a namespace some time after its last process has ended, so this checks repeatedly.
leftovers() {
  local left since=$SECONDS
  until left=$(what_is_left) && [ -z "$left" ]; do
    [ $((SECONDS - since)) -lt 30 ] || die "left behind: $left"
    sleep 0.1
  done
  say "nothing is left of it: no process, device, route, cgroup or mount"
}

# A process belongs to the node if it runs node.sh with this state directory or has a mount below it. A process that only has the
# directory in its arguments does not.
what_is_left() {
  local left=() found
  [ -z "$(ip -o link show "$VETH" 2>/dev/null || true)" ] || left+=("network device $VETH")
  found=$(cgroups)
  [ -z "$found" ] || left+=("cgroups $found")
  [ ! -e "$STATE" ] || left+=("$STATE")
  found=$(grep -F " $STATE/" /proc/mounts || true)
  [ -z "$found" ] || left+=("mounts under $STATE")
  found=$({ node_processes; grep -lsF " $STATE/" /proc/[0-9]*/mountinfo | cut -d/ -f3 || true; } | sort -un | paste -sd' ')
  [ -z "$found" ] || left+=("processes $found")
  [ ${#left[@]} -eq 0 ] || printf '%s\n' "${left[@]}" | paste -sd,
}

# === images ===

load() {
  local image archive
  for image in "$@"; do
    if on_node ctr -n k8s.io images ls -q "name==$image" </dev/null | matches -xF "$image"; then
      say "$image is already loaded"
      continue
    fi
    archive=$(mktemp "$STATE/image.XXXXXX")
    at_exit rm -f "$archive"
    "$HERE/images.sh" archive "$image" "$archive"
    on_node ctr -n k8s.io images import "$archive" >/dev/null </dev/null
    rm -f "$archive"
    say "$image loaded"
  done
}
