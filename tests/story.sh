#!/usr/bin/env bash
# What must hold on a cluster for a model that drifts under load and whose Pods crash. tests/e2e has the other stories.
#
#   story.sh                 on the cluster that is up; installs the charts, works in a namespace of its own
#   story.sh install         installs the charts alone, for the stories of tests/e2e
#   story.sh disruptions     all checks, and disruptions.sh in the middle of them
#   MODELWARD_STORY_ONLY='drift|crash' story.sh     the checks alone whose sentence matches; most need the first one
#
# The images must have been built (hack/cluster/images.sh build).
set -Eeuo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
NAMESPACE=modelward-story
WORK=$(mktemp -d)
at_exit rm -rf "$WORK"

# === checks ===

CHECKS=()

# check "a sentence that holds" FUNCTION: in a subshell, so that one that does not hold leaves the others to be seen.
check() {
  local from=$EPOCHREALTIME code word=holds
  [[ $1 =~ ${MODELWARD_STORY_ONLY:-} ]] || return 0
  printf '== %s\n' "$1"
  set +e
  (
    set -e
    "$2"
  ) 2>"$WORK/errors"
  code=$?
  set -e
  [ $code = 0 ] || word=FAILS
  cat "$WORK/errors" >&2
  CHECKS+=("$(printf '%-6s %7s s  %s' "$word" "$(seconds_since "$from")" "$1")")
  printf '   %s, %s s\n' "$word" "$(seconds_since "$from")"
  [ $code != 0 ] || return 0
  FAILED=$((FAILED + 1))
  # Again in the table, for readers who see the last lines alone.
  CHECKS[-1]+=$'\n'$(sed -nE 's/^(error|failed): /                  &/p' "$WORK/errors" | tail -1)
}
FAILED=0

expect() { # WHAT IS WANTED
  [[ $2 == "$3" ]] || die "$1 is '$2' and should be '$3'"
}

expect_words() { # WHAT TEXT WORDS…
  local what=$1 text=$2 word
  shift 2
  for word in "$@"; do
    [[ $text == *"$word"* ]] || die "$what does not say '$word': $text"
  done
}

# The version of a model that its record says serves.
serving() { field "$NAMESPACE" "model/$1" .status.serving; }

# === the loop ===

WINDOW=20
FLUSH=5
LOOP_RATE=500

loop_version() { # NAME
  version "$1" ".spec.model = \"loop\" | .spec.serving.replicas = {min: 2, max: 2} | .spec.monitoring += {windowSeconds: $WINDOW, latenessSeconds: 10}"
}

# A retry comes when the kubelet has seen what was killed: before that the Service gives new connections to a Pod whose
# container is starting again.
load_begins() { # RETRIES
  # Also where the check ends in the middle.
  trap 'kubectl delete --namespace "$NAMESPACE" pod modelward-load-loop --ignore-not-found --wait=false >/dev/null' EXIT
  start_load "$NAMESPACE" loop "$LOOP_RATE" "$1" --retry-after-ms 1000 --synthetic-key /key/traffic.key
}

# What was answered, to the last request, and for which of them it is unknown whether they were counted.
load_ends() { # sets ANSWERED and IN_FLIGHT
  stop_load "$NAMESPACE" loop "$WORK/load.json"
  trap - EXIT
  ANSWERED=$(jq '.answered + .before.answered' "$WORK/load.json")
  IN_FLIGHT=$(jq '.inFlight + .before.inFlight' "$WORK/load.json")
  jq -r '"   \(.scheduled) requests in \(.seconds) s: \(.answered) answered, \(.failed) failed; first tries that failed: \(.firstTryFailures)",
    (.versions | to_entries[] | "   \(.key): \(.value.answers) answers, second \(.value.first) to \(.value.last)"),
    ([.failures[] | select(.kind != "Connect") | "\(.kind) at second \(.second)"] | select(. != []) | "   under way: " + join(", "))' "$WORK/load.json"
  expect "the requests that failed or are lost" "$(jq '.failed + .lost' "$WORK/load.json")" 0
}

proposed_by() { # REPORT: the action, once there is one
  local action
  action=$(field "$NAMESPACE" "driftreport/$1" .status.proposal.action)
  [ -n "$action" ] && echo "$action"
}

# drifted MODEL VERSION FILE: awaits the verdict on the window of a replay and the action that it leads to; names the action.
drifted() {
  local report
  report=$(report_of "$2" "$3")
  expect "the verdict on $report" "$(await_verdict "$NAMESPACE" "$report" $((WINDOW + 70)))" Drift
  await 60 "$report leads to an action" proposed_by "$report"
  proposed_by "$report"
}

the_loop_closes_and_no_request_is_lost() {
  local before action new report patients=0 half want reported aside
  before=$(counted_in_all "$NAMESPACE" loop)
  loop_version loop-1 | apply "$NAMESPACE"
  await_live "$NAMESPACE" loop-1
  load_begins 0

  begin_replay "$NAMESPACE" loop 0 147 "$WINDOW"
  end_replay "$NAMESPACE" loop "$WORK/first.json" "$WINDOW"
  action=$(drifted loop loop-1 "$WORK/first.json")
  report=$(report_of loop-1 "$WORK/first.json")
  expect_words "what drifted" "$(field "$NAMESPACE" "driftreport/$report" '.status.features[*].name')" age restecg oldpeak slope ca thal
  expect "the rows that were judged" "$(field "$NAMESPACE" "driftreport/$report" .status.rows)" 147
  await_condition "$NAMESPACE" "remediationaction/$action" Approved "False AwaitingApproval" 120
  say "$(field "$NAMESPACE" "remediationaction/$action" .status.plan.summary)"
  expect_words "the plan" "$(field "$NAMESPACE" "remediationaction/$action" .status.plan.summary)" 597 loop-1 0.75
  expect "what serves before a decision" "$(serving loop)" loop-1
  decide "$ALICE" "$NAMESPACE" "$action" approve

  await 120 "$action has made a version" made_by "$action"
  new=$(made_by "$action")
  await_live "$NAMESPACE" "$new" 180
  await 60 "every Pod answers with $new" settled "$NAMESPACE" loop
  begin_replay "$NAMESPACE" loop 147 147 "$WINDOW"
  end_replay "$NAMESPACE" loop "$WORK/second.json" "$WINDOW"
  report=$(report_of "$new" "$WORK/second.json")
  expect "the verdict on $report" "$(await_verdict "$NAMESPACE" "$report" $((WINDOW + 70)))" NoDrift
  expect "what it was compared with" "$(field "$NAMESPACE" "driftreport/$report" .status.reference.kind)" AcceptedWindow
  await_condition "$NAMESPACE" "remediationaction/$action" Succeeded "True Verified" 120
  say "$(condition "$NAMESPACE" "remediationaction/$action" Succeeded)"
  expect "who decided on $action" "$(field "$NAMESPACE" "remediationaction/$action" '.status.decisions[*].user')" alice
  expect "what serves" "$(serving loop)" "$new"

  load_ends
  expect "the first tries that failed" "$(jq .firstTryFailed "$WORK/load.json")" 0
  for half in first second; do patients=$((patients + $(jq .answered "$WORK/$half.json"))); done
  want=$((before + ANSWERED + patients))
  await_count "$NAMESPACE" loop "$want"
  read -r reported aside _ < <(counted "$NAMESPACE" loop)
  say "$ANSWERED synthetic requests and $patients patients were answered; the ledger has $aside and $reported more than before ($before)"
}

made_by() { # ACTION
  local version
  version=$(field "$NAMESPACE" "remediationaction/$1" .status.execution.version.name)
  [ -n "$version" ] && echo "$version"
}

# only_near FILE SECOND…: whether each first try that failed was due near one of these moments.
only_near() {
  jq -e --argjson moments "$(jq -nc '$ARGS.positional | map(tonumber)' --args "${@:2}")" '
    [.failures[] | (.at | sub("\\.[0-9]+Z$"; "Z") | fromdate) as $at | select(all($moments[]; $at - . < -6 or $at - . > 10))] == []' "$1" >/dev/null ||
    die "requests failed that were not under way when something was killed: $(jq -c '[.failures[] | {at, kind}]' "$1")"
}

containers_crash_and_what_they_counted_is_kept() {
  local before pod pods proof counted kills=()
  before=$(settled_count "$NAMESPACE" loop)
  load_begins 3
  pods=$(inference_pods "$NAMESPACE" loop)
  expect "the number of Pods" "$(wc -w <<<"$pods")" 2
  for pod in $pods; do
    await 60 "both Pods are ready" settled "$NAMESPACE" loop
    kills+=("$EPOCHREALTIME")
    proof=$(kill_and_await "$NAMESPACE" "$pod" inference)
    say "SIGKILL $pod: $proof"
  done
  await 60 "both Pods are ready" settled "$NAMESPACE" loop
  load_ends
  only_near "$WORK/load.json" "${kills[@]}"
  counted=$(($(settled_count "$NAMESPACE" loop) - before))
  say "answered $ANSWERED, counted $counted, in flight at a crash $IN_FLIGHT"
  [ "$ANSWERED" -le "$counted" ] || die "$((ANSWERED - counted)) answered requests were not counted"
  [ "$counted" -le $((ANSWERED + IN_FLIGHT)) ] || die "$((counted - ANSWERED - IN_FLIGHT)) were counted twice"
}

# The Pod is gone with its directory before its process can say a word.
destroy() { # POD
  local id
  id=$(container_id "$NAMESPACE" "$1" inference)
  kubectl delete --namespace "$NAMESPACE" pod "$1" --force --grace-period=0 --wait=false >/dev/null 2>&1
  on_node ctr --namespace k8s.io task kill --signal SIGKILL "${id#containerd://}" </dev/null
}

# The Pods that never said that they were done, in windows that have closed since a moment.
unclosed_since() { # EPOCH
  kubectl exec --namespace "$SYSTEM" modelward-postgresql-0 -- psql --username modelward --dbname modelward --no-align --tuples-only -c "
    SELECT DISTINCT pod_uid FROM counts WHERE namespace = '$NAMESPACE' AND model = 'loop' AND NOT closed AND window_start >= to_timestamp($1)
    AND window_start + make_interval(secs => window_seconds + 10) < now()" </dev/null | sort | paste -sd' '
}

pods_are_destroyed_and_the_loss_is_bounded_and_reported() {
  local before pod pods counted lost begin end destroyed=() moments=() version
  before=$(settled_count "$NAMESPACE" loop)
  version=$(serving loop)
  load_begins 3
  # Windows of which Pods of this check alone know.
  begin=$(($(date +%s) / WINDOW * WINDOW))
  pods=$(inference_pods "$NAMESPACE" loop)
  expect "the number of Pods" "$(wc -w <<<"$pods")" 2
  for pod in $pods; do
    await 60 "both Pods are ready" settled "$NAMESPACE" loop
    destroyed+=("$(field "$NAMESPACE" "pod/$pod" .metadata.uid)")
    moments+=("$EPOCHREALTIME")
    destroy "$pod"
    say "destroyed $pod"
    await 60 "both Pods are ready" settled "$NAMESPACE" loop
  done
  load_ends
  only_near "$WORK/load.json" "${moments[@]}"
  end=$((($(date +%s) / WINDOW + 1) * WINDOW))
  counted=$(($(settled_count "$NAMESPACE" loop) - before))
  lost=$((ANSWERED - counted))
  say "answered $ANSWERED, counted $counted, in flight $IN_FLIGHT; each Pod may have lost what it answered within $FLUSH s"
  [ "$counted" -le $((ANSWERED + IN_FLIGHT)) ] || die "$((counted - ANSWERED - IN_FLIGHT)) were counted twice"
  [ "$lost" -le $((2 * FLUSH * LOOP_RATE)) ] || die "$lost are lost, which is more than two Pods answer within $FLUSH s"

  # A person may ask for the verdict on any interval.
  apply "$NAMESPACE" <<Y
apiVersion: modelward.io/v1alpha1
kind: DriftReport
metadata: {name: destroyed}
spec: {version: $version, startTime: "$(date -u -d "@$begin" +%FT%TZ)", endTime: "$(date -u -d "@$end" +%FT%TZ)"}
Y
  say "the report is $(await_verdict "$NAMESPACE" destroyed $((WINDOW + 60))): $(field "$NAMESPACE" driftreport/destroyed .status.incarnations)"
  expect "the processes that the report names as never having ended" "$(field "$NAMESPACE" driftreport/destroyed .status.incarnations.unclosed)" 2
  expect "their Pods" "$(unclosed_since "$begin")" "$(printf '%s\n' "${destroyed[@]}" | sort | paste -sd' ')"
}

# What is retrained every other minute must not be there when nothing should happen.
the_loop_is_taken_away() {
  local name names
  # A person's report is that person's to delete.
  kubectl delete --namespace "$NAMESPACE" driftreport destroyed --ignore-not-found >/dev/null
  names=$(kubectl get --namespace "$NAMESPACE" modelversions -o json | jq -r '.items[] | select(.spec.model == "loop") | .metadata.name')
  for name in $names; do
    delete_version "$NAMESPACE" "$name" --wait=false
  done
  await 120 "the children of loop are gone" no_children_of_the_loop
  # Its record stays until someone with the right to end a model deletes it.
  kubectl delete --namespace "$NAMESPACE" model loop --wait=false >/dev/null
  await 120 "nothing is left of loop" nothing_left_of_the_loop
}

no_children_of_the_loop() {
  local left
  left=$(kubectl get --namespace "$NAMESPACE" deployments,services,pods --selector modelward.io/model=loop -o name) && [ -z "$left" ] &&
    left=$(kubectl get --namespace "$NAMESPACE" modelversions -o json | jq -r '.items[] | select(.spec.model == "loop") | .metadata.name') && [ -z "$left" ]
}

nothing_left_of_the_loop() {
  local left
  left=$(kubectl get --namespace "$NAMESPACE" modelversions,models,driftreports,remediationactions -o json |
    jq -r '.items[] | select(.metadata.name | test("(^|-)loop(-|$)|^destroyed$")) | .metadata.name') && [ -z "$left" ]
}

# === the end ===

every_pod_is_restricted() {
  local answer namespace
  for namespace in "$NAMESPACE" "$SYSTEM"; do
    expect "what $namespace enforces" "$(kubectl get namespace "$namespace" -o jsonpath='{.metadata.labels.pod-security\.kubernetes\.io/enforce}')" restricted
    # Another version than before: otherwise the API server looks at no Pod that is there.
    answer=$(kubectl label --dry-run=server --overwrite namespace "$namespace" pod-security.kubernetes.io/enforce-version=v1.33 2>&1 >/dev/null)
    expect "what the API server warns of in $namespace" "$answer" ""
    expect "Pods that $namespace refused" "$(kubectl get --namespace "$namespace" events -o json | jq -r '.items[] | select(.message // "" | test("violates PodSecurity")) | .message')" ""
  done
}

disruptions() {
  version heart-1 '.spec.source.training.validation += {folds: 2, repeats: 1}' | apply "$NAMESPACE"
  await_live "$NAMESPACE" heart-1
  MODELWARD_NAMESPACE=$NAMESPACE "$TESTS/disruptions.sh"
}

# === all ===

need_packages jq:jq openssl:openssl
use_cluster
step "charts" install_release
[ "${1:-}" != install ] || exit 0
kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout=180s >/dev/null
# The store keeps what a former run damaged on purpose.
on_node rm -rf "$(artifacts "$NAMESPACE")" </dev/null
restricted_namespace "$NAMESPACE"
# The one who may approve, with a certificate of her own.
ALICE=$WORK/alice.kubeconfig
person alice "$ALICE"
kubectl create rolebinding approvers --namespace "$NAMESPACE" --clusterrole modelward-approver --user alice >/dev/null
kubectl apply --namespace "$NAMESPACE" --server-side -k "$SAMPLES/heart-disease" >/dev/null

[ "${1:-}" != disruptions ] || check "disruptions cost no request" disruptions
check "drift, proposal, approval, retraining, promotion, no drift: 0 of 500 requests a second fail and each is counted once" the_loop_closes_and_no_request_is_lost
check "containers crash: answered <= counted <= answered + in flight" containers_crash_and_what_they_counted_is_kept
check "Pods are destroyed: what is lost is at most one interval of each, and the report says so" pods_are_destroyed_and_the_loss_is_bounded_and_reported
check "a model goes with its actions and reports" the_loop_is_taken_away
check "every Pod keeps the restricted Pod Security Standard" every_pod_is_restricted

printf '\n%s\n' "the story:"
printf '%s\n' "${CHECKS[@]}"
echo "${#CHECKS[@]}" >"$LOGS/story.count"
[ $FAILED = 0 ] || die "$FAILED of ${#CHECKS[@]} do not hold"
kubectl delete namespace "$NAMESPACE" --timeout=180s >/dev/null
