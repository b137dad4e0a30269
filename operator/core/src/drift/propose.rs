//! From a verdict to an action, or to the reason why none is proposed.
//!
//! Guard rails are computed from the proposals in the model's record, not from actions, because those can be deleted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use modelward_crds::{
    ActionType, ConditionType, Diagnosis, DriftAspect, DriftReport, DriftVerdict, EvidenceKind,
    EvidenceReference, Model, Proposal, RemediationAction, RemediationActionSpec, Season, Use,
    VersionReference, labels,
};
use modelward_wire::shorten;

use super::{
    at, drift_words,
    schedule::{has_enough_rows, is_open, is_scheduled, rests_on},
    validate::Validated,
    window_words,
};
use crate::{
    action::kinds::facts,
    conditions::{self, Status, whole_seconds},
    names::name_hash,
    objects::is_waiting_for_a_plan,
    policy::Policy,
    reason::Reason,
    record::proposals::{DAY, of_type, proposals, seconds_since},
};
/// The upper limit on retrainings per day, independent of the budget: the record has no room for more besides other proposals, and
/// only recorded proposals can be counted.
pub const MOST_RETRAINS: usize = 28;
/// Models that drift are counted over windows that ended within this many seconds.
const STORM_SECONDS: i64 = 3600;
/// The text about a proposal on a report.
const MESSAGE: usize = 512;
/// The text about its reason in an action.
const ACTION_MESSAGE: usize = 1024;

/// The input of a decision about a proposal.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The report, with its verdict.
    pub report: &'a Validated,
    /// The model of its version.
    pub model: &'a Model,
    /// Whether the version specifies the data to retrain on.
    pub retrains: bool,
    /// How its traffic repeats.
    pub season: Season,
    /// Windows of the version that ended by then may be decided on: [`settled_until`](super::settled_until).
    pub settled_until: Timestamp,
    /// Reports of the model.
    pub reports: &'a [DriftReport],
    /// Actions of the model.
    pub actions: &'a [RemediationAction],
    /// Number of models that drift now, as they count for this one: [`DriftingModels::counted_for`].
    pub drifting: usize,
    /// Retrainings that were proposed for the models of the namespace within a day: [`retrainings_within_a_day`].
    pub retrainings: usize,
    /// Guard rails.
    pub policy: &'a Policy,
}

/// The result of a verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// No action is needed.
    Nothing,
    /// A newer window is about to be judged, and its verdict decides: check again soon.
    Wait,
    /// No action is proposed.
    Kept {
        /// The reason, in one word.
        reason: Reason,
        /// A message with details.
        message: String,
    },
    /// An action is proposed.
    Propose(Box<Proposed>),
}

/// A proposed action.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    /// Its name, derived from the report, so that proposing it twice creates only one.
    pub name: String,
    /// Its content.
    pub spec: RemediationActionSpec,
    /// `Proposed`, or why it is an alert.
    pub reason: Reason,
    /// The text on the report.
    pub message: String,
}

/// The responses to drift. Only users propose other kinds of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Retrain,
    Alert,
}

/// One link of the chain: decides, or passes on to the next one.
type Link = fn(&World<'_>, Timestamp) -> Option<Decision>;

/// The chain. The first link that decides is final; if none does, a retraining is proposed.
const CHAIN: [Link; 14] = [
    no_drift,
    proposed_already,
    on_request,
    not_serving,
    newer_window,
    paused,
    action_open,
    refused_rows,
    traffic,
    storm,
    no_retraining,
    season_open,
    cool_down,
    budget_spent,
];

/// The proposal because of a verdict. Pure: the same world gives the same decision.
pub fn propose(world: &World<'_>, now: Timestamp) -> Decision {
    CHAIN
        .iter()
        .find_map(|link| link(world, now))
        .unwrap_or_else(|| retraining(world))
}

/// A window of a model that drifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftSeen {
    /// The namespace.
    pub namespace: String,
    /// The model that the report names.
    pub model: String,
    /// Uid of the version that was judged.
    pub version_uid: Option<String>,
    /// End of the window.
    pub end: Timestamp,
}

/// Models that have a window that ended within the last hour and drifted, by namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriftingModels {
    by_namespace: BTreeMap<String, usize>,
}

// === impl DriftSeen ===

impl DriftSeen {
    /// The drift that this report found; `None` if its verdict is another one, or it names no model.
    pub fn of(report: &DriftReport) -> Option<Self> {
        let status = report.status.as_ref()?;
        let says_more = !status.only(&DriftAspect::NOT_OF_VALUES);
        (says_more && status.verdict == Some(DriftVerdict::Drift)).then_some(Self {
            namespace: report.namespace().unwrap_or_default(),
            model: report.labels().get(labels::MODEL)?.clone(),
            version_uid: status.version_uid.clone(),
            end: report.spec.end_time.0,
        })
    }
}

// === impl DriftingModels ===

impl DriftingModels {
    /// Counts them.
    ///
    /// The author of a report can write its label, only the operator the uid of what was judged: a version with five
    /// labels is one model, and a model with five versions too.
    pub fn of<'a>(drifts: impl IntoIterator<Item = &'a DriftSeen>, now: Timestamp) -> Self {
        let mut seen = BTreeMap::<&str, (BTreeSet<&str>, BTreeSet<Option<&str>>)>::new();
        for drift in drifts {
            let age = now.as_second() - drift.end.as_second();
            if age <= STORM_SECONDS {
                let (models, versions) = seen.entry(&drift.namespace).or_default();
                models.insert(&drift.model);
                versions.insert(drift.version_uid.as_deref());
            }
        }
        let by_namespace = seen
            .into_iter()
            .map(|(namespace, (models, versions))| (namespace.to_owned(), models.len().min(versions.len())))
            .collect();
        Self { by_namespace }
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.by_namespace.values().sum()
    }

    /// How many count for a storm in this namespace: all of its own, and of each other namespace fewer than half of the
    /// `many` that make a storm. Thus a single tenant cannot stop the retraining of the others.
    pub fn counted_for(&self, namespace: &str, many: usize) -> usize {
        let share = many.saturating_sub(1) / 2;
        self.by_namespace
            .iter()
            .map(|(of, count)| {
                if of == namespace {
                    *count
                } else {
                    share.min(*count)
                }
            })
            .sum()
    }
}

// === the chain, in its order ===

fn no_drift(world: &World<'_>, _: Timestamp) -> Option<Decision> {
    let verdict = world
        .report
        .report()
        .status
        .as_ref()
        .and_then(|status| status.verdict);
    (verdict != Some(DriftVerdict::Drift)).then_some(Decision::Nothing)
}

/// The proposal was recorded before the work was interrupted: continue from there.
fn proposed_already(world: &World<'_>, _: Timestamp) -> Option<Decision> {
    let uid = world.report.uid();
    let before = proposals(world.model).iter().find(|one| one.cause == uid)?;
    Some(match Answer::of(before.action) {
        Some(Answer::Alert) if is_storm(world) => storm_alert(world),
        Some(Answer::Alert) if only_refused_rows(world) => refused_rows_alert(world),
        Some(Answer::Alert) if only_traffic(world) => traffic_alert(world),
        Some(Answer::Alert) => no_retraining_alert(world),
        Some(Answer::Retrain) => retraining(world),
        None => Decision::Nothing,
    })
}

/// A user chose the interval, and what is accepted would be the user's choice in the operator's name.
fn on_request(world: &World<'_>, _: Timestamp) -> Option<Decision> {
    let message = "a user requested this report: propose a RemediationAction that names it, if one is needed";
    (!is_scheduled(world.report.report(), world.model)).then(|| kept(Reason::OnRequest, message))
}

fn not_serving(world: &World<'_>, _: Timestamp) -> Option<Decision> {
    let (version, model) = (&world.report.report().spec.version, world.model.name_any());
    let status = world.report.report().status.as_ref();
    let uid = status.and_then(|status| status.version_uid.as_ref());
    if uid.is_none() || serving(world.model) != uid {
        let message = format!("{model} does not serve {version}");
        return Some(kept(Reason::NotServing, &message));
    }
    None
}

/// After an outage many windows are decided on at once, and the newest of them describes the current traffic. A window with too
/// few rows does not, and one that has not settled yet leaves the decision to this one: otherwise windows that are shorter than
/// the time to settle would wait for each other forever.
fn newer_window(world: &World<'_>, _: Timestamp) -> Option<Decision> {
    let spec = &world.report.report().spec;
    let newer = || {
        world
            .reports
            .iter()
            .filter(|other| other.spec.version == spec.version && is_scheduled(other, world.model))
            .filter(|other| other.spec.end_time.0 > spec.end_time.0)
            .filter(|other| other.spec.end_time.0 <= world.settled_until)
    };
    if let Some(newer) = newer()
        .filter(|other| has_enough_rows(other))
        .max_by_key(|other| other.spec.end_time.0)
    {
        let message = format!("superseded by {}, which covers a newer window", newer.name_any());
        return Some(kept(Reason::NotServing, &message));
    }
    newer().any(is_being_judged).then_some(Decision::Wait)
}

fn paused(world: &World<'_>, _: Timestamp) -> Option<Decision> {
    let message = format!(
        "{} is paused: spec.paused is true; set it to false to continue",
        world.model.name_any()
    );
    (world.model.spec.paused).then(|| kept(Reason::Paused, &message))
}

fn action_open(world: &World<'_>, _: Timestamp) -> Option<Decision> {
    let status = world.model.status.as_ref();
    if let Some(active) = status.and_then(|status| status.active_action.as_ref()) {
        let message = format!("{} is changing {}", active.name, world.model.name_any());
        return Some(kept(Reason::ActionOpen, &message));
    }
    let uid = world.report.uid();
    // A dry run carries nothing out, so it does not cover the drift.
    let open = world.actions.iter().find(|action| {
        let answers = facts(action.spec.action).answers_drift || rests_on(action, uid);
        answers && !action.spec.dry_run && is_open(action) && !is_waiting_for_a_plan(action)
    })?;
    let message = format!("{} has not ended", open.name_any());
    Some(kept(Reason::ActionOpen, &message))
}

fn storm(world: &World<'_>, now: Timestamp) -> Option<Decision> {
    is_storm(world).then(|| alert(world, storm_alert(world), now))
}

/// Requests that the model cannot read are the client's fault: another model would refuse them too.
fn refused_rows(world: &World<'_>, now: Timestamp) -> Option<Decision> {
    only_refused_rows(world).then(|| alert(world, refused_rows_alert(world), now))
}

fn only_refused_rows(world: &World<'_>) -> bool {
    only(world, &DriftAspect::REFUSALS)
}

/// Fewer or more requests of the same rows say nothing about the model.
fn traffic(world: &World<'_>, now: Timestamp) -> Option<Decision> {
    only_traffic(world).then(|| alert(world, traffic_alert(world), now))
}

/// Whether what drifted is the amount of traffic, and at most refused rows with it.
fn only_traffic(world: &World<'_>) -> bool {
    only(world, &DriftAspect::OF_REQUESTS)
}

fn only(world: &World<'_>, aspects: &[DriftAspect]) -> bool {
    let status = world.report.report().status.as_ref();
    status.is_some_and(|status| status.only(aspects))
}

fn no_retraining(world: &World<'_>, now: Timestamp) -> Option<Decision> {
    (!world.retrains).then(|| alert(world, no_retraining_alert(world), now))
}

/// A retraining accepts a whole season. One that began before the change is a mixture of what was and what is: what is would drift
/// from it again.
fn season_open(world: &World<'_>, _: Timestamp) -> Option<Decision> {
    let season = i64::from(world.season.seconds()?);
    let report = world.report.report();
    let since = report
        .status
        .as_ref()
        .and_then(|status| status.drifting_since.as_ref());
    let since = since.unwrap_or(&report.spec.start_time).0.as_second();
    let noun = world.season.noun();
    let message = format!(
        "drift was first found in the window that began at {}; a retraining accepts a whole {noun} of traffic and is proposed from {} on",
        at(since),
        at(since + season)
    );
    (report.spec.end_time.0.as_second() < since + season).then(|| kept(Reason::SeasonOpen, &message))
}

fn cool_down(world: &World<'_>, now: Timestamp) -> Option<Decision> {
    cooling(world, of_type(world.model, Answer::Retrain.action()), now)
}

fn budget_spent(world: &World<'_>, now: Timestamp) -> Option<Decision> {
    let budget = usize::try_from(world.policy.retrains_a_day)
        .unwrap_or(0)
        .min(MOST_RETRAINS);
    let spent = budgeted(world.model)
        .filter(|one| seconds_since(one, now) < DAY)
        .count();
    let message = format!(
        "{spent} retrainings of {} were proposed within a day; retrainsADay is {budget}",
        world.model.name_any()
    );
    if spent >= budget {
        return Some(kept(Reason::BudgetSpent, &message));
    }
    let most = usize::try_from(world.policy.retrains_a_day_per_namespace).unwrap_or(0);
    let message = format!(
        "{} retrainings of models in this namespace were proposed within a day; retrainsADayPerNamespace is {most}",
        world.retrainings
    );
    (world.retrainings >= most).then(|| kept(Reason::BudgetSpent, &message))
}

// === words and parts ===

/// Whether a verdict is still expected. A report that the ledger rejects may never get one.
fn is_being_judged(report: &DriftReport) -> bool {
    report.status.as_ref().is_none_or(|status| {
        let refused = conditions::find(&status.conditions, ConditionType::Succeeded)
            .is_some_and(|one| conditions::status(one) == Status::False);
        status.verdict.is_none() && !refused
    })
}

fn kept(reason: Reason, message: &str) -> Decision {
    Decision::Kept {
        reason,
        message: shorten(message, MESSAGE),
    }
}

fn is_storm(world: &World<'_>) -> bool {
    world.drifting >= world.policy.storm_models()
}

/// How many retrainings were proposed for these models within a day.
pub fn retrainings_within_a_day<'a>(models: impl IntoIterator<Item = &'a Model>, now: Timestamp) -> usize {
    let of_model = |model: &'a Model| {
        budgeted(model)
            .filter(|one| seconds_since(one, now) < DAY)
            .count()
    };
    models.into_iter().map(of_model).sum()
}

/// A model does not raise the same alert for each window. Alerts for other reasons do not keep it back.
fn alert(world: &World<'_>, alert: Decision, now: Timestamp) -> Decision {
    let reason = match &alert {
        Decision::Propose(proposed) => proposed.reason.to_string(),
        _ => return alert,
    };
    let is_same = |one: &&Proposal| one.reason.as_ref().is_none_or(|before| *before == reason);
    let last = of_type(world.model, Answer::Alert.action()).filter(is_same);
    cooling(world, last, now).unwrap_or(alert)
}

fn retraining(world: &World<'_>) -> Decision {
    let words = drift_words(features(world.report.report()));
    propose_as(world, Answer::Retrain, Reason::Proposed, &words)
}

fn storm_alert(world: &World<'_>) -> Decision {
    let words = format!(
        "{} models drifted within an hour: check their input data; nothing is retrained; {}",
        world.drifting,
        drift_words(features(world.report.report())),
    );
    propose_as(world, Answer::Alert, Reason::StormBreaker, &words)
}

fn refused_rows_alert(world: &World<'_>) -> Decision {
    let words = format!(
        "{}; correct the clients that send them",
        drift_words(features(world.report.report()))
    );
    propose_as(world, Answer::Alert, Reason::RefusedRows, &words)
}

fn traffic_alert(world: &World<'_>) -> Decision {
    let words = format!(
        "{}; check whether clients reach the model, and which do",
        drift_words(features(world.report.report()))
    );
    propose_as(world, Answer::Alert, Reason::TrafficChanged, &words)
}

fn no_retraining_alert(world: &World<'_>) -> Decision {
    let words = format!(
        "{}; {} does not specify the data to retrain on; set spec.retraining",
        drift_words(features(world.report.report())),
        world.report.report().spec.version,
    );
    propose_as(world, Answer::Alert, Reason::NoRetraining, &words)
}

fn cooling<'a>(
    world: &World<'_>,
    before: impl Iterator<Item = &'a Proposal>,
    now: Timestamp,
) -> Option<Decision> {
    let last = before.max_by_key(|one| one.at.0)?;
    let left = world.policy.cool_down_seconds - seconds_since(last, now);
    let message = format!(
        "{} was proposed at {}, the next one may be in {left} s",
        last.name, last.at.0
    );
    (left > 0).then(|| kept(Reason::CoolDown, &message))
}

fn propose_as(world: &World<'_>, answer: Answer, reason: Reason, words: &str) -> Decision {
    let (report, uid) = (world.report.report(), world.report.uid());
    let model = world.model.name_any();
    let action = answer.action();
    let verb = facts(action).verb;
    let name = format!("{verb}-{model}-{}", name_hash([uid.as_bytes()]));
    let evidence = EvidenceReference {
        kind: EvidenceKind::DriftReport,
        name: report.name_any(),
        uid: uid.to_owned(),
    };
    let status = report.status.as_ref();
    let rows = status.and_then(|status| status.rows).unwrap_or(0);
    let window = window_words(report.spec.start_time.0, report.spec.end_time.0);
    let message = format!("{words} ({rows} rows of {window})");
    let spec = RemediationActionSpec {
        model,
        action,
        target: Some(VersionReference {
            name: report.spec.version.clone(),
            uid: status.and_then(|status| status.version_uid.clone()),
        }),
        candidate: None,
        // Without counts, or where its values are outside the bins, the window cannot become a reference.
        accept_window: status
            .filter(|_| action.fields().accept_window != Use::Refused)
            .filter(|status| status.counts.is_some() && status.outside_bins.is_empty())
            .map(|_| evidence.clone()),
        diagnosis: Some(Diagnosis::DataDrift),
        evidence: vec![evidence],
        message: Some(shorten(&message, ACTION_MESSAGE)),
        dry_run: false,
        parent_ref: None,
    };
    Decision::Propose(Box::new(Proposed {
        message: shorten(&format!("{name}: {words}"), MESSAGE),
        name,
        spec,
        reason,
    }))
}

// === impl Answer ===

impl Answer {
    const fn action(self) -> ActionType {
        match self {
            Self::Retrain => ActionType::RetrainModel,
            Self::Alert => ActionType::SendAlert,
        }
    }

    fn of(action: ActionType) -> Option<Self> {
        [Self::Retrain, Self::Alert]
            .into_iter()
            .find(|answer| answer.action() == action)
    }
}

// === impl Proposed ===

impl Proposed {
    /// The entry in the model's record.
    pub fn remembered(&self, report: &Validated, now: Timestamp) -> Proposal {
        Proposal {
            name: self.name.clone(),
            action: self.spec.action,
            cause: report.uid().to_owned(),
            at: Time(whole_seconds(now)),
            reason: (self.spec.action == ActionType::SendAlert).then(|| self.reason.to_string()),
        }
    }
}

/// Uid of the version that serves with the greatest weight.
fn serving(model: &Model) -> Option<&String> {
    let status = model.status.as_ref()?;
    let answers = status.history.first().filter(|_| status.serving.is_some())?;
    let routed = status.routes.iter().max_by_key(|route| route.weight)?;
    (routed.uid == answers.uid).then_some(&answers.uid)
}

fn features(report: &DriftReport) -> &[modelward_crds::DriftedFeature] {
    let status = report.status.as_ref();
    status
        .map(|status| status.features.as_slice())
        .unwrap_or_default()
}

/// Proposals that count towards the daily budget.
fn budgeted(model: &Model) -> impl Iterator<Item = &Proposal> {
    proposals(model).iter().filter(|one| facts(one.action).budgeted)
}
