# A one-node cluster on the bare machine. One process tree in its own mount, network, process, IPC and host-name
# namespaces (node.sh is its PID 1), joined to the host by one veth pair: what kind does with a container. Killing PID 1
# ends every component and container at once.
# shellcheck shell=bash
CGROUP=${MODELWARD_CLUSTER_CGROUP:-/modelward-$NAME}
SHARED=/var/lib/modelward
# Read by cluster.sh.
# shellcheck disable=SC2034
VOLUME_ROOT=$STATE/volumes
# The name of a network device has 15 characters at most.
VETH=mw-$NAME
[ ${#VETH} -le 15 ] || VETH=mw-$(printf %s "$NAME" | sha256sum | cut -c1-8)
KUBERNETES_BIN=$TOOLS/kubernetes-$KUBERNETES

is_up() {
  local launcher
  [ -f "$STATE/ready" ] && launcher=$(launcher_pid) && [ -n "$launcher" ]
}

# The process that holds the node, if it still is that process and not another one with its number.
launcher_pid() {
  local pid
  [ -f "$STATE/launcher.pid" ] || return 0
  pid=$(cat "$STATE/launcher.pid")
  if [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "node.sh $STATE"; then
    echo "$pid"
  fi
}

node_pid() {
  local launcher
  launcher=$(launcher_pid)
  [ -z "$launcher" ] || pgrep -P "$launcher" | head -1
}

on_node() {
  nsenter --target "$(node_pid)" --mount --net --pid --ipc --uts -- "$@"
}

prepare() {
  need_root "a cluster on the bare machine"
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "a cluster on the bare machine needs Linux on x86_64, this is $(uname -sm); use kind"
  step "packages" need_packages containerd:containerd runc:runc /usr/lib/cni/ptp:containernetworking-plugins iptables:iptables \
    ip:iproute2 conntrack:conntrack ebtables:ebtables ethtool:ethtool socat:socat openssl:openssl curl:curl \
    unshare:util-linux pgrep:procps mount:mount
  build_tools
  mkdir -p "$SHARED" "$STATE"
  need_disk 3 "$STATE"
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
      ip -4 route show | grep -qE "10\.21[012]\.$index\." || break
    done
  fi
  [[ $index =~ ^([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$ ]] || die "MODELWARD_CLUSTER_INDEX=$index: must be 0-255"
  LINK=${MODELWARD_CLUSTER_LINK:-10.210.$index}
  PODS=${MODELWARD_CLUSTER_PODS:-10.211.$index.0/24}
  SERVICES=${MODELWARD_CLUSTER_SERVICES:-10.212.$index.0/24}
  for other in "$LINK.0/30" "$PODS" "$SERVICES"; do
    [ -z "$(ip -4 route show root "$other"; ip -4 route show exact "$other")" ] || die "this machine has a route to $other already: choose another MODELWARD_CLUSTER_INDEX"
  done
  printf 'LINK=%q PODS=%q SERVICES=%q\n' "$LINK" "$PODS" "$SERVICES" >"$STATE/addresses"
}

# === start and stop ===

start() {
  local controller node from=$EPOCHREALTIME
  # The device goes with the node's namespace; where it exists, that node lives.
  [ -z "$(ip -o link show "$VETH" 2>/dev/null)" ] || die "the network device $VETH exists: a cluster $NAME runs with another state directory than $STATE"
  echo bare >"$STATE/place"
  # Two clusters may start at once; they must not choose the same block.
  exec 9>"$SHARED/.lock"
  flock 9
  choose_addresses
  remember_sysctls
  flock -u 9
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
  # A session of its own: Ctrl-C in the terminal that started it must not end the cluster.
  CLUSTER=$NAME LINK=$LINK PODS=$PODS SERVICES=$SERVICES CGROUP=$CGROUP BIN=$KUBERNETES_BIN \
    setsid unshare --mount --net --pid --ipc --uts --fork --mount-proc --kill-child -- \
    bash "$HERE/node.sh" "$STATE" >"$STATE/log/node.log" 2>&1 </dev/null 9>&- &
  echo $! >"$STATE/launcher.pid"
  for _ in $(seq 100); do
    node=$(node_pid)
    [ -z "$node" ] || break
    sleep 0.05
  done
  [ -n "$node" ] || die "the node did not start: $(tail -n 3 "$STATE/log/node.log")"
  ip link add "$VETH" type veth peer name eth0 netns "$node"
  ip addr add "$LINK.1/30" dev "$VETH"
  ip link set "$VETH" up
  ip route replace "$PODS" via "$LINK.2"
  ip route replace "$SERVICES" via "$LINK.2"

  for _ in $(seq 600); do
    [ ! -s "$STATE/failed" ] || die "$(cat "$STATE/failed")"
    [ -n "$(launcher_pid)" ] || die "the node ended: $(tail -n 3 "$STATE/log/node.log")"
    [ ! -s "$STATE/ready" ] || break
    sleep 0.1
  done
  [ -s "$STATE/ready" ] || die "the node did not become ready in 60 s; its logs are in $STATE/log"
  say "API server https://$LINK.2:6443 after $(seconds_since "$from") s; logs in $STATE/log"
}

down() {
  local launcher node
  need_root "ending a cluster on the bare machine"
  launcher=$(launcher_pid)
  if [ -n "$launcher" ]; then
    node=$(node_pid)
    # --kill-child hands the signal on to the node's PID 1, and the kernel ends everything in its namespace.
    kill -KILL "$launcher" 2>/dev/null || true
    [ -z "$node" ] || kill -KILL "$node" 2>/dev/null || true
    for _ in $(seq 200); do
      [ -d "/proc/$launcher" ] || [ -d "/proc/${node:-none}" ] || break
      sleep 0.05
    done
    say "cluster $NAME ended"
  else
    say "cluster $NAME does not run"
  fi
  ip link del "$VETH" 2>/dev/null || true
  remove_cgroups
  rm -rf --one-file-system "$STATE"
  if [ -z "$(find "$SHARED" -mindepth 2 -maxdepth 2 -name addresses 2>/dev/null)" ]; then
    restore_sysctls
    rm -f "$SHARED/.lock"
    rmdir "$SHARED" 2>/dev/null || true
  fi
  leftovers
}

cgroup_roots() { # one for each hierarchy of version 1, or the one of version 2
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    awk '$3 == "cgroup" && $2 ~ "^/sys/fs/cgroup/" { print $2 }' /proc/mounts
  fi
}

remove_cgroups() {
  local root
  for _ in $(seq 100); do
    for root in $(cgroup_roots) /sys/fs/cgroup/unified; do
      [ ! -d "$root$CGROUP" ] || find "$root$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    [ -n "$(find /sys/fs/cgroup -maxdepth 2 -path "*$CGROUP")" ] || return 0
    # A container that was killed leaves its group a moment later.
    sleep 0.1
  done
}

# The kubelet sets kernel parameters that no namespace holds; they go back when the last cluster has gone.
SYSCTLS="vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes"
remember_sysctls() {
  # shellcheck disable=SC2086
  [ -f "$SHARED/sysctls" ] || sysctl $SYSCTLS >"$SHARED/sysctls" 2>/dev/null || true
}
restore_sysctls() {
  [ -f "$SHARED/sysctls" ] || return 0
  sysctl -qp "$SHARED/sysctls" 2>/dev/null || true
  rm -f "$SHARED/sysctls"
}

leftovers() {
  local left=()
  [ -z "$(ip -o link show "$VETH" 2>/dev/null)" ] || left+=("network device $VETH")
  [ -z "$(find /sys/fs/cgroup -maxdepth 2 -path "*$CGROUP" 2>/dev/null)" ] || left+=("cgroup $CGROUP")
  [ ! -e "$STATE" ] || left+=("$STATE")
  ! grep -qF " $STATE/" /proc/mounts || left+=("mounts under $STATE")
  ! pgrep -f -- "$STATE/" >/dev/null || left+=("processes: $(pgrep -f -- "$STATE/" | tr '\n' ' ')")
  [ ${#left[@]} -eq 0 ] || die "left behind: ${left[*]}"
  say "nothing left: no process, device, route, cgroup or mount of it"
}

# === images ===

load() {
  local image archive
  for image in "$@"; do
    if on_node ctr -n k8s.io images ls -q "name==$image" </dev/null | grep -qxF "$image"; then
      say "$image is there"
      continue
    fi
    archive=$(mktemp "$STATE/image.XXXXXX")
    "$HERE/images.sh" archive "$image" "$archive"
    on_node ctr -n k8s.io images import "$archive" >/dev/null </dev/null
    rm -f "$archive"
    say "$image loaded"
  done
}
