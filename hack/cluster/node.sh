#!/usr/bin/env bash
# PID 1 of a node on the bare machine, in the namespaces that bare.sh created: sets up the file system of the node, starts
# the components and waits. It writes only to its state directory.
set -Eeuo pipefail
shopt -s inherit_errexit
STATE=$1
# The log that is currently being written. If a command fails, its last lines are printed.
LOG=$STATE/log/node.log
fail() {
  echo "$*" >"$STATE/failed.part"
  mv "$STATE/failed.part" "$STATE/failed"
  exit 1
}
# bare.sh prints the file `failed`.
report_failure() { # STATUS LINE COMMAND
  [[ $- == *e* ]] || return 0
  fail "node.sh line $2: \`${3%%$'\n'*}\` ended with exit status $1; the last lines of $LOG: $(tail -n 5 "$LOG" || true)"
}
trap 'report_failure $? "$LINENO" "$BASH_COMMAND"' ERR
NODE_IP=$LINK.2
SERVER=https://$NODE_IP:6443
NODE=$CLUSTER-node
cd "$STATE"
mkdir -p bin cni pki volumes var-lib var-log
chmod 700 "$STATE"

# === its own view of the machine ===

hostname "$NODE"
# /run, /var/lib and /var/log of the components are in the state directory, and those of the host are not changed. The state
# and the programs are bind-mounted first, because they may be below one of these.
mount --bind "$BIN" bin
mount -t tmpfs tmpfs /run
mkdir -p /run/containerd /run/netns
case $STATE in
  /var/lib/*)
    mkdir -p "var-lib/${STATE#/var/lib/}"
    mount --rbind "$STATE" "var-lib/${STATE#/var/lib/}"
    ;;
esac
mount --rbind var-log /var/log
mount --rbind var-lib /var/lib
# Enters the state directory again, because the working directory is now covered by a mount.
cd "$STATE"
# Volumes that the kubelet mounts must be visible in the containers.
mount --make-rshared /

COMPONENTS=()
run() { # NAME COMMAND…
  local name=$1
  shift
  "$@" >"log/$name.log" 2>&1 &
  COMPONENTS+=("$name:$!")
}

# await SECONDS LOG "what" COMMAND…: waits until the command succeeds. If a component has ended meanwhile, that is reported as the
# reason, otherwise the end of the log.
await() {
  local limit=$1 log=$2 what=$3 since=$SECONDS component
  shift 3
  until "$@" >/dev/null 2>&1; do
    for component in "${COMPONENTS[@]}"; do
      kill -0 "${component#*:}" 2>/dev/null || fail "${component%:*} ended: $(tail -n 5 "log/${component%:*}.log")"
    done
    [ $((SECONDS - since)) -lt "$limit" ] || fail "not within $limit s: $what; the last lines of $log: $(tail -n 5 "$log")"
    sleep 0.1
  done
}

ip link set lo up
await 60 log/node.log "the device eth0, which the host adds" ip link show eth0
ip addr add "$NODE_IP/30" dev eth0
ip link set eth0 up
ip route add default via "$LINK.1"
sysctl -qw net.ipv4.ip_forward=1

# === identities ===

[ -f sa.key ] || openssl genrsa -out sa.key 2048
if [ ! -f client-ca.crt ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client-ca.key -out client-ca.crt -days 3650 -subj /CN=modelward-client-ca
  # The API server uses this certificate with the kubelet for logs and exec.
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout kubelet-client.key -out kubelet-client.csr -subj /O=system:masters/CN=kube-apiserver
  openssl x509 -req -in kubelet-client.csr -CA client-ca.crt -CAkey client-ca.key -CAcreateserial -days 3650 -out kubelet-client.crt
fi
token() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
if [ ! -f tokens.csv ]; then
  cat >tokens.csv <<T
$(token),admin,admin,"system:masters"
$(token),system:node:$NODE,node,"system:nodes"
$(token),system:kube-controller-manager,controller-manager,""
$(token),system:kube-scheduler,scheduler,""
$(token),system:kube-proxy,proxy,""
$(token),alice,alice,""
$(token),bob,bob,""
T
fi
kubeconfig() { # USER FILE
  cat >"$2" <<K
apiVersion: v1
kind: Config
clusters: [{name: $CLUSTER, cluster: {server: "$SERVER", certificate-authority-data: $(base64 -w0 pki/apiserver.crt)}}]
users: [{name: "$1", user: {token: $(awk -F, -v user="$1" '$2 == user { print $1 }' tokens.csv)}}]
contexts: [{name: $CLUSTER, context: {cluster: $CLUSTER, user: "$1"}}]
current-context: $CLUSTER
K
}

# === container runtime ===

# Each Pod has its own veth and all traffic between Pods is routed. So Services work from a Pod to other Pods and to itself
# without the kernel module br_netfilter.
cat >cni/10-modelward.conflist <<C
{"cniVersion": "1.0.0", "name": "modelward", "plugins": [
  {"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
C
# restrict_oom_score_adj: otherwise containers could not start without CAP_SYS_RESOURCE.
cat >containerd.toml <<C
version = 2
root = "$STATE/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni"
C
run containerd containerd --config containerd.toml

# === control plane ===

audit=()
[ ! -f audit-policy.yaml ] || audit=(--audit-policy-file audit-policy.yaml --audit-log-path "$STATE/log/audit.log")
# This is a cluster for demo and tests, so the data of etcd need not survive a power failure.
run etcd bin/etcd --data-dir etcd --unsafe-no-fsync --log-level warn
# shellcheck disable=SC2086
run kube-apiserver bin/kube-apiserver --etcd-servers http://127.0.0.1:2379 --cert-dir pki --advertise-address "$NODE_IP" --bind-address 0.0.0.0 \
  --secure-port 6443 --service-cluster-ip-range "$SERVICES" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
  --allow-privileged --client-ca-file client-ca.crt --token-auth-file tokens.csv \
  --kubelet-preferred-address-types InternalIP --kubelet-client-certificate kubelet-client.crt --kubelet-client-key kubelet-client.key \
  --service-account-issuer https://kubernetes.default.svc.cluster.local --service-account-key-file sa.key --service-account-signing-key-file sa.key \
  "${audit[@]}" ${MODELWARD_APISERVER_FLAGS:-}
api_is_ready() { [ "$(curl -sk --max-time 5 https://127.0.0.1:6443/readyz)" = ok ]; }
await 180 log/kube-apiserver.log "the API server is ready" api_is_ready
# The certificate of the API server has the advertised address, not the loopback address.
for user in admin alice bob; do kubeconfig $user $user.kubeconfig; done
kubeconfig "system:node:$NODE" node.kubeconfig
for component in controller-manager scheduler proxy; do kubeconfig "system:kube-$component" "$component.kubeconfig"; done
run kube-controller-manager bin/kube-controller-manager --kubeconfig controller-manager.kubeconfig --service-account-private-key-file sa.key \
  --root-ca-file pki/apiserver.crt --flex-volume-plugin-dir "$STATE/volume-plugins" --use-service-account-credentials --leader-elect=false \
  --cluster-signing-kube-apiserver-client-cert-file client-ca.crt --cluster-signing-kube-apiserver-client-key-file client-ca.key
run kube-scheduler bin/kube-scheduler --kubeconfig scheduler.kubeconfig --leader-elect=false

# === node ===

await 60 log/containerd.log "containerd answers" ctr version
LOG=log/containerd.log
ctr -n k8s.io images import pause.tar >/dev/null
LOG=log/node.log
cat >kubelet.yaml <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failSwapOn: false
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP
clusterDNS: ["$NODE_IP"]
clusterDomain: cluster.local
resolvConf: ""
volumePluginDir: $STATE/volume-plugins
readOnlyPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$STATE/client-ca.crt"}}
authorization: {mode: Webhook}
# Absolute sizes: a percentage of a large disk would be more than need_disk in bare.sh requires.
evictionHard: {memory.available: "100Mi", nodefs.available: "256Mi", imagefs.available: "256Mi"}
imageGCHighThresholdPercent: 100
K
run kubelet bin/kubelet --kubeconfig node.kubeconfig --config kubelet.yaml --node-ip "$NODE_IP" --hostname-override "$NODE" --cert-dir "$STATE/kubelet-pki"
cat >proxy.yaml <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: "$STATE/proxy.kubeconfig"}
hostnameOverride: $NODE
clusterCIDR: $PODS
mode: iptables
conntrack: {maxPerCore: 0}
K
run kube-proxy bin/kube-proxy --config proxy.yaml
cat >Corefile <<C
.:53 {
  errors
  ready
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $STATE/admin.kubeconfig
    pods insecure
  }
  cache 5
}
C
run coredns ./coredns -conf Corefile
await 120 log/kubelet.log "the node registers" bin/kubectl --kubeconfig admin.kubeconfig get node "$NODE"
echo "ready" >ready
trap - ERR
# PID 1 of the namespace: reaps orphaned processes and ends only when it is killed. It logs components that end.
while true; do
  code=0
  wait -n -p ended 2>/dev/null || code=$?
  # Without children there is nothing to wait for.
  [ $code != 127 ] || sleep 1
  for component in "${COMPONENTS[@]}"; do
    [ "${component#*:}" != "${ended:-}" ] || echo "$(date -u +%FT%TZ) ${component%:*} ended with exit status $code"
  done
done
