//! What an action proposes, from what is there now; and the plan that records it.

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    AcceptedWindow, ActionPlan, ActionType, ArtifactStatus, Champion, DriftReport, Gate, Model, ModelStatus,
    ModelVersion, NamedDataset, PlannedReference, PlannedRoute, ReferenceKind, RemediationAction, Risk,
    RouteStatus, SourceStatus, TrainingSource, VersionReference, annotations, conditions::types,
};
use modelward_wire::{Decimal, Digest};

use super::{
    World,
    projection::{self, PLAN_FORMAT},
    uid_of,
};
use crate::{conditions, model};

/// Letters of a summary that are kept.
const SUMMARY: usize = 1024;

/// What would be done, before it is given a number and an end.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// How much can go wrong.
    pub risk: Risk,
    /// How many people have to approve it.
    pub approvals: i32,
    /// Whose approval does not count.
    pub excluded: Vec<String>,
    /// What serves now.
    pub present: Vec<PlannedRoute>,
    /// What would serve.
    pub planned: Vec<PlannedRoute>,
    /// What would be trained.
    pub training: Option<ProposedTraining>,
    /// The same in words.
    pub summary: String,
}

/// What would be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedTraining {
    /// Uid of the version that is retrained.
    pub target_uid: String,
    /// Hash of everything that the training depends on.
    pub spec: Digest,
    /// The data, frozen.
    pub snapshot: ArtifactStatus,
    /// Where it came from.
    pub sources: Vec<SourceStatus>,
    /// Bounds that it has to keep.
    pub gates: Vec<Gate>,
    /// What it must not be worse than.
    pub not_worse_than: Option<Champion>,
    /// Whether it takes over when its gates pass.
    pub serve_when_gates_pass: bool,
    /// What its traffic would be compared with.
    pub reference: Option<PlannedReference>,
}

// === looking things up ===

/// The version that a reference names, where it is there and not on its way out.
pub fn find<'a>(versions: &'a [ModelVersion], reference: &VersionReference) -> Option<&'a ModelVersion> {
    versions.iter().find(|version| {
        version.metadata.name.as_deref() == Some(&reference.name)
            && reference.uid.as_ref().is_none_or(|uid| uid == uid_of(*version))
            && version.metadata.deletion_timestamp.is_none()
    })
}

/// The version of this uid, where it is there and not on its way out.
pub fn by_uid<'a>(versions: &'a [ModelVersion], uid: &str) -> Option<&'a ModelVersion> {
    versions
        .iter()
        .find(|version| uid_of(*version) == uid && version.metadata.deletion_timestamp.is_none())
}

/// The route that answers with most weight.
pub fn heaviest(status: &ModelStatus) -> Option<&RouteStatus> {
    status.routes.iter().max_by_key(|route| route.weight)
}

/// Everything to this version.
pub fn route_to(version: &ModelVersion) -> Option<PlannedRoute> {
    let status = version.status.as_ref()?;
    let passed = conditions::is_true(&status.conditions, types::GATES_PASSED);
    let bundle = status.bundle.as_ref().filter(|_| passed)?;
    Some(PlannedRoute {
        version: version.metadata.name.clone().unwrap_or_default(),
        uid: uid_of(version).to_owned(),
        digest: bundle.digest,
        weight: 100,
        threshold: status.threshold.clone()?,
    })
}

/// A route of the record as a plan lists it.
pub fn planned(route: &RouteStatus) -> PlannedRoute {
    PlannedRoute {
        version: route.version.clone(),
        uid: route.uid.clone(),
        digest: route.digest,
        weight: route.weight,
        threshold: route.threshold.clone(),
    }
}

/// A route of a plan as the record lists it.
pub fn recorded(route: &PlannedRoute) -> RouteStatus {
    RouteStatus {
        version: route.version.clone(),
        uid: route.uid.clone(),
        digest: route.digest,
        weight: route.weight,
        threshold: route.threshold.clone(),
    }
}

/// Whether this bundle served before and does not serve now.
fn has_served(model: &Model, digest: &Digest) -> bool {
    let status = model.status.clone().unwrap_or_default();
    let serves = status.routes.iter().any(|route| route.digest == *digest);
    !serves && status.history.iter().any(|record| record.digest == *digest)
}

/// What served before what is routed now: the newest that is still there and was not left on purpose.
fn former(model: &Model, versions: &[ModelVersion]) -> Option<PlannedRoute> {
    let status = model.status.as_ref()?;
    let routed = |uid: &str, digest: &Digest| {
        status
            .routes
            .iter()
            .any(|route| route.uid == uid && route.digest == *digest)
    };
    status
        .history
        .iter()
        .filter(|record| !routed(&record.uid, &record.digest))
        .filter(|record| model::hold(model, &record.uid, Some(&record.digest)).is_none())
        .find_map(|record| {
            let version = by_uid(versions, &record.uid)?;
            let own = version
                .status
                .as_ref()
                .and_then(|status| status.threshold.clone());
            Some(PlannedRoute {
                version: record.version.clone(),
                uid: record.uid.clone(),
                digest: record.digest,
                weight: 100,
                threshold: record.threshold.clone().or(own)?,
            })
        })
}

// === proposals ===

/// Telling people.
pub fn alert(action: &RemediationAction, world: &World, model: &Model) -> Proposal {
    let risk = world.policy.risk(ActionType::SendAlert);
    Proposal {
        risk,
        approvals: world.policy.approvals(risk),
        excluded: Vec::new(),
        present: present(model),
        planned: Vec::new(),
        training: None,
        summary: cut(&format!(
            "tell people about {}: {}",
            action.spec.model,
            action.spec.message.as_deref().unwrap_or_default()
        )),
    }
}

/// Putting a version to work. `covered` says that an earlier action's approval is for this too.
pub fn promotion(world: &World, model: &Model, candidate: &ModelVersion, covered: bool) -> Option<Proposal> {
    let route = route_to(candidate)?;
    let returning = has_served(model, &route.digest);
    let risk = if returning {
        world
            .policy
            .risk(ActionType::PromoteModel)
            .max(world.policy.risk(ActionType::RollbackModel))
    } else {
        world.policy.risk(ActionType::PromoteModel)
    };
    let present = present(model);
    let score = candidate
        .status
        .as_ref()
        .and_then(|status| status.score.clone())
        .map(|score| format!(", {score}"))
        .unwrap_or_default();
    let in_place_of = match names(&present) {
        Some(names) => format!(" in place of {names}; back to {names} if it does not come up"),
        None => String::new(),
    };
    let before = if returning {
        "; this bundle has served before"
    } else {
        ""
    };
    Some(Proposal {
        risk,
        approvals: if covered { 0 } else { world.policy.approvals(risk) },
        excluded: makers(candidate),
        summary: cut(&format!(
            "let {} serve (bundle {}{score}){in_place_of}{before}",
            route.version,
            route.digest.short()
        )),
        present,
        planned: vec![route],
        training: None,
    })
}

/// Returning to what served before, or to the version that is named.
pub fn rollback(world: &World, model: &Model, candidate: Option<&ModelVersion>) -> Option<Proposal> {
    let route = match candidate {
        Some(candidate) => route_to(candidate)?,
        None => former(model, &world.versions)?,
    };
    let risk = world.policy.risk(ActionType::RollbackModel);
    let present = present(model);
    let leaving = match names(&present) {
        Some(names) => format!(" in place of {names}, which is held from then on"),
        None => String::new(),
    };
    Some(Proposal {
        risk,
        approvals: world.policy.approvals(risk),
        excluded: candidate.map(makers).unwrap_or_default(),
        summary: cut(&format!(
            "return {} to {} (bundle {}){leaving}",
            model.metadata.name.as_deref().unwrap_or_default(),
            route.version,
            route.digest.short()
        )),
        present,
        planned: vec![route],
        training: None,
    })
}

/// Training a version on the data that was frozen. None where the target says nothing of training.
pub fn retraining(
    world: &World,
    model: &Model,
    target: &ModelVersion,
    snapshot: &ArtifactStatus,
    sources: &[SourceStatus],
    reference: Option<PlannedReference>,
) -> Option<Proposal> {
    let retraining = target.spec.retraining.as_ref()?;
    let champion = model.status.as_ref().and_then(heaviest).map(|route| Champion {
        version: route.version.clone(),
        bundle: route.digest,
        margin: retraining.margin.clone(),
    });
    let training = source(
        target,
        Some(snapshot.digest),
        champion.clone(),
        reference.as_ref(),
    )?;
    let risk = world.policy.risk(ActionType::RetrainModel);
    let proposed = ProposedTraining {
        target_uid: uid_of(target).to_owned(),
        spec: projection::training_spec(&training, target),
        snapshot: snapshot.clone(),
        sources: sources.to_vec(),
        gates: training.gates.clone(),
        not_worse_than: champion,
        serve_when_gates_pass: retraining.serve_when_gates_pass,
        reference,
    };
    Some(Proposal {
        risk,
        approvals: world.policy.approvals(risk),
        excluded: Vec::new(),
        present: present(model),
        planned: Vec::new(),
        summary: cut(&retraining_words(&target.spec.model, &proposed)),
        training: Some(proposed),
    })
}

/// How a version is trained anew: on its own data and the fresh data, or on the fresh data alone.
pub fn source(
    target: &ModelVersion,
    snapshot: Option<Digest>,
    not_worse_than: Option<Champion>,
    reference: Option<&PlannedReference>,
) -> Option<TrainingSource> {
    let own = target.spec.source.training.as_ref()?;
    let retraining = target.spec.retraining.as_ref()?;
    let mut fresh = retraining.datasets.iter();
    let (dataset, mut additional): (_, Vec<NamedDataset>) = if retraining.include_training_data {
        (own.dataset.clone(), own.additional_datasets.clone())
    } else {
        (fresh.next()?.dataset.clone(), Vec::new())
    };
    for named in fresh {
        // A version that was retrained before has some of them already.
        additional.retain(|there| there.name != named.name);
        additional.push(named.clone());
    }
    Some(TrainingSource {
        dataset,
        additional_datasets: additional,
        snapshot,
        not_worse_than,
        reference: reference.and_then(|reference| {
            Some(AcceptedWindow {
                counts: reference.digest,
                rows: reference.rows?,
                start_time: reference.start_time.clone()?,
                end_time: reference.end_time.clone()?,
            })
        }),
        ..own.clone()
    })
}

/// The window of a report as a reference. None as long as it has no verdict.
pub fn accepted(report: &DriftReport) -> Option<PlannedReference> {
    let status = report.status.as_ref()?;
    status.verdict?;
    Some(PlannedReference {
        kind: ReferenceKind::AcceptedWindow,
        digest: status.counts?,
        rows: status.rows,
        start_time: Some(report.spec.start_time.clone()),
        end_time: Some(report.spec.end_time.clone()),
    })
}

// === plans ===

/// The plan of a proposal with this number.
pub fn plan(
    action: &RemediationAction,
    model: &Model,
    proposal: Proposal,
    world: &World,
    sequence: i64,
    not_after: Timestamp,
) -> ActionPlan {
    let content = projection::content(
        action,
        model,
        &proposal,
        &world.policy,
        world.gate.ids.as_ref(),
        sequence,
        not_after,
    );
    let training = proposal.training;
    let (snapshot, sources, reference) = match training {
        Some(training) => (Some(training.snapshot), training.sources, training.reference),
        None => (None, Vec::new(), None),
    };
    ActionPlan {
        digest: projection::digest(&content),
        plan_format: PLAN_FORMAT,
        plan_sequence: sequence,
        risk: proposal.risk,
        approvals_required: proposal.approvals,
        excluded_approvers: proposal.excluded,
        not_after: Time(not_after),
        summary: proposal.summary,
        content,
        present_routes: proposal.present,
        planned_routes: proposal.planned,
        snapshot,
        sources,
        reference,
    }
}

/// When a plan that is made now expires.
pub fn not_after(world: &World, now: Timestamp) -> Timestamp {
    let end = now.checked_add(world.policy.plan_seconds.max(0).seconds());
    conditions::whole_seconds(end.unwrap_or(Timestamp::MAX))
}

// === words ===

fn present(model: &Model) -> Vec<PlannedRoute> {
    let routes = model.status.iter().flat_map(|status| &status.routes);
    routes.map(planned).collect()
}

fn makers(version: &ModelVersion) -> Vec<String> {
    let annotations = version.metadata.annotations.as_ref();
    let maker = annotations.and_then(|all| all.get(annotations::CREATED_BY));
    maker.into_iter().cloned().collect()
}

/// Names of the versions of these routes.
pub fn names(routes: &[PlannedRoute]) -> Option<String> {
    let names: Vec<&str> = routes.iter().map(|route| route.version.as_str()).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

fn retraining_words(model: &str, training: &ProposedTraining) -> String {
    let files: Vec<&str> = training
        .sources
        .iter()
        // The whole name and its sha256 are in the plan's content; a sentence needs the file.
        .map(|source| source.name.rsplit('/').next().unwrap_or(&source.name))
        .collect();
    let rows = training
        .snapshot
        .rows
        .map_or_else(|| "rows".to_owned(), |rows| format!("{rows} rows"));
    let mut bounds: Vec<String> = training.gates.iter().map(bound_words).collect();
    if let Some(champion) = &training.not_worse_than {
        bounds.push(format!("it is not worse than {}", champion.version));
    }
    let bounds = if bounds.is_empty() {
        "whatever its metrics are".to_owned()
    } else {
        format!("if {}", bounds.join(" and "))
    };
    let then = if training.serve_when_gates_pass {
        format!("serve it {bounds}")
    } else {
        format!("propose to serve it {bounds}")
    };
    let reference = match &training.reference {
        Some(reference) => match (&reference.start_time, &reference.end_time) {
            (Some(start), Some(end)) => format!(
                "the window of {}-{} becomes the reference",
                clock(start.0),
                clock(end.0)
            ),
            _ => "the accepted window becomes the reference".to_owned(),
        },
        None => "its training data becomes the reference".to_owned(),
    };
    format!(
        "retrain {model} on {}, {rows}, {}; {then}; {reference}",
        files.join(" + "),
        training.snapshot.digest.short()
    )
}

fn bound_words(gate: &Gate) -> String {
    let metric = gate.metric.as_str();
    match (&gate.at_least, &gate.at_most) {
        (Some(bound), _) => format!("{metric} is at least {}", text(bound)),
        (_, Some(bound)) => format!("{metric} is at most {}", text(bound)),
        _ => metric.to_owned(),
    }
}

fn text(decimal: &Decimal) -> &str {
    decimal.as_str()
}

/// The time of day, in seconds only where they say something.
fn clock(time: Timestamp) -> String {
    let format = if time.as_second() % 60 == 0 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    time.strftime(format).to_string()
}

fn cut(text: &str) -> String {
    text.chars().take(SUMMARY).collect()
}
