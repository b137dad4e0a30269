//! What an action proposes, from what is there now; and the plan that records it.

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    AcceptedWindow, ActionPlan, ActionType, ArtifactStatus, Champion, ConditionType, Dataset, DriftReport,
    Gate, Model, ModelStatus, ModelVersion, NamedDataset, PlannedDataset, PlannedDifference,
    PlannedReference, PlannedRoute, PlannedTraining, PlannedVersion, ReferenceKind, RemediationAction, Risk,
    RouteStatus, SourceStatus, TrainingSource, VersionReference, annotations,
};
use modelward_wire::{Decimal, Digest};

use super::{
    World, canonical,
    content::{Content, PLAN_FORMAT},
    differences, name_of, training_spec, uid_of,
};
use crate::{conditions, model};

/// Letters of a summary that are kept: more than the longest one has.
const SUMMARY: usize = 16_384;
/// Letters of a name that a summary shows. The plan has it whole.
const NAME: usize = 128;
/// Letters of an address that are shown. Its sha256 is over all of it.
const ADDRESS: usize = 1024;

/// What would be done, before it is given a number and an end.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// How much can go wrong.
    pub risk: Risk,
    /// How many people have to approve it.
    pub approvals: i32,
    /// People whose approval does not count.
    pub excluded: Vec<String>,
    /// People who changed the version since it was created.
    pub changed_by: Vec<String>,
    /// The version whose spec decides what would run.
    pub version: Option<PlannedVersion>,
    /// In which fields and files what would serve differs from what serves.
    pub differences: Vec<PlannedDifference>,
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
    /// The version that is retrained.
    pub target: VersionReference,
    /// Where its rows come from.
    pub datasets: Vec<PlannedDataset>,
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
    let passed = conditions::is_true(&status.conditions, ConditionType::GatesPassed);
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
        changed_by: Vec::new(),
        version: None,
        differences: Vec::new(),
        present: present(model),
        planned: Vec::new(),
        training: None,
        summary: format!(
            "send an alert about {}: {}",
            action.spec.model,
            action.spec.message.as_deref().unwrap_or_default()
        ),
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
        Some(names) => format!(" in place of {names}; back to {names} if it does not become ready"),
        None => String::new(),
    };
    let before = if returning {
        "; this bundle has served before"
    } else {
        ""
    };
    let serving = serving(world, model);
    let differences = differences_of(candidate, serving);
    Some(Proposal {
        risk,
        approvals: if covered { 0 } else { world.policy.approvals(risk) },
        excluded: excluded(candidate),
        changed_by: changed_by(candidate),
        version: Some(planned_version(candidate)),
        summary: format!(
            "let {} serve (bundle {}, threshold {}{score}){in_place_of}{before}{}; {}{}{}",
            route.version,
            route.digest.short(),
            route.threshold,
            trained_words(candidate, model, &world.versions),
            serving_words(candidate),
            differences::words(&differences, serving.map(name_of)),
            changes(candidate),
        ),
        differences,
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
    let returned = by_uid(&world.versions, &route.uid);
    let serving = serving(world, model);
    let differences = returned
        .map(|returned| differences_of(returned, serving))
        .unwrap_or_default();
    let risk = world.policy.risk(ActionType::RollbackModel);
    let present = present(model);
    let leaving = match names(&present) {
        Some(names) => format!(" in place of {names}, which is held from then on"),
        None => String::new(),
    };
    Some(Proposal {
        risk,
        approvals: world.policy.approvals(risk),
        excluded: candidate.map(excluded).unwrap_or_default(),
        changed_by: candidate.map(changed_by).unwrap_or_default(),
        version: returned.map(planned_version),
        summary: format!(
            "return {} to {} (bundle {}, threshold {}){leaving}{}{}",
            model.metadata.name.as_deref().unwrap_or_default(),
            route.version,
            route.digest.short(),
            route.threshold,
            returned.map_or_else(String::new, |_| {
                differences::words(&differences, serving.map(name_of))
            }),
            candidate.map(changes).unwrap_or_default(),
        ),
        differences,
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
    let serving = serving(world, model);
    let mut spec = target.spec.clone();
    spec.source.training = Some(training.clone());
    let differences = differences::from_present(serving, &spec, sources, &differences::OF_A_RETRAINING);
    let proposed = ProposedTraining {
        target: VersionReference {
            name: target.metadata.name.clone().unwrap_or_default(),
            uid: Some(uid_of(target).to_owned()),
        },
        datasets: datasets(&training),
        spec: training_spec::digest(&training, target),
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
        excluded: excluded(target),
        changed_by: changed_by(target),
        version: Some(planned_version(target)),
        present: present(model),
        planned: Vec::new(),
        summary: format!(
            "{}{}{}",
            retraining_words(target, &training, &proposed),
            differences::words(&differences, serving.map(name_of)),
            changes(target)
        ),
        differences,
        training: Some(proposed),
    })
}

/// How a version is retrained: on its own data and the fresh data, or on the fresh data alone.
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
    let content = Content::new(
        action,
        model,
        &proposal,
        &world.policy,
        world.gate.ids.as_ref(),
        sequence,
        not_after,
    )
    .text();
    let summary = summary(&proposal, action, not_after);
    let (snapshot, sources, reference, training) = match proposal.training {
        Some(training) => {
            let planned = PlannedTraining {
                target: training.target,
                datasets: training.datasets,
                gates: training.gates,
                not_worse_than: training.not_worse_than,
                serve_when_gates_pass: training.serve_when_gates_pass,
            };
            (
                Some(training.snapshot),
                training.sources,
                training.reference,
                Some(planned),
            )
        }
        None => (None, Vec::new(), None, None),
    };
    ActionPlan {
        digest: canonical::digest(&content),
        plan_format: PLAN_FORMAT,
        plan_sequence: sequence,
        risk: proposal.risk,
        approvals_required: proposal.approvals,
        excluded_approvers: proposal.excluded,
        not_after: Time(not_after),
        summary,
        content,
        present_routes: proposal.present,
        planned_routes: proposal.planned,
        snapshot,
        sources,
        reference,
        training,
        changed_by: proposal.changed_by,
        version: proposal.version,
        differences: proposal.differences,
    }
}

/// Whether a plan is for this action and this model: not for namesakes that were deleted and made again.
pub fn is_for(plan: &ActionPlan, action: &RemediationAction, model: &Model) -> bool {
    Content::of(plan).is_some_and(|content| content.is_for(action, model))
}

/// When a plan that is made now expires.
pub fn not_after(world: &World, now: Timestamp) -> Timestamp {
    let end = now.checked_add(world.policy.plan_seconds.max(0).seconds());
    conditions::whole_seconds(end.unwrap_or(Timestamp::MAX))
}

// === what serves ===

/// The version that answers with most weight, where it is still there.
fn serving<'a>(world: &'a World, model: &Model) -> Option<&'a ModelVersion> {
    let route = model.status.as_ref().and_then(heaviest)?;
    world
        .versions
        .iter()
        .find(|version| uid_of(*version) == route.uid)
}

/// In what a version differs from the one that serves.
fn differences_of(version: &ModelVersion, serving: Option<&ModelVersion>) -> Vec<PlannedDifference> {
    let status = version.status.as_ref();
    let sources = status.map(|status| status.sources.as_slice()).unwrap_or_default();
    differences::from_present(serving, &version.spec, sources, &[])
}

// === words ===

fn present(model: &Model) -> Vec<PlannedRoute> {
    let routes = model.status.iter().flat_map(|status| &status.routes);
    routes.map(planned).collect()
}

/// Who made a version and who changed it since: none of them may approve what would be done with it.
fn excluded(version: &ModelVersion) -> Vec<String> {
    let annotations = version.metadata.annotations.as_ref();
    let maker = annotations.and_then(|all| all.get(annotations::CREATED_BY));
    let mut people: Vec<String> = maker.into_iter().cloned().collect();
    for person in changed_by(version) {
        if !people.contains(&person) {
            people.push(person);
        }
    }
    people
}

/// Who changed a version's spec since it was created, as the admission policies recorded it.
fn changed_by(version: &ModelVersion) -> Vec<String> {
    let annotations = version.metadata.annotations.as_ref();
    let changers = annotations.map(annotations::changers).unwrap_or_default();
    changers.into_iter().map(ToOwned::to_owned).collect()
}

/// Whether the spec of a version was never changed.
pub fn is_as_created(version: &ModelVersion) -> bool {
    version
        .metadata
        .generation
        .is_none_or(|generation| generation <= 1)
        && changed_by(version).is_empty()
}

/// Who changed the spec, in words.
fn changes(version: &ModelVersion) -> String {
    let people = changed_by(version);
    if people.is_empty() {
        return String::new();
    }
    let name = version.metadata.name.as_deref().unwrap_or_default();
    format!(
        "; spec of {name} changed since it was created, by {}",
        listed(&people)
    )
}

/// The generation stands for the whole spec: the API server counts it up with every change.
fn planned_version(version: &ModelVersion) -> PlannedVersion {
    PlannedVersion {
        name: version.metadata.name.clone().unwrap_or_default(),
        uid: uid_of(version).to_owned(),
        generation: version.metadata.generation.unwrap_or_default(),
    }
}

/// Where the rows of a training come from.
fn datasets(training: &TrainingSource) -> Vec<PlannedDataset> {
    let own = std::iter::once((None, &training.dataset));
    let more = training
        .additional_datasets
        .iter()
        .map(|named| (Some(named.name.clone()), &named.dataset));
    own.chain(more)
        .map(|(name, dataset)| {
            let location = location(dataset);
            PlannedDataset {
                name,
                location_sha256: canonical::digest(&location),
                location: location.chars().take(ADDRESS).collect(),
                host: dataset.uri.as_deref().and_then(host),
                sha256: dataset.sha256,
            }
        })
        .collect()
}

fn location(dataset: &Dataset) -> String {
    if let Some(map) = &dataset.config_map {
        format!("ConfigMap {}, key {}", map.name, map.key)
    } else if let Some(claim) = &dataset.persistent_volume_claim {
        format!("PersistentVolumeClaim {}, file {}", claim.claim_name, claim.path)
    } else {
        dataset.uri.clone().unwrap_or_default()
    }
}

/// The host that an address is fetched from, with its port. What stands before an `@` is no part of it.
fn host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.chars().take(260).collect())
}

/// What would be done, and what it takes: how much can go wrong, how many people, who may not, until when.
fn summary(proposal: &Proposal, action: &RemediationAction, not_after: Timestamp) -> String {
    let people = match (proposal.approvals, &action.spec.parent_ref) {
        (0, Some(parent)) => format!("covered by {}", parent.name),
        (0, None) => "no approval needed".to_owned(),
        (1, _) => "1 approval".to_owned(),
        (several, _) => format!("{several} approvals"),
    };
    let excluded = if proposal.approvals == 0 || proposal.excluded.is_empty() {
        String::new()
    } else {
        format!(", not by {}", listed(&proposal.excluded))
    };
    cut(&format!(
        "{}; risk {}, {people}{excluded}, until {not_after}",
        proposal.summary, proposal.risk,
    ))
}

/// Names of the versions of these routes.
pub fn names(routes: &[PlannedRoute]) -> Option<String> {
    let names: Vec<&str> = routes.iter().map(|route| route.version.as_str()).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

/// What a version was trained on, and what its training had to keep.
fn trained_words(version: &ModelVersion, model: &Model, versions: &[ModelVersion]) -> String {
    let Some(training) = &version.spec.source.training else {
        return "; its spec names the bundle: no data was read, and no gates were asked for".to_owned();
    };
    let status = version.status.clone().unwrap_or_default();
    let files = file_words(&datasets(training), &status.sources);
    let data = match (&training.snapshot, &status.snapshot) {
        // A retraining names the snapshot that its approval showed.
        (Some(named), _) if version.spec.provenance.is_none() => {
            format!(
                "snapshot {}, which its spec names in place of reading {files}",
                named.short()
            )
        }
        (_, Some(read)) => format!("{} ({}): {files}", row_words(read.rows), read.digest.short()),
        _ => files,
    };
    let mut bounds: Vec<String> = training.gates.iter().map(bound_words).collect();
    if let Some(champion) = &training.not_worse_than {
        let bound = champion_words(training, champion);
        let known = is_bundle_of(&champion.bundle, &champion.version, model, versions);
        let doubt = format!(", a bundle that is not known as one of {}", champion.version);
        bounds.push(if known { bound } else { bound + &doubt });
    }
    let bounds = if bounds.is_empty() {
        "without gates".to_owned()
    } else {
        bounds.join(" and ")
    };
    format!("; trained on {data}; {bounds}")
}

/// Whether this bundle is that of a version of this name, which is there or served before.
fn is_bundle_of(bundle: &Digest, name: &str, model: &Model, versions: &[ModelVersion]) -> bool {
    let has_it = |version: &ModelVersion| {
        let status = version.status.as_ref();
        version.metadata.name.as_deref() == Some(name)
            && status
                .and_then(|status| status.bundle.as_ref())
                .is_some_and(|own| own.digest == *bundle)
    };
    let history = model.status.iter().flat_map(|status| &status.history);
    versions.iter().any(has_it)
        || history
            .into_iter()
            .any(|record| record.version == name && record.digest == *bundle)
}

/// How many Pods would serve a version.
fn serving_words(version: &ModelVersion) -> String {
    let replicas = &version.spec.serving.replicas;
    if replicas.max == 1 {
        "1 Pod".to_owned()
    } else if replicas.min == replicas.max {
        format!("{} Pods", replicas.min)
    } else {
        format!("{} to {} Pods", replicas.min, replicas.max)
    }
}

/// The whole names and hashes are in the plan or the version; a sentence needs the file, where it comes from and its rows.
fn file_words(datasets: &[PlannedDataset], sources: &[SourceStatus]) -> String {
    let files: Vec<String> = datasets
        .iter()
        .enumerate()
        .map(|(index, dataset)| {
            let read = sources.get(index);
            let rows = read.map_or_else(String::new, |read| format!(", {} rows", read.rows));
            let from = dataset.host.as_ref().map_or_else(
                || short(&dataset.location),
                |host| {
                    format!(
                        "host {}, {}",
                        quoted(&short(host)),
                        quoted(&short(file(&dataset.location)))
                    )
                },
            );
            format!("{from}{rows}")
        })
        .collect();
    files.join(" + ")
}

fn row_words(rows: Option<i64>) -> String {
    rows.map_or_else(|| "rows".to_owned(), |rows| format!("{rows} rows"))
}

fn champion_words(source: &TrainingSource, champion: &Champion) -> String {
    format!(
        "{} is at most {} worse than that of {} (bundle {})",
        source.select_by.as_str(),
        champion.margin,
        champion.version,
        champion.bundle.short()
    )
}

fn retraining_words(target: &ModelVersion, source: &TrainingSource, training: &ProposedTraining) -> String {
    let mut bounds: Vec<String> = training.gates.iter().map(bound_words).collect();
    if let Some(champion) = &training.not_worse_than {
        bounds.push(champion_words(source, champion));
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
                "the window from {} to {}{} becomes the reference",
                start.0,
                end.0,
                reference
                    .rows
                    .map_or_else(String::new, |rows| format!(" ({rows} rows)")),
            ),
            _ => "the accepted window becomes the reference".to_owned(),
        },
        None => "its training data becomes the reference".to_owned(),
    };
    format!(
        "retrain {} as {} is trained, on {} ({}): {}; {then}; {reference}",
        target.spec.model,
        training.target.name,
        row_words(training.snapshot.rows),
        training.snapshot.digest.short(),
        file_words(&training.datasets, &training.sources),
    )
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| short(name)).collect();
    names.join(", ")
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME {
        return plain(name);
    }
    plain(&name.chars().take(NAME - 1).chain(['…']).collect::<String>())
}

/// Letters by their class that show as nothing: fillers of Hangul.
const BLANK_LETTERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];

/// Text that others wrote, with what does not show, or shows otherwise than it is written, escaped: control characters, marks
/// of direction, spaces that are none.
pub fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut plain, letter| {
        let is_blank = BLANK_LETTERS.contains(&letter);
        if letter.is_ascii_graphic()
            || letter == ' '
            || letter == '…'
            || (letter.is_alphanumeric() && !is_blank)
        {
            plain.push(letter);
        } else {
            plain.extend(letter.escape_unicode());
        }
        plain
    })
}

/// In quotes, unless it is a plain name that cannot be read as more of the sentence.
fn quoted(name: &str) -> String {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "._-~%:[]…".contains(letter);
    if name.chars().all(is_name) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// The file that an address names.
fn file(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    path.rsplit('/').next().unwrap_or(path)
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

fn cut(text: &str) -> String {
    text.chars().take(SUMMARY).collect()
}
