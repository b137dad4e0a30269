# An MLflow server on this machine, to which the ledger of the demo publishes: DEMO_MLFLOW=1 make demo. With DEMO_PICTURES=DIR it takes a
# screenshot of the page of a run (CHROMIUM, `chromium` by default).
# shellcheck shell=bash
MLFLOW_PORT=${DEMO_MLFLOW_PORT:-5210}
# Read by demo.sh.
# shellcheck disable=SC2034
MLFLOW_VALUES=()

# The server listens only on the address at which the node reaches this machine.
start_mlflow() {
  local node
  "$TESTS/differential/compare.sh" fetch
  node=$(kubectl get nodes -o jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  MLFLOW_AT=$(ip -4 -o route get "$node" | sed -n 's/.* src \([0-9.]*\).*/\1/p')
  rm -rf "$WORK/mlflow"
  mkdir -p "$WORK/mlflow"
  # The server has to allow the Origin of its own page.
  MLFLOW_SERVER_ALLOWED_HOSTS=$MLFLOW_AT:$MLFLOW_PORT MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=http://$MLFLOW_AT:$MLFLOW_PORT "$CACHE/venv/mlflow/bin/mlflow" server --host "$MLFLOW_AT" --port "$MLFLOW_PORT" \
    --workers 1 --backend-store-uri "sqlite:///$WORK/mlflow/mlflow.db" --artifacts-destination "$WORK/mlflow/artifacts" \
    >"$LOGS/demo-mlflow.log" 2>&1 &
  MLFLOW_PID=$!
  at_exit end_mlflow
  curl --retry 120 --retry-delay 1 --retry-all-errors --noproxy '*' -sf -o /dev/null "http://$MLFLOW_AT:$MLFLOW_PORT/health" ||
    die "MLflow did not start: see $LOGS/demo-mlflow.log"
  # shellcheck disable=SC2034
  MLFLOW_VALUES=(--set "mlflow.trackingUri=http://$MLFLOW_AT:$MLFLOW_PORT")
  say "MLflow answers at http://$MLFLOW_AT:$MLFLOW_PORT"
}

end_mlflow() {
  kill "$MLFLOW_PID" 2>/dev/null || true
  wait "$MLFLOW_PID" 2>/dev/null || true
}

# see_publications VERSION…: prints the condition of each, and the versions of the registered model from the API of MLflow.
see_publications() {
  local version
  for version in "$@"; do
    await_condition "$NAMESPACE" "modelversion/$version" Published "True" 180
    say "$version: $(condition "$NAMESPACE" "modelversion/$version" Published)"
  done
  curl --noproxy '*' -sf --get "http://$MLFLOW_AT:$MLFLOW_PORT/api/2.0/mlflow/model-versions/search" --data-urlencode "filter=name='heart'" \
    >"$WORK/mlflow/versions.json"
  jq -r '.model_versions | sort_by(.version | tonumber)[] | "   registered model \(.name), version \(.version): run \(.run_id)"' "$WORK/mlflow/versions.json"
  [ "$(jq '.model_versions | length' "$WORK/mlflow/versions.json")" = $# ] || die "MLflow has other versions than $*"
  [ -z "${DEMO_PICTURES:-}" ] || take_picture
}

# Takes a screenshot of the run of the version that was registered last.
take_picture() {
  local run experiment
  run=$(jq -r '.model_versions | max_by(.version | tonumber).run_id' "$WORK/mlflow/versions.json")
  experiment=$(curl --noproxy '*' -sf "http://$MLFLOW_AT:$MLFLOW_PORT/api/2.0/mlflow/runs/get?run_id=$run" | jq -r .run.info.experiment_id)
  "${CHROMIUM:-chromium}" --headless --no-sandbox --disable-gpu --hide-scrollbars --no-proxy-server --window-size=1500,1500 --virtual-time-budget=25000 \
    --user-data-dir="$WORK/mlflow/browser" --screenshot="$DEMO_PICTURES/mlflow-run.png" \
    "http://$MLFLOW_AT:$MLFLOW_PORT/#/experiments/$experiment/runs/$run?workflowType=machine_learning" >"$LOGS/demo-chromium.log" 2>&1
  say "$DEMO_PICTURES/mlflow-run.png"
}
