#!/usr/bin/env bash
# Checks of the charts.
#
#   charts.sh lint       strict lint, every variant renders, wrong values are refused with a message, each RBAC rule has a comment
#   charts.sh dry-run    the API server of $KUBECONFIG accepts every object of every variant, and every Pod meets its restricted
#                        Pod Security Standard
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$HERE/lib.sh"
source "$HERE/tools.sh"
CHART=$REPOSITORY/charts/modelward
CRDS=$REPOSITORY/charts/modelward-crds
NAMESPACE=modelward-chart-check
WORK=$(mktemp -d)
at_exit rm -rf "$WORK"
PATH=$TOOLS/helm-$HELM:$TOOLS/kubernetes-$KUBERNETES:$PATH

VARIANTS=(
  "operator.replicas=2"
  "operator.replicas=1"
  "operator.watchNamespace=default"
  "operator.image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000,imagePullSecrets={registry}"
  "postgresql.enabled=false,database.existingSecret=production"
  "ledger.store.url=s3://bucket/prefix,ledger.replicas=3,ledger.store.existingSecret=bucket"
  "networkPolicy.enabled=true"
  "networkPolicy.enabled=true,postgresql.enabled=false,database.existingSecret=production,networkPolicy.ledgerEgress.cidrs={10.0.0.0/8,192.168.0.0/16}"
  "metrics.serviceMonitor.enabled=true"
  "rbac.aggregate=false,fullnameOverride=other"
  "gate.enabled=false"
  "gate.operators.team-a=system:serviceaccount:team-a-system:modelward-operator"
  "gate.children.enabled=false"
  "gate.children.writers[0].user=system:serviceaccount:velero:velero,gate.children.writers[0].resources={services,deployments},operator.watchNamespace=default,gate.operators.team-a=system:serviceaccount:team-a-system:modelward-operator"
  "trainer.denySources={10.96.0.0/12,fd00:10:96::/112},trainer.allowSources={10.96.0.5}"
  "trainer.maxDatasetMiB=4095"
  "mlflow.trackingUri=http://mlflow.mlflow.svc:5000"
  "mlflow.trackingUri=https://mlflow.example,mlflow.existingSecret=mlflow,mlflow.registeredModelNames=NamespaceAndModel"
  "remediation.risks.RetrainModel=High,remediation.highApprovals=3,remediation.verificationSeconds=60"
)
# values, then a part of the error message
REFUSED=(
  "ledger.replicas=2" "maximum: got 2, want 1"
  "operator.replica=2" "additional properties 'replica' not allowed"
  "postgresql.enabled=false" "name a Secret with the keys url and migrate-url"
  "operator.image.digest=latest" "does not match pattern"
  "ledger.store.url=ftp://x" "does not match pattern"
  "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.renderMode=failIfMissing" "this cluster has no kind"
  "mlflow.trackingUri=mlflow:5000" "does not match pattern"
  "mlflow.registeredModelNames=heart" "value must be one of"
  "gate.operators.Team_A=alice" "invalid propertyName 'Team_A'"
  "gate.operators.team-a=" "does not match pattern"
  "gate.operators.team-a=it's" "does not match pattern"
  "gate.children.writers[0].user=velero" "missing property 'resources'"
  "gate.children.writers[0].user=velero,gate.children.writers[0].resources={nodes}" "value must be one of 'pods'"
  "gate.children.writers[0].user=it's,gate.children.writers[0].resources={pods}" "does not match pattern"
  "remediation.risks.Retrain=High" "additional properties 'Retrain' not allowed"
  "remediation.risks.RetrainModel=None" "value must be one of 'Low', 'Medium', 'High'"
  "remediation.mediumApprovals=0" "minimum: got 0, want 1"
  "trainer.denySources={10.96.0.0/33}" "does not match pattern"
  "trainer.allowSources={store.team-a.svc}" "does not match pattern"
  "trainer.maxDatasetMiB=4096" "maximum: got 4,096, want 4,095"
)
# From Kubernetes 1.36 on.
STAMPS=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy

render() { helm template modelward "$CHART" --namespace "$NAMESPACE" --set "$1" "${@:2}"; }

# The roles in the rendered objects that allow approving.
approving() { awk -v RS='\n---\n' '/verbs: \[[^]]*approve/ && match($0, /\n  name: [^\n]*/) { print substr($0, RSTART + 9, RLENGTH - 9) }' "$1"; }

# policies VALUES: what the NetworkPolicies allow, one line for each rule: component, direction, peers and ports.
policies() {
  render "$1" --show-only templates/networkpolicy.yaml | awk '
    function flush() { if (rule != "") print component, direction, rule; rule = "" }
    /^ *#/ || NF == 0 { next }
    /^[^ ]/ { flush(); direction = ""; inside = /^spec:/; next }
    !inside { next }
    /^  [a-z]/ { flush(); direction = "" }
    /^  (ingress|egress):/ { direction = substr($1, 1, length($1) - 1); if ($2 == "[]") print component, direction, "none"; next }
    /app.kubernetes.io\/component:/ && direction == "" { component = $2 }
    direction == "" { next }
    /^    - / { flush(); sub(/- /, "") }
    { sub(/^ */, ""); rule = rule (rule == "" ? "" : " ") $0 }
    END { flush() }' \
    | sed -E 's/podSelector: matchLabels: app.kubernetes.io\/name: modelward app.kubernetes.io\/instance: modelward app.kubernetes.io\/component: /Pods /g
        s/podSelector: matchLabels: app.kubernetes.io\/(name|managed-by): /Pods /; s/ app.kubernetes.io\/managed-by: modelward-operator//
        s/\{protocol: TCP, port: ([a-z0-9]+)\}/\1/g'
}

# Checks who reaches which port with the policies: Prometheus the metrics, callers the requests, and nothing else. The kubelet needs
# no rule.
network_policies() {
  local models=$1 metrics=$2 expected port component
  port=$(sed -nE 's/.*"name": "http", "containerPort": ([0-9]+).*/\1/p' "$REPOSITORY/operator/controllers/src/model/build.rs")
  expected="operator ingress from: - $metrics ports: - metrics
operator egress to: - Pods ledger ports: - 8090
operator egress to: - $models Pods modelward-inference ports: - $port
ledger ingress from: - Pods operator - $models Pods modelward-operator ports: - http
ledger ingress from: - $metrics ports: - probes
ledger egress to: - Pods postgresql ports: - 5432
migrate egress to: - Pods postgresql ports: - 5432
postgresql ingress from: - Pods ledger - Pods migrate ports: - postgresql
postgresql egress none"
  policies "$3" >"$WORK/policies"
  # Without DNS and the API server, which have separate rules.
  diff <(echo "$expected") <(grep -vE 'ports: - \{protocol: UDP, port: 53\} - 53$|ipBlock' "$WORK/policies") >"$WORK/differences" \
    || die "the NetworkPolicies with $3 allow too much or too little: $(cat "$WORK/differences")"
  # A rule with a named port that no container has allows nothing.
  render "$3,metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.renderMode=alwaysRender" >"$WORK/rendered"
  while read -r component port; do
    awk -v RS='\n---\n' -v component="$component" '/\nkind: (Deployment|StatefulSet)\n/ && $0 ~ "component: " component "\n"' "$WORK/rendered" \
      | matches "{name: $port, containerPort: [0-9]*}" || die "no container of $component has the port $port that a NetworkPolicy names"
  done < <(sed -nE 's/^([a-z]+) ingress .* ([a-z]+)$/\1 \2/p' "$WORK/policies")
  for component in operator ledger; do
    port=$(awk -v RS='\n---\n' -v component="$component" '/\nkind: ServiceMonitor\n/ && $0 ~ "component: " component "\n" && match($0, /- port: [a-z]+/) { print substr($0, RSTART + 8, RLENGTH - 8) }' "$WORK/rendered")
    grep -qF "$component ingress from: - $metrics ports: - $port" "$WORK/policies" || die "the NetworkPolicy of $component keeps Prometheus from its port '$port'"
  done
}

lint() {
  local variant i out unexplained role stamps setting
  helm lint --strict --quiet "$CHART" "$CRDS"
  for variant in "${VARIANTS[@]}" metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.renderMode=alwaysRender; do
    render "$variant" >"$WORK/rendered" || die "the chart does not render with $variant"
    ! grep -qE 'verbs:.*\*|resources:.*\*|apiGroups:.*\*' "$WORK/rendered" || die "a right with a wildcard ($variant)"
    # The chart gives no user the right to approve, in particular not the operator's account, and does not aggregate it.
    role=$(approving "$WORK/rendered")
    [[ $role =~ ^[a-z]+-approver$ ]] || die "roles that allow approving: '$role' ($variant)"
    ! grep -qE "roleRef:.* name: $role\}" "$WORK/rendered" || die "the chart binds $role ($variant)"
    ! awk -v RS='\n---\n' -v role="$role" '$0 ~ "\n  name: " role "\n"' "$WORK/rendered" | matches aggregate-to || die "$role is aggregated ($variant)"
  done
  render gate.enabled=true --api-versions "$STAMPS" >"$WORK/rendered"
  stamps=$(grep -rh '^kind: MutatingAdmissionPolicy$' "$CHART/templates" | wc -l)
  [ "$stamps" -gt 0 ] || die "the chart has no stamps"
  [ "$(grep -c '^kind: MutatingAdmissionPolicy$' "$WORK/rendered")" = "$stamps" ] || die "a cluster that can stamp does not get the $stamps stamps"
  render gate.enabled=true >"$WORK/rendered"
  ! grep -q '^kind: MutatingAdmissionPolicy' "$WORK/rendered" || die "a cluster that cannot stamp gets stamps"
  for ((i = 0; i < ${#REFUSED[@]}; i += 2)); do
    if out=$(render "${REFUSED[i]}" 2>&1); then die "the chart accepted ${REFUSED[i]}"; fi
    grep -qF "${REFUSED[i + 1]}" <<<"$out" || die "${REFUSED[i]} is refused, but without \"${REFUSED[i + 1]}\": $out"
  done
  network_policies 'namespaceSelector: {}' 'namespaceSelector: {}' networkPolicy.enabled=true
  network_policies 'namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: hospital}}' 'namespaceSelector: matchLabels: team: metrics' \
    networkPolicy.enabled=true,operator.watchNamespace=hospital,networkPolicy.metricsNamespaceSelector.matchLabels.team=metrics
  render "trainer.denySources={10.96.0.0/12,fd00:10:96::/112},trainer.allowSources={10.96.0.5},trainer.maxDatasetMiB=700" >"$WORK/rendered"
  for setting in 'ALLOW_SOURCES 10.96.0.5' 'DENY_SOURCES 10.96.0.0/12,fd00:10:96::/112' 'MAX_DATASET_MIB 700'; do
    [ "$(awk -v name="MODELWARD_${setting% *}" '$3 == name { getline; print $2 }' "$WORK/rendered")" = "\"${setting#* }\"" ] \
      || die "the operator does not get ${setting% *} from the values"
  done
  unexplained=$(awk '/^kind:/ { kind = $0 } /^ *- apiGroups/ && kind ~ /Role/ && before !~ /^ *#/ { print FILENAME ":" FNR } { before = $0 }' "$CHART"/templates/*/*.yaml)
  [ -z "$unexplained" ] || die "an RBAC rule without a comment that says who needs it and why: $unexplained"
  [ "$(helm template crds "$CRDS" | grep -c '^kind: CustomResourceDefinition$')" = "$(find "$REPOSITORY/crds/yaml" -name '*.yaml' | wc -l)" ] || die "the chart modelward-crds does not render each file of crds/yaml"
  diff -r "$REPOSITORY/crds/yaml" "$CRDS/files" >/dev/null || die "charts/modelward-crds/files differs from crds/yaml; run \`make generate\`"
  say "$((${#VARIANTS[@]} + 1)) variants rendered, $((${#REFUSED[@]} / 2)) refused"
}

dry_run() {
  local variant warned stamps=()
  at_exit quietly chart-check-end kubectl delete namespace "$NAMESPACE" --wait=false --ignore-not-found
  kubectl apply --server-side -f - >/dev/null <<Y
apiVersion: v1
kind: Namespace
metadata: {name: $NAMESPACE, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}
Y
  ! kubectl get --raw /apis/admissionregistration.k8s.io/v1 | matches '"MutatingAdmissionPolicy"' || stamps=(--api-versions "$STAMPS")
  helm template crds "$CRDS" | kubectl apply --server-side --force-conflicts --dry-run=server -f - >/dev/null
  for variant in "${VARIANTS[@]}"; do
    render "$variant" "${stamps[@]}" | kubectl apply --server-side --force-conflicts --dry-run=server -f - >"$WORK/out" 2>"$WORK/err" || die "the API server refuses the chart with $variant: $(cat "$WORK/err")"
    warned=$(grep -i warning "$WORK/err" || true)
    [ -z "$warned" ] || die "the API server warns about the chart with $variant: $warned"
    say "$(wc -l <"$WORK/out") objects: $variant"
  done
}

case ${1:-} in
  lint) lint ;;
  dry-run) dry_run ;;
  *)
    sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
