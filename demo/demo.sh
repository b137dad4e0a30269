#!/usr/bin/env bash
# The whole demo, starting from an empty machine: tools, cluster, images, charts, and a ModelVersion that is trained on real
# patients and serves. Then other patients arrive, drift is detected, a retraining is proposed, an approver approves it, and
# the new version takes over without a lost request.
#
#   demo.sh                          builds what is missing and runs the demo from the beginning
#   DEMO_DECISION=reject demo.sh     the same with a rejection: nothing changes
#   DEMO_MLFLOW=1 demo.sh            also starts an MLflow server on this machine, to which the versions are published
#   demo-down.sh                     removes everything
#
# The demo owns the namespace `hospital` and creates it again each time. MODELWARD_CLUSTER and the other parameters of
# hack/cluster/cluster.sh apply.
set -Eeuo pipefail
DEMO=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib.sh
source "$DEMO/../tests/lib.sh"
# shellcheck source=demo/mlflow.sh
source "$DEMO/mlflow.sh"
NAMESPACE=hospital
DECISION=${DEMO_DECISION:-approve}
# Seconds: the length of a window of traffic, the delay after its end before it is judged, and how long a new version is monitored.
WINDOW=20
LATENESS=10
WATCHED=60
# Families and number of trials of heart-1 and of its retraining.
FAMILIES='["LogisticRegression", "RandomForest", "XGBoost", "LightGBM"]'
TRIALS=30
# Synthetic requests per second during the whole demo.
RATE=500
# Hungarian patients that arrive before the retraining. The other 147 arrive after it.
HALF=147
WORK=$CACHE/demo
mkdir -p "$WORK"
case $DECISION in approve | reject) ;; *) die "DEMO_DECISION=$DECISION: must be approve or reject" ;; esac

build_images() { "$CLUSTER_SCRIPTS/images.sh" build operator inference trainer postgres load; }

bring_up() {
  "$CLUSTER_SCRIPTS/cluster.sh" up
  local environment
  environment=$("$CLUSTER_SCRIPTS/cluster.sh" env)
  eval "$environment"
}

load_images() { "$CLUSTER_SCRIPTS/images.sh" load operator inference trainer postgres load; }

install_charts() {
  restricted_namespace "$SYSTEM"
  "$CLUSTER_SCRIPTS/images.sh" values >"$WORK/images.yaml"
  clear_pending_release modelward-crds
  clear_pending_release modelward
  quietly helm-crds helm upgrade --install modelward-crds "$REPOSITORY/charts/modelward-crds" --namespace "$SYSTEM" --wait --timeout 2m
  if ! helm upgrade --install modelward "$REPOSITORY/charts/modelward" --namespace "$SYSTEM" \
    --values "$REPOSITORY/manifests/local/values.yaml" --values "$WORK/images.yaml" --set "remediation.verificationSeconds=$WATCHED" "${MLFLOW_VALUES[@]}" \
    --wait --wait-for-jobs --timeout 4m >"$LOGS/helm.log" 2>&1; then
    grep -i '^error' "$LOGS/helm.log" >&2 || tail -n 5 "$LOGS/helm.log" >&2
    kubectl --namespace "$SYSTEM" get pods >&2 || true
    die "the chart did not become ready; see kubectl --namespace $SYSTEM describe pods"
  fi
  kubectl --namespace "$SYSTEM" get pods
}

apply_sample() {
  if kubectl get namespace "$NAMESPACE" >/dev/null 2>&1; then
    say "deleting the namespace $NAMESPACE of an earlier run"
    kubectl delete namespace "$NAMESPACE" --timeout=180s >/dev/null
  fi
  restricted_namespace "$NAMESPACE"
  COUNTED_BEFORE=$(counted_in_all "$NAMESPACE" heart)
  kubectl apply --namespace "$NAMESPACE" -k "$SAMPLES/heart-disease"
  # The demo uses windows of seconds instead of hours.
  version heart-1 ".spec.source.training.families = $FAMILIES | .spec.source.training.search = {trials: $TRIALS, seed: 1}
    | .spec.monitoring.season = \"None\" | .spec.monitoring.windowSeconds = $WINDOW | .spec.monitoring.latenessSeconds = $LATENESS" >"$WORK/heart-1.json"
  say "it tries four families, with $TRIALS trials of their hyperparameters"
  say "monitoring uses windows of $WINDOW s and season None, so that single windows are judged; the default, Day, compares whole days"
  kubectl apply --namespace "$NAMESPACE" -f "$WORK/heart-1.json"
}

# Shows the versions with `kubectl get --watch` until the script ends or calls `end_watch`.
watch_versions() {
  say "\$ kubectl get mv --watch"
  kubectl get --namespace "$NAMESPACE" modelversions --watch 2>/dev/null > >(sed -u 's/^/   /') &
  WATCH_PID=$!
  at_exit end_watch
}

end_watch() {
  [ -n "$WATCH_PID" ] || return 0
  kill "$WATCH_PID" 2>/dev/null || true
  wait "$WATCH_PID" 2>/dev/null || true
  WATCH_PID=
}

await_ready() {
  watch_versions
  if ! kubectl wait --namespace "$NAMESPACE" --for=condition=Ready modelversion/heart-1 --timeout=5m; then
    kubectl get --namespace "$NAMESPACE" modelward,jobs,pods >&2 || true
    kubectl get --namespace "$NAMESPACE" modelversion heart-1 \
      -o jsonpath='{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' >&2 || true
    die "heart-1 did not become ready"
  fi
  end_watch
  say "selected: $(condition "$NAMESPACE" modelversion/heart-1 Trained)"
  kubectl get --namespace "$NAMESPACE" modelversions,models
}

# === predictions ===

# Rows of the Cleveland data without the target, the last one with a missing value, as the array of named features that
# /predict takes.
some_rows() {
  { head -n 4 "$SAMPLES/heart-disease/cleveland.csv" && grep -m 1 '?' "$SAMPLES/heart-disease/cleveland.csv"; } | awk -F, -v names="$COLUMNS_OF_HEART" '
    BEGIN { split(names, name, ","); printf "[" }
    { printf "%s{", (NR > 1 ? ",\n " : "")
      for (i = 1; i <= 13; i++) printf "%s\"%s\": %s", (i > 1 ? ", " : ""), name[i], ($i == "?" ? "null" : $i)
      printf "}" }
    END { print "]" }'
}

# Trains the bundle again on this machine with the program of the Job: the same data and spec give the same digest, and
# `score` refuses any other.
score_here() { # DIGEST
  quietly demo-fit trainer fit --spec "$WORK/heart-1.json" --source "$SAMPLES/heart-disease/cleveland.csv" --out "$WORK/bundle"
  trainer score --bundle "$WORK/bundle" --digest "$1" --rows "$WORK/rows.json" >"$WORK/scores.jsonl"
}

predict() {
  local digest
  some_rows >"$WORK/rows.json"
  cat "$WORK/rows.json"
  post "$NAMESPACE" heart /predict "$WORK/rows.json" >"$WORK/answers.json" || die "the Service answered: $(cat "$WORK/answers.json")"
  ANSWERED=$(jq '.predictions | length' "$WORK/answers.json")
  digest=$(kubectl get --namespace "$NAMESPACE" modelversion heart-1 -o jsonpath='{.status.bundle.digest}')
  say "the bundle of the cluster and the one that was trained again here: $digest"
  score_here "$digest"
  python3 "$DEMO/compare.py" "$WORK/answers.json" "$WORK/scores.jsonl"
}

# === the loop ===

STORY_TIMES=()
STORY_WORDS=()

# narrate WORDS…: prints a line of the story with its time.
narrate() {
  STORY_TIMES+=("$EPOCHREALTIME")
  STORY_WORDS+=("$*")
  say "$(date -u +%H:%M:%S) $*"
}

# Prints a command as a user would type it, and its output.
show() {
  printf '   $ %s\n' "${*@Q}" | tr -d "'"
  "$@" 2>&1 | sed 's/^/   /'
}

action_condition() { condition "$NAMESPACE" "remediationaction/$ACTION" "$1"; }

# alice may approve. bob administers the namespace and may even write actions, but has no right to approve.
make_people() {
  person alice "$WORK/alice.kubeconfig"
  person bob "$WORK/bob.kubeconfig"
  {
    kubectl create rolebinding approvers --namespace "$NAMESPACE" --clusterrole modelward-approver --user alice --dry-run=client -o yaml
    echo ---
    kubectl create rolebinding administrators --namespace "$NAMESPACE" --clusterrole admin --user bob --dry-run=client -o yaml
    echo ---
    kubectl create role writes-actions --namespace "$NAMESPACE" --verb get,list,watch,patch,update --resource remediationactions.modelward.io --dry-run=client -o yaml
    echo ---
    kubectl create rolebinding writers --namespace "$NAMESPACE" --role writes-actions --user bob --dry-run=client -o yaml
  } | apply "$NAMESPACE"
  say "each has their own key and certificate: $(KUBECONFIG=$WORK/alice.kubeconfig kubectl auth whoami -o jsonpath='{.status.userInfo.username}'), $(KUBECONFIG=$WORK/bob.kubeconfig kubectl auth whoami -o jsonpath='{.status.userInfo.username}')"
}

start_synthetic() {
  at_exit kubectl delete --namespace "$NAMESPACE" pod modelward-load-heart --ignore-not-found --wait=false
  start_load "$NAMESPACE" heart "$RATE" 0 --synthetic-key /key/traffic.key
  narrate "heart-1 serves, trained on patients of Cleveland; $RATE synthetic requests per second start"
}

# patients NAME FROM VERSION: sends some Hungarian patients within one window, and sets REPORT to the name of the report on it.
patients() {
  begin_replay "$NAMESPACE" heart "$2" "$HALF" "$WINDOW"
  end_replay "$NAMESPACE" heart "$WORK/$1.json" "$WINDOW"
  ANSWERED=$((ANSWERED + $(jq .answered "$WORK/$1.json")))
  REPORT=$(report_of "$3" "$WORK/$1.json")
  say "$(jq -r '"window \(.window.start) to \(.window.end)"' "$WORK/$1.json"), to be judged $LATENESS s after its end"
}

strangers_arrive() {
  patients first 0 heart-1
  narrate "$HALF Hungarian patients have arrived, but the model was trained on patients of Cleveland"
}

see_drift() {
  local verdict
  verdict=$(await_verdict "$NAMESPACE" "$REPORT" $((WINDOW + LATENESS + 60)))
  show kubectl get --namespace "$NAMESPACE" drift
  [ "$verdict" = Drift ] || die "the verdict on $REPORT is $verdict"
  kubectl get --namespace "$NAMESPACE" driftreport "$REPORT" -o json | jq -r '
    def cut: tonumber * 1000 | round / 1000 | tostring;
    def wide(width): . + " " * (width - length);
    ("feature" | wide(10)) + ("what" | wide(13)) + ("effect" | wide(8)) + ("bounds (95%)" | wide(18)) + "tolerance",
    (.status.features[] | (.name | wide(10)) + (.aspect | wide(13)) + (.effect | cut | wide(8)) + ("\(.lower | cut) to \(.upper | cut)" | wide(18)) + (.tolerance | cut))
    | "   " + .'
  narrate "Modelward reports $verdict: $(field "$NAMESPACE" "driftreport/$REPORT" .status.drifted)"
}

see_proposal() {
  await 60 "an action is proposed because of $REPORT" has_proposal
  ACTION=$(field "$NAMESPACE" "driftreport/$REPORT" .status.proposal.action)
  [[ $ACTION == retrain-* ]] || die "the proposed action is $ACTION: $(field "$NAMESPACE" "driftreport/$REPORT" .status.proposal.message)"
  narrate "it proposes $ACTION, and reads the data that the retraining would use"
  await_condition "$NAMESPACE" "remediationaction/$ACTION" Approved "False AwaitingApproval" 120
  show kubectl get --namespace "$NAMESPACE" ra
  say "the plan: $(field "$NAMESPACE" "remediationaction/$ACTION" .status.plan.summary)"
  say "its digest: $(field "$NAMESPACE" "remediationaction/$ACTION" .status.plan.digest)"
  narrate "the plan is complete and waits for an approval"
}

has_proposal() { [ -n "$(field "$NAMESPACE" "driftreport/$REPORT" .status.proposal.action)" ]; }

# Prints everything that a decision could change.
what_is() {
  kubectl get --namespace "$NAMESPACE" modelversions,deployments,configmaps,replicasets -o json | jq -c '[.items[] | [.kind, .metadata.name, .metadata.uid, .metadata.generation // .data]] | sort'
  field "$NAMESPACE" model/heart .status.routes
}

bob_tries() {
  local words
  say "\$ kubectl annotate ra/$ACTION modelward.io/approve=true      (as bob)"
  if words=$(decide "$WORK/bob.kubeconfig" "$NAMESPACE" "$ACTION" approve); then die "bob has approved: $words"; fi
  printf '%s\n' "$words" | fold -s -w 116 | sed 's/^/   /'
  [[ $words == *bob* && $words == *"may not decide"* ]] || die "bob was refused, but not by the gate"
  narrate "bob, who administers the namespace, tries to approve and is refused"
}

alice_decides() {
  local before
  if [ "$DECISION" = approve ]; then
    say "\$ kubectl annotate ra/$ACTION modelward.io/approve=true      (as alice)"
    decide "$WORK/alice.kubeconfig" "$NAMESPACE" "$ACTION" approve
    narrate "alice approves, with her own certificate"
    return
  fi
  before=$(what_is)
  say "\$ kubectl annotate ra/$ACTION modelward.io/reject=true modelward.io/comment=\"these patients are a study of one week\"      (as alice)"
  decide "$WORK/alice.kubeconfig" "$NAMESPACE" "$ACTION" reject "these patients are a study of one week"
  narrate "alice rejects, with her own certificate"
  await_condition "$NAMESPACE" "remediationaction/$ACTION" Succeeded "False Rejected" 60
  # Longer than a retraining would take to start.
  sleep 15
  [ "$(what_is)" = "$before" ] || die "something changed although the action was rejected"
  say "$(action_condition Succeeded)"
  narrate "nothing has changed: $(field "$NAMESPACE" model/heart .status.serving) still serves"
}

retrained_version() { field "$NAMESPACE" "remediationaction/$ACTION" .status.execution.version.name; }

has_retrained_version() { [ -n "$(retrained_version)" ]; }

has_promotion() { [ -n "$(field "$NAMESPACE" "remediationaction/$ACTION" .status.execution.promotion.name)" ]; }

see_the_new_version() {
  await 60 "$ACTION has made a version" has_retrained_version
  NEW=$(retrained_version)
  await_condition "$NAMESPACE" "modelversion/$NEW" GatesPassed "True" 180
  kubectl get --namespace "$NAMESPACE" modelversion "$NEW" -o json | jq -r '.status.gates[] | "   \(.metric) \(.bound): \(.value // "")"'
  narrate "$NEW is trained and has passed its gates"
  await_live "$NAMESPACE" "$NEW" 180
  await 120 "every Pod answers with $NEW" settled "$NAMESPACE" heart
  narrate "$NEW has taken over; it is monitored until the first verdict, for at most $WATCHED s"
}

the_others_arrive() {
  local verdict
  patients second "$HALF" "$NEW"
  narrate "the other $HALF Hungarian patients have arrived"
  verdict=$(await_verdict "$NAMESPACE" "$REPORT" $((WINDOW + LATENESS + 60)))
  [ "$verdict" = NoDrift ] || die "the verdict on $REPORT is $verdict: $(field "$NAMESPACE" "driftreport/$REPORT" .status.drifted)"
  narrate "Modelward reports $verdict, against the window that alice accepted"
}

see_the_end() {
  await_condition "$NAMESPACE" "remediationaction/$ACTION" Succeeded "True" $((WATCHED + 120))
  narrate "$ACTION has ended: $(action_condition Succeeded)"
}

# Prints who decided what, from the annotations that the API server has verified.
show_the_record() {
  show kubectl get --namespace "$NAMESPACE" ra
  show kubectl get --namespace "$NAMESPACE" drift
  show kubectl get --namespace "$NAMESPACE" mv,model
  kubectl get --namespace "$NAMESPACE" remediationaction "$ACTION" -o json |
    jq -r '.metadata.annotations | to_entries[] | select(.key | startswith("approval.modelward.io/")) | "   \(.key): \(.value)"'
}

# Checks that each answered request is counted once, regardless of the rollout.
judge_requests() {
  local answered want
  stop_load "$NAMESPACE" heart "$WORK/load.json"
  narrate "the synthetic requests end"
  jq -r '"   \(.scheduled) requests in \(.seconds) s, \(.answered) answered, \(.failed) failed; p50 \(.latencyMs.p50) ms, p99 \(.latencyMs.p99) ms",
    (.versions | to_entries[] | "   \(.key): \(.value.answers) answers, second \(.value.first) to \(.value.last)"),
    (.failures[] | "   FAILED: second \(.second): \(.detail)")' "$WORK/load.json"
  [ "$(jq '.failed + .lost' "$WORK/load.json")" = 0 ] || die "requests failed"
  answered=$(jq '.answered + .before.answered' "$WORK/load.json")
  want=$((COUNTED_BEFORE + ANSWERED + answered))
  await_count "$NAMESPACE" heart "$want"
  say "answered: $answered synthetic, $ANSWERED others; counted in the ledger: $((want - COUNTED_BEFORE))"
  narrate "0 requests failed, and the ledger has counted every answered one"
}

story_table() {
  local i
  printf '\n%-10s %8s  %s\n' "time (UTC)" second "what happened"
  for i in "${!STORY_TIMES[@]}"; do
    printf '%-10s %8s  %s\n' "$(date -u -d "@${STORY_TIMES[$i]}" +%H:%M:%S)" \
      "$(awk -v at="${STORY_TIMES[$i]}" -v from="${STORY_TIMES[0]}" 'BEGIN { printf "%.0f", at - from }')" "${STORY_WORDS[$i]}"
  done
}

# === all ===

step "downloads" "$TESTS/fetch.sh" demo
step "programs and images" build_images
step "cluster" bring_up
step "images into the cluster" load_images
[ -z "${DEMO_MLFLOW:-}" ] || step "MLflow" start_mlflow
step "charts" install_charts
step "data and ModelVersion" apply_sample
step "trained, gated, served" await_ready
step "predictions" predict
step "alice may approve, bob may not" make_people
step "$RATE synthetic requests per second" start_synthetic
step "Hungarian patients arrive" strangers_arrive
step "drift" see_drift
step "a retraining is proposed" see_proposal
step "bob tries to approve" bob_tries
step "alice decides" alice_decides
if [ "$DECISION" = approve ]; then
  step "retrained, gated, rolled out" see_the_new_version
  step "the other Hungarian patients arrive" the_others_arrive
  step "monitored to the end" see_the_end
fi
step "no request was lost" judge_requests
[ -z "${DEMO_MLFLOW:-}" ] || step "published to MLflow" see_publications heart-1 ${NEW:+"$NEW"}
step "the record" show_the_record
story_table
step_table
cat <<T

Next:
  eval "\$(hack/cluster/cluster.sh env)"
  kubectl get modelward -A
  kubectl describe --namespace $NAMESPACE ra $ACTION
  kubectl get --namespace $NAMESPACE driftreport -o wide
  kubectl explain modelversion.spec.retraining
  address=\$(kubectl get --namespace $NAMESPACE service heart -o jsonpath='{.spec.clusterIP}')
  curl -s http://\$address/v2/models/heart; echo
  make demo-down
T
