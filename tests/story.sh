#!/usr/bin/env bash
# What must hold on a cluster, from `kubectl apply` to a served prediction and back to nothing, with what goes wrong in
# between.
#
#   story.sh                 on the cluster that is up; installs the charts, works in a namespace of its own
#   story.sh disruptions     the same, and disruptions.sh in the middle of it
#   MODELWARD_STORY_ONLY='data waits|crash' story.sh     the checks alone whose sentence matches; most need the first one
#
# The images must have been built (tests/cluster/images.sh build).
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

# === requests ===

# Asks for predictions of the first rows and gives the version that answered.
answering() { # MODEL
  post "$NAMESPACE" "$1" /predict "$WORK/rows.json" | jq -er .version
}

answered_by() { # MODEL VERSION
  expect "what answers for $1" "$(answering "$1")" "$2"
}

served_as_scored() { # MODEL VERSION
  local digest
  digest=$(field "$NAMESPACE" "modelversion/$2" .status.bundle.digest)
  fetch_bundle "$NAMESPACE" "$digest" "$WORK/bundle"
  trainer score --bundle "$WORK/bundle" --digest "$digest" --rows "$WORK/rows.json" >"$WORK/scores.jsonl"
  post "$NAMESPACE" "$1" /predict "$WORK/rows.json" >"$WORK/answers.json"
  expect "what answers for $1" "$(jq -r .version "$WORK/answers.json")" "$2"
  python3 "$TESTS/demo/compare.py" "$WORK/answers.json" "$WORK/scores.jsonl" | tail -1
}

# The version of a model that its record says serves.
serving() { field "$NAMESPACE" "model/$1" .status.serving; }

pods_of_model() { # MODEL
  kubectl get --namespace "$NAMESPACE" pods --selector "app.kubernetes.io/name=modelward-inference,modelward.io/model=$1" "${@:2}"
}

ready_pod() { # MODEL
  pods_of_model "$1" -o json | jq -er '
    [.items[] | select(.metadata.deletionTimestamp == null) | select(any(.status.conditions[]?; .type == "Ready" and .status == "True")) | .metadata.name][0]'
}

# === the story ===

waits_for_its_data() {
  version heart-1 | apply "$NAMESPACE"
  await_condition "$NAMESPACE" modelversion/heart-1 DataValid "False DatasetNotFound" 30
  expect "Reconciling" "$(field "$NAMESPACE" modelversion/heart-1 '.status.conditions[?(@.type=="Reconciling")].status')" True
  kubectl apply --namespace "$NAMESPACE" --server-side -k "$SAMPLES/heart-disease" >/dev/null
  await_live "$NAMESPACE" heart-1
  kubectl get --namespace "$NAMESPACE" modelversion,model
  kubectl wait --namespace "$NAMESPACE" --for=condition=Ready --timeout=5s modelversion/heart-1 model/heart >/dev/null
  expect "the model's condition Available" "$(condition "$NAMESPACE" model/heart Available | cut -d' ' -f1)" True
}

predicts_what_the_trainer_scores() {
  served_as_scored heart heart-1
}

# A version of a model that serves waits for the approval of its promotion.
a_second_version_waits_and_takes_over() {
  local action
  version heart-2 '.spec.source.training.validation.seed = 8' | apply "$NAMESPACE"
  await_condition "$NAMESPACE" modelversion/heart-2 Ready "True AwaitingPromotion" 180
  expect "the role of heart-2" "$(field "$NAMESPACE" modelversion/heart-2 .status.role)" Candidate
  await 30 "the promotion of heart-2 is proposed" promotion "$NAMESPACE" heart-2
  action=$(promotion "$NAMESPACE" heart-2)
  [[ $action =~ ^promote-heart-2-[0-9a-z]+$ ]] || die "the action is called $action"
  answered_by heart heart-1
  promote "$ALICE" "$NAMESPACE" heart-2
  await_condition "$NAMESPACE" modelversion/heart-1 Ready "True Retired" 30
  expect "the role of heart-1" "$(field "$NAMESPACE" modelversion/heart-1 .status.role)" Retired
  expect_words "heart-1's message" "$(condition "$NAMESPACE" modelversion/heart-1 Ready)" "heart-2 serves"
  expect "who decided on $action" "$(field "$NAMESPACE" "remediationaction/$action" '.status.decisions[*].user')" alice
  served_as_scored heart heart-2
}

a_failed_gate_is_readable() {
  version heart-3 '.spec.source.training.gates = [{metric: "F1", atLeast: "0.99"}]' | apply "$NAMESPACE"
  await_condition "$NAMESPACE" modelversion/heart-3 Stalled "True GateFailed" 120
  local words
  words=$(condition "$NAMESPACE" modelversion/heart-3 GatesPassed)
  [[ $words =~ ^False\ GateFailed\ F1\ 0\.[0-9]+\ is\ under\ the\ gate\ 0\.99$ ]] || die "the condition reads '$words'"
  say "$words"
  expect "the role" "$(field "$NAMESPACE" modelversion/heart-3 .status.role)" Rejected
  answered_by heart heart-2
}

# What is wrong is all in one status; what is put right is taken up by itself.
wrong_data_is_readable() {
  # One age is a word, every ca is missing, and no row is of class 1.
  awk -F, -v OFS=, '{ $12 = "?"; $14 = 0; if (NR == 3) $1 = "old"; print }' "$SAMPLES/heart-disease/cleveland.csv" >"$WORK/wrong.csv"
  kubectl create configmap stroke-data --namespace "$NAMESPACE" --from-file=data.csv="$WORK/wrong.csv" >/dev/null
  local stroke='.spec.model = "stroke" | .spec.source.training.dataset.configMap = {name: "stroke-data", key: "data.csv"} | .spec.source.training.features += [{name: "age", kind: "Numeric"}] | .spec.serving.replicas = {min: 1, max: 1}'
  version stroke-1 "$stroke" | apply "$NAMESPACE"
  await_condition "$NAMESPACE" modelversion/stroke-1 Stalled "True DataInvalid" 120
  expect_words "the columns of the violations" "$(kubectl get --namespace "$NAMESPACE" modelversion stroke-1 -o jsonpath='{.status.violations[*].column}')" age ca num
  kubectl get --namespace "$NAMESPACE" modelversion stroke-1 -o jsonpath='{range .status.violations[*]}   {.column} {.rule} {.count}, row {.exampleRow}: {.message}{"\n"}{end}'
  version stroke-2 "$stroke | .spec.source.training.dataset.sha256 = \"sha256:$(printf 0%.0s {1..64})\"" | apply "$NAMESPACE"
  await_condition "$NAMESPACE" modelversion/stroke-2 DataValid "False DataInvalid" 120
  expect_words "the violations" "$(kubectl get --namespace "$NAMESPACE" modelversion stroke-2 -o jsonpath='{.status.violations[*].message}')" sha256:0000 "sha256:$(sha256sum "$WORK/wrong.csv" | cut -c1-64)"
  kubectl create configmap stroke-data --namespace "$NAMESPACE" --from-file=data.csv="$SAMPLES/heart-disease/cleveland.csv" --dry-run=client -o yaml |
    kubectl apply --namespace "$NAMESPACE" --server-side --force-conflicts -f - >/dev/null
  await_live "$NAMESPACE" stroke-1
}

a_name_that_is_taken_is_left_alone() {
  kubectl create service clusterip taken --namespace "$NAMESPACE" --tcp=80:80 >/dev/null
  local before
  before=$(kubectl get --namespace "$NAMESPACE" service taken -o json | jq -c '[.metadata.uid, .metadata.resourceVersion]')
  version taken-1 '.spec.model = "taken" | .spec.serving.replicas = {min: 1, max: 1}' | apply "$NAMESPACE"
  await_condition "$NAMESPACE" modelversion/taken-1 Stalled "True NameTaken" 120
  expect_words "the message" "$(condition "$NAMESPACE" modelversion/taken-1 Stalled)" "Service taken"
  expect "the Service" "$(kubectl get --namespace "$NAMESPACE" service taken -o json | jq -c '[.metadata.uid, .metadata.resourceVersion]')" "$before"
  kubectl delete --namespace "$NAMESPACE" service taken >/dev/null
  await_live "$NAMESPACE" taken-1 120
}

# Both in one second, so that the names decide which one is newer. The first to pass its gates has nothing to replace and serves;
# the other one waits for an approval where it is the newer one, and never serves by itself.
two_at_once_have_one_order() {
  { version twin-1 '.spec.model = "twin" | .spec.serving.replicas = {min: 1, max: 1}' && version twin-2 '.spec.model = "twin" | .spec.source.training.validation.seed = 9 | .spec.serving.replicas = {min: 1, max: 1}'; } | jq -s '{apiVersion: "v1", kind: "List", items: .}' | apply "$NAMESPACE"
  local first other wanted
  await 180 "one of the twins serves" twin_serves
  first=$(serving twin)
  other=$([ "$first" = twin-1 ] && echo twin-2 || echo twin-1)
  await_live "$NAMESPACE" "$first"
  wanted=$([ "$other" = twin-2 ] && echo AwaitingPromotion || echo Retired)
  await_condition "$NAMESPACE" "modelversion/$other" Ready "True $wanted" 120
  answered_by twin "$first"
  say "$first serves, $other is $wanted"
}

twin_serves() { [ -n "$(serving twin)" ]; }

a_flipped_byte_is_never_served() {
  local digest from file sha256 words action
  kubectl patch --namespace "$NAMESPACE" model heart --type merge --patch '{"spec": {"paused": true}}' >/dev/null
  version heart-4 '.spec.source.training.validation.seed = 11' | apply "$NAMESPACE"
  await_condition "$NAMESPACE" modelversion/heart-4 Ready "True Paused" 120
  answered_by heart heart-2
  # A file that no other bundle shares.
  digest=$(field "$NAMESPACE" modelversion/heart-4 .status.bundle.digest)
  fetch_bundle "$NAMESPACE" "$digest" "$WORK/flipped"
  fetch_bundle "$NAMESPACE" "$(field "$NAMESPACE" modelversion/heart-2 .status.bundle.digest)" "$WORK/good"
  read -r file sha256 < <(jq -r --slurpfile good "$WORK/good/manifest.json" '
    ($good[0].files | map(.sha256)) as $shared | [.files[] | select(.sha256 | IN($shared[]) | not)][0] | "\(.path) \(.sha256)"' "$WORK/flipped/manifest.json")
  from=$(artifacts "$NAMESPACE")/blobs/sha256/${sha256#sha256:}
  # shellcheck disable=SC2016
  on_node sh -c '
    at=$(($(stat -c %s "$1") / 2))
    byte=$(od -An -tu1 -j "$at" -N 1 "$1" | tr -d " ")
    printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none' sh "$from" </dev/null
  on_node cat "$from" </dev/null | cmp -s - "$WORK/flipped/$file" && die "the byte was not flipped"
  say "flipped one bit of $file"
  kubectl patch --namespace "$NAMESPACE" model heart --type merge --patch '{"spec": {"paused": false}}' >/dev/null
  # An approver approves it all the same.
  await 60 "the promotion of heart-4 is proposed" promotion "$NAMESPACE" heart-4
  action=$(promotion "$NAMESPACE" heart-4)
  await_condition "$NAMESPACE" "remediationaction/$action" Approved "False AwaitingApproval" 60
  decide "$ALICE" "$NAMESPACE" "$action" approve
  await_condition "$NAMESPACE" "remediationaction/$action" Succeeded "False RolledBack" 180
  words=$(condition "$NAMESPACE" "remediationaction/$action" Succeeded)
  say "$words"
  expect_words "the message" "$words" "$file" "${digest#sha256:}"
  for _ in $(seq 20); do answered_by heart heart-2; done
  expect "what the model serves" "$(serving heart)" heart-2
  expect "what is held" "$(field "$NAMESPACE" model/heart '.status.holds[*].version')" heart-4
  await 60 "the Pods are those of before" settled "$NAMESPACE" heart
  expect "the Pods that are ready" "$(field "$NAMESPACE" deployment/heart .status.availableReplicas)" 2
}

a_good_version_is_taken_after_a_broken_one() {
  expect "what is held" "$(field "$NAMESPACE" model/heart '.status.holds[*].version')" heart-4
  version heart-5 '.spec.source.training.validation.seed = 12' | apply "$NAMESPACE"
  promote "$ALICE" "$NAMESPACE" heart-5
  served_as_scored heart heart-5
  delete_version "$NAMESPACE" heart-4
}

# A Pod of the training whose container runs, other than FORMER; its name is in POD then.
running_fit_pod() { # VERSION [FORMER]
  POD=$(kubectl get --namespace "$NAMESPACE" pods --selector "modelward.io/version=$1,modelward.io/stage=fit" -o json | jq -er --arg former "${2:-}" '
    [.items[] | select(.metadata.name != $former and .status.containerStatuses[0].state.running) | .metadata.name][0]')
}

operator_is() { # REPLICAS
  local pods
  pods=$(kubectl get --namespace "$SYSTEM" pods --selector app.kubernetes.io/component=operator -o name) && [ "$(wc -w <<<"$pods")" = "$1" ]
}

# Scales something of the release down for the rest of a check; when the check ends, however it does, it is as before.
scale_down() { # KIND/NAME
  local replicas
  replicas=$(field "$SYSTEM" "$1" .spec.replicas)
  # shellcheck disable=SC2064
  trap "kubectl scale --namespace $SYSTEM $1 --replicas $replicas >/dev/null" EXIT
  kubectl scale --namespace "$SYSTEM" "$1" --replicas 0 >/dev/null
}

scale_up() { # KIND/NAME REPLICAS
  kubectl scale --namespace "$SYSTEM" "$1" --replicas "$2" >/dev/null
  trap - EXIT
}

# Killed, tried again, and then its Pod is gone before the result is read.
a_killed_training_is_repeated_and_its_result_is_not_lost() {
  local first container job replicas
  # Long enough to be killed: the data six times over, and the most folds that there may be.
  for _ in 1 2 3 4 5 6; do cat "$SAMPLES/heart-disease/cleveland.csv"; done >"$WORK/long.csv"
  kubectl create configmap long --namespace "$NAMESPACE" --from-file=data.csv="$WORK/long.csv" >/dev/null
  version long-1 '.spec.model = "long" | .spec.source.training.dataset.configMap = {name: "long", key: "data.csv"} | .spec.source.training.validation = {folds: 20, repeats: 100, seed: 7} | .spec.serving.replicas = {min: 1, max: 1}' | apply "$NAMESPACE"
  await 120 "long-1 trains" running_fit_pod long-1
  first=$POD
  container=$(kubectl get --namespace "$NAMESPACE" pod "$first" -o jsonpath='{.spec.containers[0].name}')
  job=$(field "$NAMESPACE" modelversion/long-1 .status.fitAttempt.job)
  kill_container "$NAMESPACE" "$first" "$container"
  await 30 "$first ended" ended_by_signal "$first" "$container"
  say "$first was killed in the middle"
  expect "the bundle of long-1" "$(field "$NAMESPACE" modelversion/long-1 .status.bundle.digest)" ""
  await 90 "$job is tried again" running_fit_pod long-1 "$first"
  say "$POD tries again"

  replicas=$(field "$SYSTEM" deployment/modelward-operator .spec.replicas)
  scale_down deployment/modelward-operator
  await 60 "the operator is away" operator_is 0
  kubectl wait --namespace "$NAMESPACE" --for=condition=Complete --timeout=180s "job/$job" >/dev/null
  kubectl delete --namespace "$NAMESPACE" pods --selector "job-name=$job" >/dev/null
  expect "the bundle of long-1 before the result was read" "$(field "$NAMESPACE" modelversion/long-1 .status.bundle.digest)" ""
  expect "the Pods of $job" "$(kubectl get --namespace "$NAMESPACE" pods --selector "job-name=$job" -o name)" ""
  scale_up deployment/modelward-operator "$replicas"
  await_live "$NAMESPACE" long-1
  served_as_scored long long-1
  [ "$(field "$NAMESPACE" modelversion/long-1 .status.fitAttempt.attempt)" = 1 ] || die "the result was lost and the training counted anew"
}

ended_by_signal() { # POD CONTAINER
  [ "$(kubectl get --namespace "$NAMESPACE" pod "$1" -o jsonpath="{.status.containerStatuses[?(@.name=='$2')].state.terminated.exitCode}")" = 137 ]
}

ledger_says() { # PATTERN
  local address answer
  address=$(kubectl get --namespace "$SYSTEM" service modelward-ledger -o jsonpath='{.spec.clusterIP}')
  if [ "$MODELWARD_CLUSTER_PLACE" = kind ]; then
    answer=$(on_node curl -s --max-time 5 -w ' %{http_code}' "http://$address:8090/readyz" </dev/null) || return 1
  else
    answer=$(curl -s --max-time 5 -w ' %{http_code}' "http://$address:8090/readyz") || return 1
  fi
  # shellcheck disable=SC2053
  [[ $answer == $1 ]]
}

postgresql_away_stops_no_serving() {
  local pod version
  version=$(serving heart)
  scale_down statefulset/modelward-postgresql
  await 90 "the ledger says that the database is away" ledger_says '*atabase* 503'
  answered_by heart "$version"
  # A new Pod has no cache: the ledger gives the bundle without PostgreSQL.
  pod=$(ready_pod heart)
  kubectl delete --namespace "$NAMESPACE" pod "$pod" >/dev/null
  await 90 "a new Pod is ready while PostgreSQL is away" model_has_pods heart 2
  answered_by heart "$version"
  scale_up statefulset/modelward-postgresql 1
  await 120 "the ledger has the database again" ledger_says '* 200'
}

model_has_pods() { # MODEL COUNT
  [ "$(field "$NAMESPACE" "deployment/$1" .status.availableReplicas)" = "$2" ] && [ "$(pods_of_model "$1" -o name | wc -l)" = "$2" ]
}

# An API server that does not answer says nothing: what waits for an absence asks for a successful answer that is empty.
ledger_is_away() {
  local pods
  pods=$(kubectl get --namespace "$SYSTEM" pods --selector app.kubernetes.io/component=ledger -o name) && [ -z "$pods" ]
}

the_ledger_away_stops_no_serving_and_no_restart() {
  local pod proof version
  version=$(serving heart)
  scale_down deployment/modelward-ledger
  await 60 "the ledger is away" ledger_is_away
  answered_by heart "$version"
  pod=$(ready_pod heart)
  proof=$(kill_and_await "$NAMESPACE" "$pod" inference)
  say "$pod serves again without the ledger, $proof"
  expect_words "the log of the new container" "$(kubectl logs --namespace "$NAMESPACE" "$pod")" "cached bundle"
  answered_by heart "$version"
  scale_up deployment/modelward-ledger 1
  await 120 "the ledger is ready again" ledger_says '* 200'
}

# === the loop ===

# Two models: `loop`, whose retraining is approved, and `refused`, whose is rejected.
WINDOW=20
FLUSH=5
LOOP_RATE=500

loop_version() { # NAME MODEL PODS
  version "$1" ".spec.model = \"$2\" | .spec.serving.replicas = {min: $3, max: $3} | .spec.monitoring += {windowSeconds: $WINDOW, latenessSeconds: 10}"
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
  { loop_version loop-1 loop 2 && loop_version refused-1 refused 1; } | jq -s '{apiVersion: "v1", kind: "List", items: .}' | apply "$NAMESPACE"
  await_live "$NAMESPACE" loop-1
  await_live "$NAMESPACE" refused-1
  load_begins 0

  begin_replay "$NAMESPACE" loop 0 147 "$WINDOW"
  begin_replay "$NAMESPACE" refused 0 147 "$WINDOW"
  end_replay "$NAMESPACE" loop "$WORK/first.json" "$WINDOW"
  end_replay "$NAMESPACE" refused "$WORK/refused.json" "$WINDOW"
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

a_rejection_changes_nothing() {
  local action before words
  action=$(drifted refused refused-1 "$WORK/refused.json")
  await_condition "$NAMESPACE" "remediationaction/$action" Approved "False AwaitingApproval" 60
  before=$(what_refused_is)
  decide "$ALICE" "$NAMESPACE" "$action" reject "a study of one week"
  await_condition "$NAMESPACE" "remediationaction/$action" Succeeded "False Rejected" 30
  words=$(condition "$NAMESPACE" "remediationaction/$action" Succeeded)
  say "$words"
  expect_words "the message" "$words" alice "a study of one week"
  # Longer than a retraining takes to begin.
  sleep 8
  expect "what there is of the model" "$(what_refused_is)" "$before"
  answered_by refused refused-1
  words=$(decide "$ALICE" "$NAMESPACE" "$action" approve) && die "a rejected action took an approval"
  expect_words "the refusal" "$words" "it takes no more decisions"
}

what_refused_is() {
  kubectl get --namespace "$NAMESPACE" modelversions,deployments,replicasets,jobs,services --selector modelward.io/model=refused -o json | jq -c '[.items[] | [.kind, .metadata.name, .metadata.uid, .metadata.generation]] | sort'
  kubectl get --namespace "$NAMESPACE" modelversions -o json | jq -c '[.items[] | select(.spec.model == "refused") | .metadata.name]'
  field "$NAMESPACE" model/refused .status.routes
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
  names=$(kubectl get --namespace "$NAMESPACE" modelversions -o json | jq -r '.items[] | select(.spec.model | IN("loop", "refused")) | .metadata.name')
  for name in $names; do
    delete_version "$NAMESPACE" "$name" --wait=false
  done
  await 120 "the children of loop and refused are gone" no_children_of_the_loop
  # Their records stay until someone with the right to end a model deletes them.
  kubectl delete --namespace "$NAMESPACE" model loop refused --wait=false >/dev/null
  await 120 "nothing is left of loop and refused" nothing_left_of_the_loop
}

no_children_of_the_loop() {
  local left
  left=$(kubectl get --namespace "$NAMESPACE" deployments,services,pods --selector 'modelward.io/model in (loop,refused)' -o name) && [ -z "$left" ] &&
    left=$(kubectl get --namespace "$NAMESPACE" modelversions -o json | jq -r '.items[] | select(.spec.model | IN("loop", "refused")) | .metadata.name') && [ -z "$left" ]
}

nothing_left_of_the_loop() {
  local left
  left=$(kubectl get --namespace "$NAMESPACE" modelversions,models,driftreports,remediationactions -o json |
    jq -r '.items[] | select(.metadata.name | test("(^|-)(loop|refused)(-|$)|^destroyed$")) | .metadata.name') && [ -z "$left" ]
}

# === at rest ===

what_is_ours() {
  kubectl get --namespace "$NAMESPACE" modelversions,models,driftreports,remediationactions,deployments,services,configmaps,secrets,poddisruptionbudgets,jobs,pods -o json |
    jq -c '[.items[] | [.kind, .metadata.name, .metadata.uid, .metadata.resourceVersion]] | sort'
}

at_rest_nothing_is_written() {
  local before after holder since
  await 180 "no training runs" nothing_trains
  await 120 "no action is under way" nothing_acts
  # What was done before has its last consequences.
  sleep 10
  before=$(what_is_ours)
  since=$SECONDS
  holder=$(field "$SYSTEM" lease/modelward-operator .spec.holderIdentity)
  kubectl delete --namespace "$SYSTEM" pods --selector app.kubernetes.io/component=operator >/dev/null
  until [[ $(field "$SYSTEM" lease/modelward-operator .spec.holderIdentity) != @("$holder"|"") ]]; do
    [ $((SECONDS - since)) -lt 90 ] || die "no other operator leads; before: $holder"
    sleep 1
  done
  # The new leader lists everything and looks at each object.
  sleep 15
  after=$(what_is_ours)
  [ "$after" = "$before" ] || die "another operator has written: $(jq -nc --argjson before "$before" --argjson after "$after" '{gone: ($before - $after), new: ($after - $before)}')"
  say "$(jq length <<<"$after") objects, none written"
}

nothing_acts() {
  local actions
  actions=$(kubectl get --namespace "$NAMESPACE" models -o jsonpath='{.items[*].status.activeAction.name}') && [ -z "$actions" ]
}

nothing_trains() {
  kubectl get --namespace "$NAMESPACE" jobs -o json | jq -e '[.items[] | select(any(.status.conditions[]?; .status == "True" and (.type == "Complete" or .type == "Failed")) | not)] == []'
}

tampering_is_refused() {
  local attempt words
  for attempt in "set image deployment/heart inference=localhost/another/image:1" "rollout pause deployment/heart" \
    "scale deployment/heart --replicas 0" "delete service/heart" "delete poddisruptionbudget/heart" "delete model/heart"; do
    # shellcheck disable=SC2086
    if words=$(KUBECONFIG=$EVE kubectl --namespace "$NAMESPACE" $attempt 2>&1); then die "kubectl $attempt had its effect: $words"; fi
    [[ $words == *modelward.io* ]] || die "kubectl $attempt was refused, and not by an admission policy: $words"
  done
  say "6 attempts of a person with the role edit, each refused by name"
  # What an administrator does every day stays possible.
  kubectl rollout restart --namespace "$NAMESPACE" deployment/heart >/dev/null
  await 120 "both Pods are ready" model_has_pods heart 2
  kubectl annotate --overwrite --namespace "$NAMESPACE" deployment/heart example.com/owner=cardiology >/dev/null
  await 30 "the model answers" answering heart
}

every_pod_is_restricted() {
  local answer namespace
  for namespace in "$NAMESPACE" "$SYSTEM"; do
    expect "what $namespace enforces" "$(kubectl get namespace "$namespace" -o jsonpath='{.metadata.labels.pod-security\.kubernetes\.io/enforce}')" restricted
    answer=$(kubectl label --dry-run=server --overwrite namespace "$namespace" pod-security.kubernetes.io/enforce=baseline 2>&1 >/dev/null)
    answer+=$(kubectl label --dry-run=server --overwrite namespace "$namespace" pod-security.kubernetes.io/enforce=restricted 2>&1 >/dev/null)
    expect "what the API server warns of in $namespace" "$answer" ""
    expect "Pods that $namespace refused" "$(kubectl get --namespace "$namespace" events -o json | jq -r '.items[] | select(.message // "" | test("violates PodSecurity")) | .message')" ""
  done
}

# Everything in the namespace but what Kubernetes and this script put there.
leftovers() {
  local kinds all
  kinds=$(kubectl api-resources --verbs=list --namespaced -o name | grep -vE '^events(\.|$)' | paste -sd,) || return 1
  all=$(kubectl get --namespace "$NAMESPACE" "$kinds" -o name --ignore-not-found 2>/dev/null) || return 1
  grep -vxE '(configmap/(kube-root-ca.crt|heart-disease|stroke-data|long)|serviceaccount/default|rolebinding.rbac.authorization.k8s.io/(approvers|editors|modelward-disruptions))' <<<"$all" || true
}

no_versions() {
  local left
  left=$(kubectl get --namespace "$NAMESPACE" modelversions -o name) && [ -z "$left" ]
}

nothing_left() {
  local left
  left=$(leftovers) && [ -z "$left" ]
}

await_nothing() { # AFTER WHAT
  local since=$SECONDS
  until nothing_left; do
    [ $((SECONDS - since)) -lt 150 ] || die "after $1 there is still: $(leftovers | tr '\n' ' ')"
    sleep 1
  done
  say "nothing is left after $1 ($((SECONDS - since)) s)"
}

deletion_leaves_nothing() {
  local name versions words
  # The newest version down to the oldest, each without waiting, and the records at last; one version is just being trained.
  version heart-9 '.spec.source.training.validation = {folds: 20, repeats: 100, seed: 13}' | apply "$NAMESPACE"
  await 60 "heart-9 has a Job" kubectl get --namespace "$NAMESPACE" "job/$(await_job heart-9)" -o name
  versions=$(kubectl get --namespace "$NAMESPACE" modelversions --sort-by .metadata.creationTimestamp -o name | tac)
  for name in $versions; do
    delete_version "$NAMESPACE" "${name#*/}" --wait=false
  done
  await 120 "the versions are gone" no_versions
  kubectl delete --namespace "$NAMESPACE" models --all --wait=false >/dev/null
  await_nothing "versions from the newest, then their records"

  version heart-1 | apply "$NAMESPACE"
  await_live "$NAMESPACE" heart-1
  words=$(kubectl delete --namespace "$NAMESPACE" modelversion heart-1 2>&1) && die "a version that answers requests was deleted without a word"
  expect_words "the refusal" "$words" "heart-1 answers requests" "modelward.io/confirm-delete=$(field "$NAMESPACE" modelversion/heart-1 .metadata.uid)"
  delete_version "$NAMESPACE" heart-1 --cascade=foreground --timeout=120s
  # The record stays, and what serves next is approved like any change.
  await_condition "$NAMESPACE" model/heart Available "False NoVersion" 60
  version heart-1 '.spec.source.training.validation.seed = 9' | apply "$NAMESPACE"
  promote "$ALICE" "$NAMESPACE" heart-1
  version heart-2 '.spec.source.training.validation.seed = 8' | apply "$NAMESPACE"
  promote "$ALICE" "$NAMESPACE" heart-2
  delete_version "$NAMESPACE" heart-1 --wait=false
  delete_version "$NAMESPACE" heart-2 --wait=false
  await 120 "the versions are gone" no_versions
  kubectl delete --namespace "$NAMESPACE" model heart --wait=false >/dev/null
  await_nothing "versions from the oldest, then their record"

  kubectl delete namespace "$NAMESPACE" --timeout=120s >/dev/null
}

await_job() { # VERSION: the name of its first Job
  local since=$SECONDS job
  until job=$(field "$NAMESPACE" "modelversion/$1" .status.snapshotAttempt.job) && [ -n "$job" ]; do
    [ $((SECONDS - since)) -lt 30 ] || die "$1 has no Job"
    sleep 0.3
  done
  echo "$job"
}

disruptions() {
  MODELWARD_NAMESPACE=$NAMESPACE "$TESTS/disruptions.sh"
}

# === all ===

need_packages jq:jq curl:curl python3:python3 openssl:openssl
use_cluster
[ -x "$CARGO_TARGET_DIR/x86_64-unknown-linux-musl/release/modelward-trainer" ] || die "the trainer was not built: tests/cluster/images.sh build"
step "charts" install_release
kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout=180s >/dev/null
# The store keeps what a former run damaged on purpose.
on_node rm -rf "$(artifacts "$NAMESPACE")" </dev/null
restricted_namespace "$NAMESPACE"
# The one who may approve, with a certificate of her own.
ALICE=$WORK/alice.kubeconfig
person alice "$ALICE"
kubectl create rolebinding approvers --namespace "$NAMESPACE" --clusterrole modelward-approver --user alice >/dev/null
# And one who may change everything in the namespace that the built-in role edit covers.
EVE=$WORK/eve.kubeconfig
person eve "$EVE"
kubectl create rolebinding editors --namespace "$NAMESPACE" --clusterrole edit --user eve >/dev/null
rows_as_json 303 >"$WORK/rows.json"

check "a version that has no data waits for it, and then it is trained, gated and served" waits_for_its_data
check "predictions equal modelward-trainer score of the same bundle, bit for bit" predicts_what_the_trainer_scores
check "a second version waits for an approval, takes over, and the first is Retired" a_second_version_waits_and_takes_over
check "a failed gate is a sentence, and the former version goes on serving" a_failed_gate_is_readable
check "wrong data is listed whole, and what is put right goes on by itself" wrong_data_is_readable
check "a Service of the model's name that is not ours is left alone" a_name_that_is_taken_is_left_alone
check "two versions applied at once have one order" two_at_once_have_one_order
check "a bundle with a flipped bit is never served, and the status names the file" a_flipped_byte_is_never_served
check "a good version is taken after a broken one" a_good_version_is_taken_after_a_broken_one
check "a killed training is repeated, and the ledger knows a result whose Pod is gone" a_killed_training_is_repeated_and_its_result_is_not_lost
check "PostgreSQL away: predictions and new Pods go on, the ledger says so and recovers" postgresql_away_stops_no_serving
check "the ledger away: predictions go on, and a container starts again from its cache" the_ledger_away_stops_no_serving_and_no_restart
check "a person with the role edit cannot change what serves, and what administrators do every day works" tampering_is_refused
[ "${1:-}" != disruptions ] || check "disruptions cost no request" disruptions
check "drift, proposal, approval, retraining, promotion, no drift: 0 of 500 requests a second fail and each is counted once" the_loop_closes_and_no_request_is_lost
check "a rejection changes nothing, and says by whom and why" a_rejection_changes_nothing
check "containers crash: answered <= counted <= answered + in flight" containers_crash_and_what_they_counted_is_kept
check "Pods are destroyed: what is lost is at most one interval of each, and the report says so" pods_are_destroyed_and_the_loss_is_bounded_and_reported
check "a model goes with its actions and reports" the_loop_is_taken_away
check "at rest nothing is written, also by an operator that starts anew" at_rest_nothing_is_written
check "every Pod keeps the restricted Pod Security Standard" every_pod_is_restricted
check "deletion in any order leaves nothing" deletion_leaves_nothing

printf '\n%s\n' "the story:"
printf '%s\n' "${CHECKS[@]}"
echo "${#CHECKS[@]}" >"$LOGS/story.count"
[ $FAILED = 0 ] || die "$FAILED of ${#CHECKS[@]} do not hold"
