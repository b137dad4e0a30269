# Modelward: `make help` is the table of contents.
#
#   make demo    the whole story: an empty machine, a cluster, a model trained on real data, answered predictions, other
#                patients, drift, a retraining that a person approves (DEMO_DECISION=reject: rejects), no lost request
#   make test    everything that must hold on each change
#
# Builds and tools are kept in a cache outside the checkout (MODELWARD_CACHE, ~/.cache/modelward by default).

SHELL := bash
MODELWARD_CACHE ?= $(HOME)/.cache/modelward
export MODELWARD_CACHE
export CARGO_TARGET_DIR ?= $(MODELWARD_CACHE)/target
export MODELWARD_ENGINES ?= $(MODELWARD_CACHE)/engines
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/local/go/bin

.DEFAULT_GOAL := help
.PHONY: help

help: ## Prints this list
	@awk 'BEGIN { FS = ":.*## " } /^## / { printf "\n%s\n", substr($$0, 4) } /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

## Demo
.PHONY: demo demo-down cluster cluster-down cluster-soak

demo: ## Builds, starts a cluster, installs the charts, trains, serves, detects drift, waits for an approval, retrains and takes over
	@demo/demo.sh

demo-down: ## Removes the demo and its cluster completely
	@demo/demo-down.sh

cluster: ## Starts a Kubernetes cluster: with kind if Docker and kind are installed, otherwise one node on this machine
	@hack/cluster/cluster.sh up

cluster-down: ## Removes the cluster
	@hack/cluster/cluster.sh down

cluster-soak: ## Starts and stops a cluster 30 times (SOAK=…), half of them under load; then with late starts and kills half-way
	@hack/cluster/soak.sh $(or $(SOAK),30)
	@hack/cluster/soak.sh late
	@hack/cluster/soak.sh killed

## Checks
.PHONY: check check-crates test fresh attack fuzz trials verdicts bench-operator bench-training bench-memory bench-selection bench-forest-bins deny

check: ## For the inner loop: format, lints, generated files, unit tests of the pure crates, the trainer and the inference server
	@hack/engines/fetch.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	cargo run --locked --quiet -p modelward-crds --bin crdgen -- --check
	cargo test --locked --quiet -p modelward-wire -p modelward-crds -p modelward-core -p modelward-model -p modelward-service
	cargo test --locked --quiet --lib -p modelward-profile -p modelward-trainer -p modelward-inference

check-crates: ## Compiles each crate separately, so that no other crate's features hide a missing one
	@set -o pipefail; cargo metadata --locked --no-deps --format-version 1 | jq -r '.packages[].name' | while read -r crate; do \
	  echo "== $$crate"; cargo check --locked --quiet --all-targets -p "$$crate" </dev/null || exit 1; done

test: ## All tests that a change has to pass, with a table of the parts and their times
	@tests/run.sh

fresh: ## The demo and the tests as on a new machine: a fresh clone, an empty HOME and empty caches (FRESH_DIR, FRESH_KEEP)
	@tests/fresh.sh

attack: ## Attacks on the gate, the running operator and every field of its objects: each is rejected by name, reverted or without effect; and legitimate uses
	@set -o pipefail; begun=$$SECONDS; cargo test --locked --quiet -p modelward-tests --test gate --test attack --test refused --test restored -- --nocapture 2>&1 \
	  | grep -vE '^(\.?|running .*|test result: ok.*)$$' \
	  | awk '/attacks refused/ { refused += $$1; allowed += $$4; next } /attacks had an effect/ { executed += $$1; next } { print } \
	    END { printf "%d attacks executed\n%d attacks refused, %d honest uses allowed\n", executed, refused, allowed }' \
	  && echo "$$((SECONDS - begun)) s"

fuzz: ## File parsers under libFuzzer: CSV, Parquet, LightGBM, XGBoost and ONNX models, bundles, snapshots, specs (FUZZ_SECONDS=60 each; about 10 minutes)
	@tests/fuzz.sh

trials: ## The operator, interrupted before, during and after each of its writes; and seeded defects, which must be found
	@cargo build --locked -p modelward-trials --bin trials
	@$(CARGO_TARGET_DIR)/debug/trials
	@tests/trials/defects.sh
	@cargo test --locked --quiet -p modelward-profile --test verdict heart

# Of the build: release or dev.
BENCH_PROFILE ?= release
bench-operator: ## Resource usage of the operator with thousands of objects: memory, CPU, reads, writes, watches (BENCH_VERSIONS, …; BASE=file compares)
	@cargo build --locked --profile $(BENCH_PROFILE) -p modelward-trials --bin bench-operator
	@"$(CARGO_TARGET_DIR)/$(if $(filter dev,$(BENCH_PROFILE)),debug,$(BENCH_PROFILE))/bench-operator" \
	  --output "$(CARGO_TARGET_DIR)/bench-operator.json" $(if $(BASE),--base "$(BASE)")

bench-training: ## One fit, the whole selection and the startup of the trainer, compared with Python libraries (BENCH="--only fits"; use a quiet machine)
	@benches/training.sh $(BENCH)

bench-memory: ## Peak memory of the trainer on a generated table of 30 columns, by family (BENCH="--rows 10000000" takes ten times as long)
	@benches/memory.sh $(BENCH)

bench-selection: ## The trainer's selection compared with FLAML's and with default models, on 35 real tables (BENCH="--seconds 5"; an hour and a half on two cores)
	@benches/selection.sh $(BENCH)

bench-forest-bins: ## The random forest by the number of bins of a feature, on the tables of bench-selection (five minutes)
	@benches/selection.sh forest-bins

verdicts: ## The tables of docs/verdicts.md: false alarms if nothing changes, how soon a shift is detected, and whether a worse model passes (VERSIONS=200 per row; a quarter of an hour)
	@cargo build --locked --release -p modelward-verdicts
	@"$(CARGO_TARGET_DIR)/release/verdicts" $(if $(VERSIONS),--versions $(VERSIONS))

deny: ## Licenses, sources and banned crates of the dependency graph (needs cargo-deny)
	cargo deny --locked check bans licenses sources

## On the cluster of the demo
.PHONY: disruptions

disruptions: ## 200 requests per second while programs are killed, Pods evicted and a version approved and rolled out: none may fail
	@tests/disruptions.sh

## Building
.PHONY: generate generate-crds generate-metrics fetch images tools

generate: generate-crds generate-metrics ## Writes all files that are generated from the Rust types: both of the following

generate-crds: ## The CRDs and the API reference, after a change of crds/src; builds two crates
	cargo run --locked --quiet -p modelward-crds --bin crdgen

generate-metrics: ## The tables of metrics, after a change of a metric or of the values of its labels
	MODELWARD_GENERATE=1 cargo test --locked --quiet --lib -p modelward-controllers -p modelward-ledger -p modelward-inference the_table_of_metrics

fetch: ## Installs and downloads what the demo and the tests need, so that both can run without a network
	@tests/fetch.sh test

images: ## Builds the images
	@hack/cluster/images.sh build

tools: ## Builds Kubernetes, CoreDNS and Helm into the cache, once
	@hack/cluster/cluster.sh tools
