//! What becomes of a `ModelVersion`: snapshot, fit, gates, and its part in serving.
//!
//! The chain is ordered. Each link looks at what the status already records, then at what was seen, and either
//! settles the matter or hands over to the next:
//!
//! ```text
//! snapshot recorded? ──no──► frozen before? ──► recorded
//!                                 └─no─► data there? ──► snapshot Job ──► result ──► recorded
//! bundle recorded?   ──no──► given? ──► in the store? ──► recorded
//!                                 └─no─► fit Job ──► result ──► recorded
//! gates passed?      ──no──► Rejected
//! routed by the Model? ────► Candidate, Live or Retired
//! ```

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use modelward_crds::{
    ArtifactSource, ArtifactStatus, ConditionType, Family, Gate, GateStatus, MetricName, MetricStatus,
    ModelVersion, ModelVersionStatus, Role, TrainingSource,
};
use modelward_wire::{Decimal, Digest, GateBound, JobResult, JobStage, SourceRecord, Verdict as JobVerdict};

use crate::{
    attempt::{
        self, Asker, AskerKind, Asking, DatasetSeen, Frozen, JobSeen, Obstacle, Stage, StageJob, Step,
    },
    conditions::{self, Verdict},
    reason::{Reason, StuckReason, WorkingReason},
};

/// A ledger that does not say what a snapshot states is asked again after so many seconds.
const SNAPSHOT_RETRY_SECONDS: u64 = 10;
/// A bundle that the store does not have is looked for again after so many seconds, and later each time.
const BUNDLE_RETRY_SECONDS: i64 = 10;
/// It is looked for at least this often.
const BUNDLE_RETRY_MOST_SECONDS: i64 = 900;
/// Outcomes of gates that a status holds.
const GATES: usize = 10;

/// What the controller saw around a version.
#[derive(Clone, Debug)]
pub struct World {
    /// The data that it is trained on.
    pub dataset: DatasetSeen,
    /// The Job that the status names for the stage under way, if any.
    pub job: JobSeen,
    /// The frozen rows that the spec names, where it names some.
    pub snapshot: SnapshotSeen,
    /// The bundle that the spec names, where it names one.
    pub bundle: BundleSeen,
    /// What the model's record says about serving.
    pub serving: ServingSeen,
    /// What kept the Job that was to be made from being made.
    pub obstacle: Option<Obstacle>,
}

/// Frozen rows that a spec names, in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotSeen {
    /// They were not looked for: the spec names none, or what they state is recorded.
    NotAsked,
    /// They are there, and state this.
    Present {
        /// How many there are.
        rows: u64,
        /// The files that they came from.
        sources: Vec<SourceRecord>,
    },
    /// They are not there, or are something else. The fit says so.
    Absent,
    /// The ledger is away; in words.
    LedgerUnavailable(String),
}

/// A bundle that a spec names, in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleSeen {
    /// It was not looked for: none is named, or it was found before.
    NotAsked,
    /// It is there and is a bundle.
    Present,
    /// It is not there, or is something else; in words.
    Absent(String),
    /// The ledger is away; in words.
    LedgerUnavailable(String),
}

/// What the model's record says about this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServingSeen {
    /// The record does not exist yet, or has not looked at this version.
    NotYet,
    /// It is routed, and its Pods are not all there; reason and message of the rollout.
    RollingOut(Reason, String),
    /// It is routed and its rollout cannot end by itself; reason and message.
    Stuck(StuckReason, String),
    /// It answers.
    Live {
        /// Whether at least the fewest Pods that its spec allows answer.
        enough: bool,
        /// Such as `2/2 Pods`.
        pods: String,
        /// Whether the model is as it should be otherwise.
        rest: Settling,
    },
    /// It answers, while another version is being rolled out.
    BeingReplaced(String),
    /// Another version answers and is newer, or this one was in use before.
    Retired(String),
    /// It could take over; the model is paused.
    Paused,
    /// It waits for the action that promotes it.
    AwaitingPromotion(String),
    /// It may not be promoted: it was left by a rollback, or its promotion failed.
    Held(String),
    /// The action that was to promote it has ended otherwise; reason and message.
    NotPromoted(Reason, String),
}

/// Whether what answers is also all as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Nothing is left to do.
    Done,
    /// Something of it is being changed; reason and message.
    Working(WorkingReason, String),
    /// It cannot become what it should be by itself; reason and message.
    Stuck(StuckReason, String),
}

/// What to do about a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write.
    pub status: ModelVersionStatus,
    /// The Job to make, if it is not there.
    pub start: Option<StageJob>,
    /// When to look again, in seconds, though nothing has happened.
    pub again_after_seconds: Option<u64>,
}

/// Decides what becomes of a version. Pure: the same arguments give the same decision.
pub fn decide(version: &ModelVersion, world: &World, now: Timestamp) -> Decision {
    let mut status = version.status.clone().unwrap_or_default();
    let mut step = Step::default();
    let source = &version.spec.source;
    let (data, trained) = match (&source.training, &source.artifact) {
        (Some(training), _) => {
            let data = data_stage(version, training, world, now, &mut status, &mut step);
            let trained = match &data {
                Stage::Recorded => fit_stage(version, training, world, now, &mut status, &mut step),
                _ => Stage::Waiting(not_accepted()),
            };
            (data, trained)
        }
        (None, Some(artifact)) => {
            let given = given_stage(version, artifact, world, now, &mut status, &mut step);
            (Stage::Recorded, given)
        }
        // The API server takes none of these.
        (None, None) => {
            let words = "the spec names neither a training nor an artifact";
            let nothing = Verdict::fails(ConditionType::Trained, Reason::SpecInvalid, words);
            (Stage::Recorded, Stage::Terminal(nothing))
        }
    };
    let gates = match &trained {
        Stage::Recorded => gates_verdict(source.training.as_ref(), &status),
        _ => Verdict::unknown(
            ConditionType::GatesPassed,
            Reason::Waiting,
            "no model is trained yet",
        ),
    };
    let (role, rest) = match (&data, &trained) {
        (Stage::Recorded, Stage::Recorded) if gates.status == conditions::Status::True => serving_verdicts(
            &world.serving,
            version.status.as_ref().and_then(|status| status.role),
        ),
        (Stage::Recorded, Stage::Recorded) => (Role::Rejected, rejected(&gates)),
        (Stage::Recorded, stage) | (stage, _) => before_serving(stage),
    };
    let mut verdicts = vec![
        data.verdict(|| data_verdict(version, &status)),
        trained.verdict(|| trained_verdict(version, &status)),
        gates,
    ];
    verdicts.extend(rest);

    status.role = Some(role);
    status.observed_generation = version.metadata.generation;
    status.conditions = conditions::merge(&status.conditions, &verdicts, version.metadata.generation, now);
    Decision {
        status,
        start: step.start,
        again_after_seconds: step.again_after_seconds,
    }
}

/// The version as one that asks for Jobs.
pub fn asker(version: &ModelVersion) -> Asker<'_> {
    Asker {
        name: version.metadata.name.as_deref().unwrap_or_default(),
        uid: version.metadata.uid.as_deref().unwrap_or_default(),
        kind: AskerKind::Version,
    }
}

// === the stages ===

/// Rows that were read and accepted before are taken as they are; otherwise they are read now.
fn data_stage(
    version: &ModelVersion,
    training: &TrainingSource,
    world: &World,
    now: Timestamp,
    status: &mut ModelVersionStatus,
    step: &mut Step,
) -> Stage {
    if let Some(digest) = training.snapshot
        && let Some(stage) = given_snapshot(digest, &world.snapshot, status, step)
    {
        return stage;
    }
    let asking = asking(version, JobStage::Snapshot, world, now);
    let mut frozen = Frozen {
        attempt: status.snapshot_attempt.take(),
        snapshot: status.snapshot.take(),
        sources: std::mem::take(&mut status.sources),
        violations: std::mem::take(&mut status.violations),
    };
    let watched = training.datasets().all(|dataset| dataset.config_map.is_some());
    let stage = attempt::snapshot(&asking, &world.dataset, watched, &mut frozen, step);
    status.snapshot_attempt = frozen.attempt;
    status.snapshot = frozen.snapshot;
    status.sources = frozen.sources;
    status.violations = frozen.violations;
    stage
}

/// Notes frozen rows that the spec names, and the files that they came from: what a later version is compared with. Gives a
/// stage where that has to be waited for.
fn given_snapshot(
    digest: Digest,
    seen: &SnapshotSeen,
    status: &mut ModelVersionStatus,
    step: &mut Step,
) -> Option<Stage> {
    match seen {
        SnapshotSeen::Present { rows, sources } => {
            status.snapshot = Some(attempt::snapshot_status(digest, Some(*rows), sources));
            status.sources = attempt::source_statuses(sources);
        }
        SnapshotSeen::LedgerUnavailable(error) => {
            step.again_after_seconds = Some(SNAPSHOT_RETRY_SECONDS);
            if status.snapshot.is_none() {
                let message = format!("the ledger cannot be asked for snapshot {digest}: {error}");
                let verdict = Verdict::unknown(ConditionType::DataValid, Reason::LedgerUnavailable, message);
                return Some(Stage::Waiting(verdict));
            }
        }
        SnapshotSeen::NotAsked | SnapshotSeen::Absent => {
            status
                .snapshot
                .get_or_insert_with(|| attempt::snapshot_status(digest, None, &[]));
        }
    }
    None
}

fn fit_stage(
    version: &ModelVersion,
    training: &TrainingSource,
    world: &World,
    now: Timestamp,
    status: &mut ModelVersionStatus,
    step: &mut Step,
) -> Stage {
    if status.bundle.is_some() {
        return Stage::Recorded;
    }
    let Some(snapshot) = status.snapshot.as_ref().map(|snapshot| snapshot.digest) else {
        return Stage::Waiting(not_accepted());
    };
    let asking = asking(version, JobStage::Fit, world, now);
    let input = snapshot.hex()[..8].to_owned();
    let attempt = status
        .fit_attempt
        .clone()
        .filter(|attempt| attempt.input == input);
    let Some(attempt) = attempt else {
        return asking.start(&mut status.fit_attempt, &input, 1, step);
    };
    if attempt.finished {
        return asking.settled(&attempt);
    }
    let result = match asking.outcome(&mut status.fit_attempt, &attempt, step) {
        Ok(result) => result,
        Err(stage) => return stage,
    };
    attempt::finish(&mut status.fit_attempt);
    let kind = ConditionType::Trained;
    let fails = |gate: &modelward_wire::GateResult| !gate.passed;
    let stage = match (result.verdict, result.digest) {
        (JobVerdict::GatesFailed, _) if !result.gates.iter().any(fails) => {
            let message = format!(
                "Job {} says that a gate failed, and not which: {}",
                attempt.job, result.message
            );
            Stage::Terminal(Verdict::fails(kind, Reason::JobFailed, message))
        }
        (JobVerdict::Succeeded | JobVerdict::GatesFailed, Some(digest)) => {
            record_fit(training.select_by, &result, status);
            status.bundle = Some(bundle(digest));
            Stage::Recorded
        }
        (JobVerdict::SpecInvalid, _) => {
            Stage::Terminal(Verdict::fails(kind, Reason::SpecInvalid, result.message))
        }
        _ => Stage::Terminal(Verdict::fails(kind, Reason::DataInvalid, result.message)),
    };
    attempt::note_end(&mut status.fit_attempt, &stage);
    stage
}

/// A bundle that is given: it has to be in the store, and nothing is made.
fn given_stage(
    version: &ModelVersion,
    artifact: &ArtifactSource,
    world: &World,
    now: Timestamp,
    status: &mut ModelVersionStatus,
    step: &mut Step,
) -> Stage {
    if status.bundle.is_some() {
        return Stage::Recorded;
    }
    let (reason, message) = match &world.bundle {
        BundleSeen::Present => {
            status.bundle = Some(bundle(artifact.bundle));
            status.threshold = Some(artifact.threshold.clone());
            return Stage::Recorded;
        }
        BundleSeen::NotAsked => {
            let message = format!("bundle {} was not looked for yet", artifact.bundle);
            return Stage::Waiting(Verdict::unknown(ConditionType::Trained, Reason::Waiting, message));
        }
        BundleSeen::LedgerUnavailable(error) => {
            step.again_after_seconds = Some(BUNDLE_RETRY_SECONDS.unsigned_abs());
            let message = format!(
                "the ledger cannot be asked for bundle {}: {error}",
                artifact.bundle
            );
            let verdict = Verdict::unknown(ConditionType::Trained, Reason::LedgerUnavailable, message);
            return Stage::Waiting(verdict);
        }
        BundleSeen::Absent(what) => (
            Reason::ArtifactMissing,
            format!("{what}; the version waits for it"),
        ),
    };
    // The longer it has been away, the less often it is asked for.
    let missing =
        find(version, ConditionType::Trained).filter(|before| conditions::reason(before) == Some(reason));
    let waited = missing.map_or(0, |before| {
        now.as_second() - before.last_transition_time.0.as_second()
    });
    let pause = waited.clamp(BUNDLE_RETRY_SECONDS, BUNDLE_RETRY_MOST_SECONDS);
    step.again_after_seconds = Some(pause.unsigned_abs());
    Stage::Waiting(Verdict::fails(ConditionType::Trained, reason, message))
}

fn asking<'a>(version: &'a ModelVersion, stage: JobStage, world: &'a World, now: Timestamp) -> Asking<'a> {
    let kind = match stage {
        JobStage::Snapshot => ConditionType::DataValid,
        JobStage::Fit => ConditionType::Trained,
    };
    Asking {
        asker: asker(version),
        stage,
        kind,
        before: find(version, kind),
        job: &world.job,
        obstacle: world.obstacle.as_ref(),
        now,
    }
}

fn find(version: &ModelVersion, kind: ConditionType) -> Option<&Condition> {
    conditions::find(&version.status.as_ref()?.conditions, kind)
}

fn not_accepted() -> Verdict {
    Verdict::unknown(
        ConditionType::Trained,
        Reason::Waiting,
        "the data is not accepted yet",
    )
}

fn bundle(digest: Digest) -> ArtifactStatus {
    ArtifactStatus {
        digest,
        rows: None,
        source_sha256: None,
    }
}

fn record_fit(selecting: MetricName, result: &JobResult, status: &mut ModelVersionStatus) {
    status.family = result.family.as_deref().and_then(Family::of);
    // Without a word of the trainer's the threshold is one half, as everywhere.
    status.threshold = result.threshold.clone().or_else(|| Decimal::rounded(0.5, 1));
    let metric = |value: &modelward_wire::MetricValue| {
        Some(MetricStatus {
            name: MetricName::of(&value.name)?,
            mean: value.mean.clone(),
            standard_error: value.standard_error.clone(),
        })
    };
    status.metrics = result.metrics.iter().filter_map(metric).collect();
    let gate = |gate: &modelward_wire::GateResult| {
        Some(GateStatus {
            metric: MetricName::of(&gate.metric)?,
            bound: gate.bound.to_string().chars().take(128).collect(),
            value: gate.value.clone(),
            passed: gate.passed,
        })
    };
    status.gates.clear();
    for gate in result.gates.iter().filter_map(gate) {
        // The API server keeps one of each; of two outcomes of one gate, the one that failed is the one that counts.
        let same = |other: &&mut GateStatus| other.metric == gate.metric && other.bound == gate.bound;
        match status.gates.iter_mut().find(same) {
            Some(other) if other.passed => *other = gate,
            Some(_) => {}
            None => status.gates.push(gate),
        }
    }
    // What failed first, so that cutting the list can never make a version pass.
    status.gates.sort_by_key(|gate| gate.passed);
    status.gates.truncate(GATES);
    status.score = (status.metrics.iter().find(|metric| metric.name == selecting))
        .map(|metric| format!("{} {}", selecting.as_str(), metric.mean));
}

// === gates and serving ===

/// Judges the recorded outcome of every gate; "F1 0.71 is under the gate 0.75". A gate or a comparison of the spec without
/// an outcome has not passed.
fn gates_verdict(training: Option<&TrainingSource>, status: &ModelVersionStatus) -> Verdict {
    let Some(training) = training else {
        let words = "a version of a given bundle has no gates of its own";
        return Verdict::holds(ConditionType::GatesPassed, Reason::NoGates, words);
    };
    let reported = |gate: &&Gate| {
        let outcome = |outcome: &&GateStatus| outcome.metric == gate.metric;
        status
            .gates
            .iter()
            .filter(outcome)
            .any(|outcome| !is_comparison(outcome))
    };
    let silent = training.gates.iter().filter(|gate| !reported(gate));
    let silent = silent.map(|gate| format!("the gate on {} has no outcome", gate.metric.as_str()));
    let uncompared = training
        .not_worse_than
        .iter()
        .filter(|_| !status.gates.iter().any(is_comparison))
        .map(|champion| format!("the comparison with {} has no outcome", champion.version));
    let failed: Vec<_> = status
        .gates
        .iter()
        .filter(|gate| !gate.passed)
        .map(gate_words)
        .chain(silent)
        .chain(uncompared)
        .collect();
    if failed.is_empty() {
        let held: Vec<_> = status
            .gates
            .iter()
            .map(|gate| format!("{} {}, {}", gate.metric.as_str(), gate.value, gate.bound))
            .collect();
        let message = if held.is_empty() {
            "the spec sets no gates".to_owned()
        } else {
            held.join("; ")
        };
        return Verdict::holds(ConditionType::GatesPassed, Reason::AllGatesPassed, message);
    }
    Verdict::fails(ConditionType::GatesPassed, Reason::GateFailed, failed.join("; "))
}

/// Whether an outcome is that of a comparison with a champion: its value is the lower bound of a difference.
fn is_comparison(gate: &GateStatus) -> bool {
    GateBound::from(gate.bound.as_str()).is_comparison()
}

fn gate_words(gate: &GateStatus) -> String {
    let metric = gate.metric.as_str();
    let value = &gate.value;
    match GateBound::from(gate.bound.as_str()) {
        GateBound::AtLeast(bound) => format!("{metric} {value} is under the gate {bound}"),
        GateBound::AtMost(bound) => format!("{metric} {value} is over the gate {bound}"),
        GateBound::NotWorseThan {
            version,
            margin,
            rows,
        } => format!(
            "{metric} may be worse than {version} by {margin} on {}: the lower bound of the difference is {value}",
            rows.phrase()
        ),
        GateBound::Other(bound) => format!("{metric} {value} is outside the gate {bound}"),
    }
}

/// Role and the last four conditions of a version that has not passed its gates, by what keeps it.
fn before_serving(stage: &Stage) -> (Role, Vec<Verdict>) {
    let serving = Verdict::fails(
        ConditionType::Serving,
        Reason::Waiting,
        "it has not passed its gates yet",
    );
    match stage {
        Stage::Terminal(why) => (Role::Rejected, rejected(why)),
        Stage::Blocked(why) => (Role::Pending, summary(serving, &Rest::Stalled(why))),
        Stage::Waiting(why) => (Role::Pending, summary(serving, &Rest::Working(why))),
        Stage::Recorded => (Role::Pending, summary(serving.clone(), &Rest::Working(&serving))),
    }
}

fn rejected(why: &Verdict) -> Vec<Verdict> {
    summary(
        Verdict::fails(ConditionType::Serving, why.reason, "it will not serve"),
        &Rest::Stalled(why),
    )
}

fn fails(reason: impl Into<Reason>, message: &str) -> Verdict {
    Verdict::fails(ConditionType::Serving, reason, message)
}

/// Role, and the conditions Serving, Ready, Reconciling and Stalled, of a version that passed its gates.
fn serving_verdicts(serving: &ServingSeen, before: Option<Role>) -> (Role, Vec<Verdict>) {
    match serving {
        ServingSeen::NotYet => {
            let verdict = fails(Reason::Waiting, "the model's record has not looked at it yet");
            // A record that was deleted is made again from what the versions remember.
            let role = before.filter(|role| matches!(role, Role::Live | Role::Retired));
            (
                role.unwrap_or(Role::Candidate),
                summary(verdict.clone(), &Rest::Working(&verdict)),
            )
        }
        ServingSeen::RollingOut(reason, message) => {
            let verdict = fails(*reason, message);
            (
                Role::Candidate,
                summary(verdict.clone(), &Rest::Working(&verdict)),
            )
        }
        ServingSeen::Stuck(reason, message) => {
            let verdict = fails(*reason, message);
            (
                Role::Candidate,
                summary(verdict.clone(), &Rest::Stalled(&verdict)),
            )
        }
        ServingSeen::Live { enough, pods, rest } => {
            let words = format!("{pods} answer");
            let verdict = if *enough {
                Verdict::holds(ConditionType::Serving, Reason::Serving, words)
            } else {
                match rest {
                    Settling::Working(
                        reason @ (WorkingReason::NoAnswer | WorkingReason::WrongAnswer),
                        message,
                    ) => fails(*reason, message),
                    Settling::Stuck(reason @ (StuckReason::NoAnswer | StuckReason::WrongAnswer), message) => {
                        fails(*reason, message)
                    }
                    // The model's own words have the cause.
                    Settling::Working(_, why) | Settling::Stuck(_, why) => fails(Reason::TooFewPods, why),
                    Settling::Done => fails(Reason::TooFewPods, &words),
                }
            };
            let summary = match rest {
                Settling::Stuck(reason, message) => {
                    summary(verdict, &Rest::Stalled(&fails(*reason, message)))
                }
                Settling::Working(reason, message) if *enough => {
                    summary(verdict, &Rest::Working(&fails(*reason, message)))
                }
                Settling::Done if *enough => summary(verdict.clone(), &Rest::Done(&verdict)),
                Settling::Working(..) | Settling::Done => summary(verdict.clone(), &Rest::Working(&verdict)),
            };
            (Role::Live, summary)
        }
        ServingSeen::BeingReplaced(message) => {
            let verdict = Verdict::holds(ConditionType::Serving, Reason::Serving, message);
            (Role::Live, summary(verdict.clone(), &Rest::Done(&verdict)))
        }
        ServingSeen::Retired(message) => at_rest(Role::Retired, &fails(Reason::Retired, message)),
        ServingSeen::Paused => {
            let words = "it passed its gates and waits: the model is paused";
            at_rest(Role::Candidate, &fails(Reason::Paused, words))
        }
        ServingSeen::AwaitingPromotion(message) => {
            at_rest(Role::Candidate, &fails(Reason::AwaitingPromotion, message))
        }
        ServingSeen::Held(message) => at_rest(Role::Retired, &fails(Reason::Held, message)),
        ServingSeen::NotPromoted(reason, message) => at_rest(Role::Candidate, &fails(*reason, message)),
    }
}

/// A version that does not serve and has nothing left to do.
fn at_rest(role: Role, why: &Verdict) -> (Role, Vec<Verdict>) {
    let all = summary(why.clone(), &Rest::Done(why));
    (role, all)
}

enum Rest<'a> {
    Done(&'a Verdict),
    Working(&'a Verdict),
    Stalled(&'a Verdict),
}

/// Serving and the three conditions that kstatus reads: at rest neither Reconciling nor Stalled is True.
fn summary(serving: Verdict, rest: &Rest<'_>) -> Vec<Verdict> {
    let (ready, reconciling, stalled) = match rest {
        Rest::Done(why) => (
            Verdict::holds(ConditionType::Ready, why.reason, why.message.clone()),
            Verdict::fails(ConditionType::Reconciling, why.reason, ""),
            Verdict::fails(ConditionType::Stalled, why.reason, ""),
        ),
        Rest::Working(why) => (
            Verdict::fails(ConditionType::Ready, why.reason, why.message.clone()),
            Verdict::holds(ConditionType::Reconciling, why.reason, why.message.clone()),
            Verdict::fails(ConditionType::Stalled, why.reason, ""),
        ),
        Rest::Stalled(why) => (
            Verdict::fails(ConditionType::Ready, why.reason, why.message.clone()),
            Verdict::fails(ConditionType::Reconciling, why.reason, ""),
            Verdict::holds(ConditionType::Stalled, why.reason, why.message.clone()),
        ),
    };
    vec![serving, ready, reconciling, stalled]
}

fn data_verdict(version: &ModelVersion, status: &ModelVersionStatus) -> Verdict {
    let Some(training) = &version.spec.source.training else {
        let words = "a bundle is given; no data is read";
        return Verdict::holds(ConditionType::DataValid, Reason::NoTraining, words);
    };
    let digest = status.snapshot.as_ref().map(|snapshot| snapshot.digest.short());
    let digest = digest.unwrap_or_default();
    let rows = status.snapshot.as_ref().and_then(|snapshot| snapshot.rows);
    let words = match (&training.snapshot, &version.spec.provenance, rows) {
        (Some(_), Some(provenance), _) => {
            format!(
                "frozen rows {digest}, accepted with the plan of {}",
                provenance.action.name
            )
        }
        (Some(_), None, _) => format!("frozen rows {digest}"),
        (None, _, Some(rows)) => format!("{rows} rows, snapshot {digest}"),
        (None, _, None) => format!("snapshot {digest}"),
    };
    Verdict::holds(ConditionType::DataValid, Reason::DataAccepted, words)
}

fn trained_verdict(version: &ModelVersion, status: &ModelVersionStatus) -> Verdict {
    let digest = status.bundle.as_ref().map(|bundle| bundle.digest.short());
    let digest = digest.unwrap_or_default();
    if version.spec.source.training.is_none() {
        let words = format!("bundle {digest} is in the store");
        return Verdict::holds(ConditionType::Trained, Reason::ArtifactFound, words);
    }
    let family = status.family.map_or("model", Family::as_str);
    let score = status.score.as_deref().unwrap_or("no score");
    let words = format!("{family}, {score}, bundle {digest}");
    Verdict::holds(ConditionType::Trained, Reason::BundlePublished, words)
}

#[cfg(test)]
mod tests;
