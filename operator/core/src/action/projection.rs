//! The text that a plan's digest is over: `planFormat: 2`, canonical JSON, written field by field.
//!
//! Format 2 has everything of format 1, and what plans show beside it: where the data of a retraining comes from, who changed
//! the version, which generation of it is meant, the guard rails that came later. A plan of format 1 that is being carried out goes on; one that still waits
//! is made again.
//!
//! Nothing here is a serialised type of the API: a field that the API gains, or a default that changes, would change
//! every digest, and with it void what people have approved. Numbers are integers; decimals are their text.

use jiff::Timestamp;
use modelward_crds::{
    AcceptedWindow, ActionPlan, ActionType, Champion, CsvFormat, Dataset, FeatureSpec, Gate, Model,
    ModelVersion, PlannedDataset, PlannedReference, PlannedRoute, PlannedVersion, PositiveWhen,
    RemediationAction, SourceStatus, TrainingSource,
};
use modelward_wire::{Decimal, Digest};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{GateIds, plan::Proposal};
use crate::policy::Policy;

/// How `content` is written.
pub const PLAN_FORMAT: i32 = 2;

/// Formats that a plan under way may have.
const KNOWN_FORMATS: [i32; 2] = [1, PLAN_FORMAT];

/// Parts of the content that are a plan's own and no input of it.
const OWN: [&str; 2] = ["planSequence", "notAfter"];

/// The content of a plan.
pub fn content(
    action: &RemediationAction,
    model: &Model,
    proposal: &Proposal,
    policy: &Policy,
    gate: Option<&GateIds>,
    sequence: i64,
    not_after: Timestamp,
) -> String {
    let spec = &action.spec;
    let mut content = json!({
        "planFormat": PLAN_FORMAT,
        "action": {
            "uid": action.metadata.uid,
            "type": spec.action.as_str(),
            "dryRun": spec.dry_run,
            "parent": spec.parent_ref.as_ref().map(|parent| &parent.uid),
            "message": spec.message.as_deref().map(|text| sha256(text.as_bytes()).to_string()),
        },
        "model": {"name": spec.model, "uid": model.metadata.uid},
        "planSequence": sequence,
        "presentRoutes": routes(&proposal.present),
        "plannedRoutes": routes(&proposal.planned),
        "risk": proposal.risk,
        "approvalsRequired": proposal.approvals,
        "excludedApprovers": proposal.excluded,
        "changedBy": proposal.changed_by,
        "version": proposal.version.as_ref().map(version),
        "notAfter": not_after.as_second(),
        "policy": policy_parts(policy),
        "gate": gate.map(gate_parts),
    });
    if let Some(training) = &proposal.training {
        content["training"] = json!({
            "target": training.target.name,
            "targetUid": training.target.uid,
            "datasets": training.datasets.iter().map(planned_dataset).collect::<Vec<_>>(),
            "spec": training.spec.to_string(),
            "snapshot": training.snapshot.digest.to_string(),
            "rows": training.snapshot.rows,
            "sources": training.sources.iter().map(source).collect::<Vec<_>>(),
            "gates": training.gates.iter().map(gate_bound).collect::<Vec<_>>(),
            "notWorseThan": training.not_worse_than.as_ref().map(champion),
            "serveWhenGatesPass": training.serve_when_gates_pass,
            "reference": training.reference.as_ref().map(reference),
        });
    }
    canonical(&content)
}

/// The sha256 of a text.
pub fn digest(content: &str) -> Digest {
    sha256(content.as_bytes())
}

/// Which of the inputs differ between two contents, in words.
pub fn differences(former: &str, present: &str) -> Vec<String> {
    let read = |text: &str| -> Map<String, Value> { serde_json::from_str(text).unwrap_or_default() };
    let (former, present) = (read(former), read(present));
    let mut names: Vec<&String> = former.keys().chain(present.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&&String| {
        !OWN.contains(&name.as_str()) && former.get(name.as_str()) != present.get(name.as_str())
    };
    names.iter().filter(differs).map(|name| words(name)).collect()
}

/// Whether a plan's parts are what its content says, and its digest is the content's: who approved the digest has approved
/// these parts.
pub fn is_whole(plan: &ActionPlan) -> bool {
    let content: Value = serde_json::from_str(&plan.content).unwrap_or_default();
    let training = &content["training"];
    let known = KNOWN_FORMATS.contains(&plan.plan_format);
    let shown = plan.plan_format == 1 || is_shown(plan, &content);
    let digest_of = |digest: Option<&Digest>| json!(digest.map(ToString::to_string));
    known
        && shown
        && digest(&plan.content) == plan.digest
        && content["planFormat"] == plan.plan_format
        && content["planSequence"] == plan.plan_sequence
        && content["notAfter"] == plan.not_after.0.as_second()
        && content["risk"] == plan.risk.as_str()
        && content["approvalsRequired"] == plan.approvals_required
        && content["excludedApprovers"] == json!(plan.excluded_approvers)
        && content["presentRoutes"] == json!(routes(&plan.present_routes))
        && content["plannedRoutes"] == json!(routes(&plan.planned_routes))
        && training["snapshot"] == digest_of(plan.snapshot.as_ref().map(|snapshot| &snapshot.digest))
        && training["reference"]["digest"]
            == digest_of(plan.reference.as_ref().map(|reference| &reference.digest))
}

/// Whether what came with format 2 is as the content says.
fn is_shown(plan: &ActionPlan, content: &Value) -> bool {
    let said = &content["training"];
    let of = |value: Value| serde_json::from_str::<Value>(&canonical(&value)).unwrap_or_default();
    content["changedBy"] == json!(plan.changed_by)
        && content["version"] == json!(plan.version.as_ref().map(version))
        && said["reference"] == of(json!(plan.reference.as_ref().map(reference)))
        && plan.training.as_ref().map_or(said.is_null(), |training| {
            let datasets = training.datasets.iter().map(planned_dataset).collect::<Vec<_>>();
            said["target"] == training.target.name.as_str()
                && said["targetUid"] == json!(training.target.uid)
                && said["datasets"] == of(json!(datasets))
                && said["gates"] == of(json!(training.gates.iter().map(gate_bound).collect::<Vec<_>>()))
                && said["notWorseThan"] == of(json!(training.not_worse_than.as_ref().map(champion)))
                && said["serveWhenGatesPass"] == training.serve_when_gates_pass
                && said["sources"] == of(json!(plan.sources.iter().map(source).collect::<Vec<_>>()))
        })
}

/// The hash of everything that a training depends on.
pub fn training_spec(training: &TrainingSource, of: &ModelVersion) -> Digest {
    let mut datasets = vec![dataset(&training.dataset)];
    for named in &training.additional_datasets {
        let mut one = dataset(&named.dataset);
        one["name"] = named.name.as_str().into();
        datasets.push(one);
    }
    let content = json!({
        "model": of.spec.model,
        "datasets": datasets,
        "snapshot": training.snapshot.map(|digest| digest.to_string()),
        "target": {
            "column": training.target.column,
            "positiveWhen": training.target.positive_when.as_ref().map(positive),
        },
        "features": training.features.iter().map(feature).collect::<Vec<_>>(),
        "exclude": training.exclude,
        "families": training.families.iter().map(|family| family.as_str()).collect::<Vec<_>>(),
        "validation": {
            "folds": training.validation.folds,
            "repeats": training.validation.repeats,
            "seed": training.validation.seed,
        },
        "selectBy": training.select_by.as_str(),
        "gates": training.gates.iter().map(gate_bound).collect::<Vec<_>>(),
        "notWorseThan": training.not_worse_than.as_ref().map(champion),
        "reference": training.reference.as_ref().map(window),
    });
    digest(&canonical(&content))
}

// === parts ===

fn words(name: &str) -> String {
    match name {
        "presentRoutes" => "what serves",
        "plannedRoutes" => "what would serve",
        "training" => "what would be trained",
        "risk" | "approvalsRequired" => "its risk",
        "excludedApprovers" => "who may approve",
        "changedBy" => "who changed the version",
        "version" => "the spec of the version",
        "planFormat" => "the format of plans",
        "policy" => "the operator's configuration",
        "gate" => "the admission policies",
        other => other,
    }
    .to_owned()
}

fn routes(routes: &[PlannedRoute]) -> Vec<Value> {
    let route = |route: &PlannedRoute| {
        json!({
            "version": route.version,
            "uid": route.uid,
            "digest": route.digest.to_string(),
            "weight": route.weight,
            "threshold": route.threshold.as_str(),
        })
    };
    routes.iter().map(route).collect()
}

fn version(version: &PlannedVersion) -> Value {
    json!({"name": version.name, "uid": version.uid, "generation": version.generation})
}

fn policy_parts(policy: &Policy) -> Value {
    let risks: Map<String, Value> = ActionType::ALL
        .iter()
        .map(|action| (action.as_str().to_owned(), policy.risk(*action).as_str().into()))
        .collect();
    json!({
        "risks": risks,
        "mediumApprovals": policy.medium_approvals,
        "highApprovals": policy.high_approvals,
        "planSeconds": policy.plan_seconds,
        "verificationSeconds": policy.verification_seconds,
        "coolDownSeconds": policy.cool_down_seconds,
        "retrainsADay": policy.retrains_a_day,
        "retrainsADayPerNamespace": policy.retrains_a_day_per_namespace,
        "inFlight": policy.in_flight,
        "inFlightPerNamespace": policy.in_flight_per_namespace,
        "claimSeconds": policy.claim_seconds,
        "stormModels": policy.storm_models,
    })
}

fn gate_parts(gate: &GateIds) -> Value {
    let policies: Vec<Value> = gate
        .policies
        .iter()
        .map(|policy| {
            json!({
                "name": policy.name,
                "uid": policy.uid,
                "generation": policy.generation,
                "bindingUid": policy.binding_uid,
                "bindingGeneration": policy.binding_generation,
            })
        })
        .collect();
    json!({"policies": policies, "parameters": gate.parameters})
}

fn source(source: &SourceStatus) -> Value {
    json!({
        "name": source.name,
        "sha256": source.sha256.to_string(),
        "rows": source.rows,
        "positiveRows": source.positive_rows,
    })
}

fn planned_dataset(dataset: &PlannedDataset) -> Value {
    json!({
        "name": dataset.name,
        "location": dataset.location,
        "locationSha256": dataset.location_sha256.to_string(),
        "host": dataset.host,
        "sha256": dataset.sha256.map(|digest| digest.to_string()),
    })
}

fn gate_bound(gate: &Gate) -> Value {
    json!({
        "metric": gate.metric.as_str(),
        "atLeast": gate.at_least.as_ref().map(Decimal::as_str),
        "atMost": gate.at_most.as_ref().map(Decimal::as_str),
    })
}

fn champion(champion: &Champion) -> Value {
    json!({
        "version": champion.version,
        "bundle": champion.bundle.to_string(),
        "margin": champion.margin.as_str(),
    })
}

fn window(window: &AcceptedWindow) -> Value {
    json!({
        "counts": window.counts.to_string(),
        "rows": window.rows,
        "start": window.start_time.0.as_second(),
        "end": window.end_time.0.as_second(),
    })
}

fn reference(reference: &PlannedReference) -> Value {
    json!({
        "kind": reference.kind,
        "digest": reference.digest.to_string(),
        "rows": reference.rows,
        "start": reference.start_time.as_ref().map(|time| time.0.as_second()),
        "end": reference.end_time.as_ref().map(|time| time.0.as_second()),
    })
}

fn dataset(dataset: &Dataset) -> Value {
    json!({
        "configMap": dataset.config_map.as_ref().map(|source| json!({"name": source.name, "key": source.key})),
        "claim": dataset.persistent_volume_claim.as_ref().map(|source| {
            json!({"name": source.claim_name, "path": source.path})
        }),
        "uri": dataset.uri,
        "sha256": dataset.sha256.map(|digest| digest.to_string()),
        "csv": csv(&dataset.csv),
    })
}

fn csv(csv: &CsvFormat) -> Value {
    json!({
        "header": csv.header,
        "columns": csv.columns,
        "missing": csv.missing,
        "delimiter": csv.delimiter,
    })
}

fn positive(positive: &PositiveWhen) -> Value {
    json!({
        "greaterThan": positive.greater_than.as_ref().map(Decimal::as_str),
        "equals": positive.equals,
    })
}

fn feature(feature: &FeatureSpec) -> Value {
    json!({
        "name": feature.name,
        "kind": feature.kind,
        "categories": feature.categories,
        "min": feature.range.as_ref().and_then(|range| range.min.as_ref()).map(Decimal::as_str),
        "max": feature.range.as_ref().and_then(|range| range.max.as_ref()).map(Decimal::as_str),
        "required": feature.required,
        "maxMissingRatio": feature.max_missing_ratio.as_ref().map(Decimal::as_str),
    })
}

// === canonical JSON ===

fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Keys in order, nothing that is null, no space: whatever order the maps of a build keep.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields
                .keys()
                .filter(|key| !fields[key.as_str()].is_null())
                .collect();
            keys.sort();
            let fields: Vec<String> = keys
                .into_iter()
                .map(|key| {
                    format!(
                        "{}:{}",
                        Value::from(key.as_str()),
                        canonical(&fields[key.as_str()])
                    )
                })
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}
