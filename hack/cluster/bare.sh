# A one-node cluster on the bare machine. One process tree in its own mount, network, process, IPC and host-name
# namespaces (node.sh is its PID 1), joined to the host by one veth pair: what kind does with a container. Killing PID 1
# ends every component and container at once.
# shellcheck shell=bash
CGROUP=${MODELWARD_CLUSTER_CGROUP:-/modelward-$NAME}
SHARED=/var/lib/modelward
# Read by cluster.sh, which sets STATE.
# shellcheck disable=SC2034,SC2153
VOLUME_ROOT=$STATE/volumes
# The name of a network device has 15 characters at most.
VETH=mw-$NAME
[ ${#VETH} -le 15 ] || VETH=mw-$(printf %s "$NAME" | sha256sum | cut -c1-8)
KUBERNETES_BIN=$TOOLS/kubernetes-$KUBERNETES

# Up is what `up` has finished: also the device and the routes are there.
is_up() {
  [ -f "$STATE/ready" ] && [ -n "$(launcher_pid)" ] && [ -f "$STATE/addresses" ] || return 1
  # shellcheck source=/dev/null
  source "$STATE/addresses"
  [ -n "$(ip -o link show "$VETH" 2>/dev/null)" ] && [ -n "$(ip -4 route show exact "$PODS")" ] && [ -n "$(ip -4 route show exact "$SERVICES")" ]
}

# === its processes ===

# They are found by what they run and not by a file: a start that was killed may have written none, and a number in a file may
# be another process by now. Everything that prints a process prints nothing where there is none, and succeeds.

# How many process namespaces a process is in, seen from here: 1 on the host, 2 in the node.
depth_of() { awk '$1 == "NSpid:" { print NF - 1 }' "/proc/$1/status" 2>/dev/null || true; }

# The launcher, the node's PID 1, and subshells of that one.
node_processes() {
  local pid arguments found
  found=$(pgrep -f -- '/node\.sh ' || true)
  for pid in $found; do
    # It may have ended since.
    mapfile -d '' -t arguments 2>/dev/null <"/proc/$pid/cmdline" || continue
    if [ ${#arguments[@]} -ge 2 ] && [ "${arguments[-1]}" = "$STATE" ] && [[ ${arguments[-2]} == */node.sh ]]; then echo "$pid"; fi
  done
}

# The process that holds the node.
launcher_pid() {
  local pid
  for pid in $(node_processes); do
    if [ "$(depth_of "$pid")" = 1 ]; then
      echo "$pid"
      return
    fi
  done
}

# The node's PID 1: the launcher's child in a namespace of its own. A child in the host's is something else.
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

# A process that has ended and was not collected yet is there, and does not live.
lives() { # PID
  local state
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true)
  [ -n "$state" ] && [[ $state != [ZX] ]]
}

# Ends the node and waits until the kernel has ended everything in its namespaces.
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
  [ -n "$node" ] || die "the node of cluster $NAME has ended; its logs are in $STATE/log"
  nsenter --target "$node" --mount --net --pid --ipc --uts -- "$@"
}

# === one at a time ===

# Two commands on one cluster wait for each other, and so do two clusters that choose addresses. The files are never deleted:
# a lock on a file that another process deletes excludes no process.
LOCKS=/run/lock
[ -d "$LOCKS" ] || LOCKS=/tmp

lock_cluster() {
  exec 8>"$LOCKS/modelward-cluster-$NAME"
  flock -n 8 && return
  say "another command works on cluster $NAME; waiting for it"
  flock -w 1200 8 || die "another command has worked on cluster $NAME for 20 minutes"
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

# The first block that neither another cluster nor a route of this machine uses; kept over restarts.
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

# What a start that was cut short has left. Its state is of use only where it was complete once.
clear_former_start() {
  if [ -n "$(node_processes)" ]; then
    say "ending what is left of a former start of cluster $NAME"
    end_node
  fi
  ip link del "$VETH" 2>/dev/null || true
  remove_cgroups
  # The directory itself stays, so that the one above it is not taken away meanwhile.
  [ -f "$STATE/complete" ] || find "$STATE" -mindepth 1 -xdev -delete
}

start() {
  local controller launcher node='' since from=$EPOCHREALTIME
  clear_former_start
  # The device goes with the node's namespace; where it exists, that node lives.
  [ -z "$(ip -o link show "$VETH" 2>/dev/null)" ] || die "the network device $VETH exists: a cluster $NAME runs with another state directory than $STATE"
  echo bare >"$STATE/place"
  # Two clusters may start at once; they must not choose the same block.
  lock_host
  choose_addresses
  remember_sysctls
  unlock_host
  say "link $LINK.1-2, Pods $PODS, Services $SERVICES, cgroup $CGROUP, device $VETH"

  for controller in $(cgroup_roots); do
    mkdir -p "$controller$CGROUP"
    # Version 2 of the hierarchy hands a controller down only where it is asked to.
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
  # A start that fails leaves its logs, and nothing that runs.
  at_exit end_unfinished_start
  # A session of its own: Ctrl-C in the terminal that started it must not end the cluster.
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

  # node.sh bounds each of its waits and says which one was too long.
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
    say "cluster $NAME ended"
  else
    say "cluster $NAME does not run"
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

cgroup_roots() { # one for each hierarchy of version 1, or the one of version 2
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    awk '$3 == "cgroup" && $2 ~ "^/sys/fs/cgroup/" { print $2 }' /proc/mounts
  fi
}

# A container that was killed leaves its group a moment later.
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

# The kubelet sets kernel parameters that no namespace holds; they go back when the last cluster has gone.
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

# The kernel takes a namespace apart after its last process has ended: what is still there is looked at for a while.
leftovers() {
  local left since=$SECONDS
  until left=$(what_is_left) && [ -z "$left" ]; do
    [ $((SECONDS - since)) -lt 30 ] || die "left behind: $left"
    sleep 0.1
  done
  say "nothing left: no process, device, route, cgroup or mount of it"
}

# A process belongs to the node where it runs node.sh with this state, or has a mount below it. One that only names the directory
# does not.
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
      say "$image is there"
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
