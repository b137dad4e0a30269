//! What becomes of a `ModelVersion`: snapshot, fit, gates, and its part in serving.
//!
//! The chain is ordered. Each link looks at what the status already records, then at what was seen, and either
//! settles the matter or hands over to the next:
//!
//! ```text
//! snapshot recorded? ──no──► dataset there? ──► snapshot Job ──► result ──► recorded
//! bundle recorded?   ──no──────────────────────► fit Job ──────► result ──► recorded
//! gates passed?      ──no──► Rejected
//! routed by the Model? ────► Candidate, Live or Retired
//! ```

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ArtifactStatus, AttemptStatus, Family, Gate, GateStatus, MetricName, MetricStatus, ModelVersion,
    ModelVersionStatus, Role, ViolationStatus, conditions::types,
};
use modelward_wire::{Decimal, JobResult, JobStage, Verdict as JobVerdict};

use crate::{
    conditions::{self, Verdict},
    name_hash, reasons,
};

/// A Job of the same input is tried this often.
pub const MAX_ATTEMPTS: i32 = 2;

/// A Job that could not be made is tried again after so many seconds: nobody tells us when there is room.
const OBSTACLE_RETRY_SECONDS: u64 = 30;
/// The highest attempt that has a number; sources that hold nothing for hours are asked under the same one again.
const LAST_ATTEMPT: i32 = 100;

/// A source that cannot be watched and held nothing is asked again after so many seconds, times the attempts so far.
pub const ABSENT_RETRY_SECONDS: i64 = 60;
/// It is asked at least this often.
pub const ABSENT_RETRY_MOST_SECONDS: i64 = 900;

/// What the controller saw around a version.
#[derive(Clone, Debug)]
pub struct World {
    /// The dataset.
    pub dataset: DatasetSeen,
    /// The Job that the status names for the stage under way, if any.
    pub job: JobSeen,
    /// What the model's record says about serving.
    pub serving: ServingSeen,
    /// What kept the Job that was to be made from being made.
    pub obstacle: Option<Obstacle>,
}

/// What keeps a Job from being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// An object of a needed name is not ours: `Job heart-1-fit-0a1b2c3d`.
    Taken(String),
    /// The API server refused it, in words.
    Refused(String),
}

/// The dataset, without its content: the operator reads no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetSeen {
    /// It is there; the text changes whenever its content may have changed.
    Present(String),
    /// It is not there; the text names what is missing.
    Absent(String),
}

/// The Job that the status names.
#[derive(Clone, Debug, PartialEq)]
pub enum JobSeen {
    /// The status names none, or it is not there any more and the ledger has no result either.
    Missing,
    /// It runs, or waits to.
    Running,
    /// It left a result.
    Finished(Box<JobResult>),
    /// It ended without a result; the text says how.
    Failed(String),
    /// It succeeded and its result is nowhere.
    ResultLost,
    /// Its result names a bundle that the store does not have.
    ArtifactMissing(String),
    /// Whether it left a result cannot be said: the ledger is away.
    LedgerUnavailable(String),
}

/// What the model's record says about this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServingSeen {
    /// The record does not exist yet, or has not looked at this version.
    NotYet,
    /// It is routed, and its Pods are not all there; reason and message of the rollout.
    RollingOut(&'static str, String),
    /// It is routed and its rollout cannot end by itself; reason and message.
    Stuck(&'static str, String),
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
}

/// Whether what answers is also all as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Nothing is left to do.
    Done,
    /// Something of it is being changed; reason and message.
    Working(&'static str, String),
    /// It cannot become what it should be by itself; reason and message.
    Stuck(&'static str, String),
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

/// A Job of the trainer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageJob {
    /// What it does.
    pub stage: JobStage,
    /// Its name, fixed by the version's uid, the input and the attempt.
    pub name: String,
    /// From 1.
    pub attempt: i32,
    /// What it reads.
    pub input: String,
}

/// How a stage stands.
enum Stage {
    /// It has ended well and its outcome is in the status.
    Recorded,
    /// It is under way.
    Waiting(Verdict),
    /// It cannot begin until somebody makes room.
    Blocked(Verdict),
    /// It has ended badly and stays so until its input changes.
    Terminal(Verdict),
}

/// Decides what becomes of a version. Pure: the same arguments give the same decision.
pub fn decide(version: &ModelVersion, world: &World, now: Timestamp) -> Decision {
    let mut decision = Decision {
        status: version.status.clone().unwrap_or_default(),
        start: None,
        again_after_seconds: None,
    };
    let data = snapshot_stage(version, world, now, &mut decision);
    let trained = match &data {
        Stage::Recorded => fit_stage(version, world, now, &mut decision),
        _ => Stage::Waiting(Verdict::unknown(
            types::TRAINED,
            reasons::WAITING,
            "the data is not accepted yet",
        )),
    };
    let gates = match &trained {
        Stage::Recorded => gates_verdict(&version.spec.source.training.gates, &decision.status),
        _ => Verdict::unknown(types::GATES_PASSED, reasons::WAITING, "no model is trained yet"),
    };
    let (role, rest) = match (&data, &trained) {
        (Stage::Recorded, Stage::Recorded) if gates.status == conditions::Status::True => {
            serving_verdicts(&world.serving)
        }
        (Stage::Recorded, Stage::Recorded) => (Role::Rejected, rejected(&gates)),
        (Stage::Recorded, stage) | (stage, _) => before_serving(stage),
    };
    let mut verdicts = vec![
        data.verdict(|| {
            Verdict::holds(
                types::DATA_VALID,
                reasons::DATA_ACCEPTED,
                data_words(&decision.status),
            )
        }),
        trained.verdict(|| {
            Verdict::holds(
                types::TRAINED,
                reasons::BUNDLE_PUBLISHED,
                bundle_words(&decision.status),
            )
        }),
        gates,
    ];
    verdicts.extend(rest);

    let status = &mut decision.status;
    status.role = Some(role);
    status.observed_generation = version.metadata.generation;
    status.conditions = conditions::merge(&status.conditions, &verdicts, version.metadata.generation, now);
    decision
}

/// Name and input of the Job of this stage, attempt by attempt.
pub fn stage_job(version: &ModelVersion, stage: JobStage, input: &str, attempt: i32) -> StageJob {
    let name = version.metadata.name.as_deref().unwrap_or_default();
    let uid = version.metadata.uid.as_deref().unwrap_or_default();
    let word = match stage {
        JobStage::Snapshot => "snapshot",
        JobStage::Fit => "fit",
    };
    let hash = name_hash([
        uid.as_bytes(),
        word.as_bytes(),
        input.as_bytes(),
        &attempt.to_be_bytes()[..],
    ]);
    StageJob {
        stage,
        name: format!("{name}-{word}-{hash}"),
        attempt,
        input: input.to_owned(),
    }
}

// === the stages ===

fn snapshot_stage(version: &ModelVersion, world: &World, now: Timestamp, decision: &mut Decision) -> Stage {
    if decision.status.snapshot.is_some() {
        return Stage::Recorded;
    }
    let kind = types::DATA_VALID;
    // An attempt that is under way is brought to its end, whatever becomes of the dataset meanwhile: where its outcome
    // is good it is as good as one a moment later, and a dataset that changes all the time must not keep it from ending.
    let under_way = decision
        .status
        .snapshot_attempt
        .clone()
        .filter(|attempt| !attempt.finished);
    let input = match (&world.dataset, &under_way) {
        (DatasetSeen::Present(_), Some(attempt)) => attempt.input.clone(),
        (DatasetSeen::Absent(_), Some(attempt))
            if matches!(world.job, JobSeen::Running | JobSeen::Finished(_)) =>
        {
            attempt.input.clone()
        }
        (DatasetSeen::Present(fingerprint), None) => name_hash([fingerprint.as_bytes()]),
        (DatasetSeen::Absent(what), _) => {
            decision.status.violations.clear();
            let message = format!("{what} does not exist; the version waits for it");
            return Stage::Waiting(Verdict::fails(kind, reasons::DATASET_NOT_FOUND, message));
        }
    };
    let attempt = decision
        .status
        .snapshot_attempt
        .clone()
        .filter(|attempt| attempt.input == input);
    let Some(attempt) = attempt else {
        let stage = start(version, JobStage::Snapshot, &input, 1, world, now, decision);
        if decision.start.is_some() {
            decision.status.violations.clear();
        }
        return stage;
    };
    if attempt.finished {
        return match settled(&decision.status, kind, &attempt) {
            Stage::Waiting(verdict) => ask_again(version, &attempt, verdict, world, now, decision),
            stage => stage,
        };
    }
    let result = match attempt_outcome(version, JobStage::Snapshot, &attempt, world, now, decision) {
        Ok(result) => result,
        Err(stage) => return stage,
    };
    finish(&mut decision.status.snapshot_attempt);
    decision.status.violations = result.violations.iter().take(5).map(violation).collect();
    match (result.verdict, result.digest) {
        (JobVerdict::Succeeded, Some(digest)) => {
            let rows = result.rows.and_then(|rows| i64::try_from(rows).ok());
            let source_sha256 = result.sources.first().map(|source| source.sha256);
            decision.status.snapshot = Some(ArtifactStatus {
                digest,
                rows,
                source_sha256,
            });
            Stage::Recorded
        }
        (JobVerdict::DataNotFound, _) => {
            let verdict = Verdict::fails(kind, reasons::DATASET_NOT_FOUND, result.message);
            ask_again(version, &attempt, verdict, world, now, decision)
        }
        (JobVerdict::SpecInvalid, _) => {
            Stage::Terminal(Verdict::fails(kind, reasons::SPEC_INVALID, result.message))
        }
        _ => Stage::Terminal(Verdict::fails(kind, reasons::DATA_INVALID, result.message)),
    }
}

fn fit_stage(version: &ModelVersion, world: &World, now: Timestamp, decision: &mut Decision) -> Stage {
    if decision.status.bundle.is_some() {
        return Stage::Recorded;
    }
    let kind = types::TRAINED;
    let Some(snapshot) = decision.status.snapshot.as_ref().map(|snapshot| snapshot.digest) else {
        return Stage::Waiting(Verdict::unknown(
            kind,
            reasons::WAITING,
            "the data is not accepted yet",
        ));
    };
    let input = snapshot.hex()[..8].to_owned();
    let attempt = decision
        .status
        .fit_attempt
        .clone()
        .filter(|attempt| attempt.input == input);
    let Some(attempt) = attempt else {
        return start(version, JobStage::Fit, &input, 1, world, now, decision);
    };
    if attempt.finished {
        return settled(&decision.status, kind, &attempt);
    }
    let result = match attempt_outcome(version, JobStage::Fit, &attempt, world, now, decision) {
        Ok(result) => result,
        Err(stage) => return stage,
    };
    finish(&mut decision.status.fit_attempt);
    let fails = |gate: &modelward_wire::GateResult| !gate.passed;
    match (result.verdict, result.digest) {
        (JobVerdict::GatesFailed, _) if !result.gates.iter().any(fails) => {
            let message = format!(
                "Job {} says that a gate failed, and not which: {}",
                attempt.job, result.message
            );
            Stage::Terminal(Verdict::fails(kind, reasons::JOB_FAILED, message))
        }
        (JobVerdict::Succeeded | JobVerdict::GatesFailed, Some(digest)) => {
            record_fit(version, &result, &mut decision.status);
            decision.status.bundle = Some(ArtifactStatus {
                digest,
                rows: None,
                source_sha256: None,
            });
            Stage::Recorded
        }
        (JobVerdict::SpecInvalid, _) => {
            Stage::Terminal(Verdict::fails(kind, reasons::SPEC_INVALID, result.message))
        }
        _ => Stage::Terminal(Verdict::fails(kind, reasons::DATA_INVALID, result.message)),
    }
}

/// A finished attempt without an outcome: what its condition said stands until the input changes.
fn settled(status: &ModelVersionStatus, kind: &'static str, attempt: &AttemptStatus) -> Stage {
    let Some(condition) = conditions::find(&status.conditions, kind) else {
        return Stage::Terminal(Verdict::fails(
            kind,
            reasons::JOB_FAILED,
            format!("Job {} gave no outcome", attempt.job),
        ));
    };
    let reason = reasons::of_a_finished_attempt(&condition.reason);
    let verdict = Verdict::fails(kind, reason, condition.message.clone());
    if reason == reasons::DATASET_NOT_FOUND {
        Stage::Waiting(verdict)
    } else {
        Stage::Terminal(verdict)
    }
}

/// A source that held nothing: a ConfigMap wakes us when it changes, an address or a volume has to be asked again.
fn ask_again(
    version: &ModelVersion,
    attempt: &AttemptStatus,
    verdict: Verdict,
    world: &World,
    now: Timestamp,
    decision: &mut Decision,
) -> Stage {
    if version.spec.source.training.dataset.config_map.is_some() {
        return Stage::Waiting(verdict);
    }
    // Each time that it is asked has its own two attempts: 1 and 2, then 3 and 4, up to the last that has a number.
    let asked = (attempt.attempt - 1) / MAX_ATTEMPTS;
    let pause = (ABSENT_RETRY_SECONDS * i64::from(asked + 1)).min(ABSENT_RETRY_MOST_SECONDS);
    let waited = attempt
        .started_at
        .as_ref()
        .map_or(pause, |since| now.as_second() - since.0.as_second());
    if waited < pause {
        decision.again_after_seconds = Some((pause - waited).unsigned_abs());
        return Stage::Waiting(verdict);
    }
    let next = ((asked + 1) * MAX_ATTEMPTS + 1).min(LAST_ATTEMPT - 1);
    match start(
        version,
        JobStage::Snapshot,
        &attempt.input,
        next,
        world,
        now,
        decision,
    ) {
        Stage::Waiting(_) => Stage::Waiting(verdict),
        blocked => blocked,
    }
}

/// Decides to make a Job and to count it, unless something of its name is in the way.
fn start(
    version: &ModelVersion,
    stage: JobStage,
    input: &str,
    attempt: i32,
    world: &World,
    now: Timestamp,
    decision: &mut Decision,
) -> Stage {
    let job = stage_job(version, stage, input, attempt);
    let verdict = running(stage, &job.name);
    if let Some(obstacle) = &world.obstacle {
        decision.again_after_seconds = Some(OBSTACLE_RETRY_SECONDS);
        let (reason, message) = match obstacle {
            Obstacle::Taken(what) => (
                reasons::NAME_TAKEN,
                format!("{what} exists and does not belong to this version; delete it"),
            ),
            Obstacle::Refused(words) => (reasons::CHILD_REFUSED, words.clone()),
        };
        return Stage::Blocked(Verdict::fails(verdict.kind, reason, message));
    }
    let record = Some(AttemptStatus {
        attempt,
        job: job.name.clone(),
        job_uid: None,
        input: input.to_owned(),
        finished: false,
        started_at: Some(Time(conditions::whole_seconds(now))),
    });
    match stage {
        JobStage::Snapshot => decision.status.snapshot_attempt = record,
        JobStage::Fit => decision.status.fit_attempt = record,
    }
    decision.start = Some(job);
    Stage::Waiting(verdict)
}

fn running(stage: JobStage, job: &str) -> Verdict {
    match stage {
        JobStage::Snapshot => Verdict::unknown(
            types::DATA_VALID,
            reasons::SNAPSHOT_RUNNING,
            format!("Job {job} reads and checks the data"),
        ),
        JobStage::Fit => Verdict::unknown(
            types::TRAINED,
            reasons::FIT_RUNNING,
            format!("Job {job} trains and evaluates"),
        ),
    }
}

/// While a later attempt runs, the condition goes on saying why the one before it did not do.
fn still_running(version: &ModelVersion, stage: JobStage, attempt: &AttemptStatus) -> Verdict {
    let fresh = running(stage, &attempt.job);
    if attempt.attempt == 1 {
        return fresh;
    }
    let before = version
        .status
        .as_ref()
        .and_then(|status| conditions::find(&status.conditions, fresh.kind));
    match before.map(|before| (reasons::of_a_finished_attempt(&before.reason), before)) {
        Some((reason, before)) if before.status == "False" => {
            Verdict::fails(fresh.kind, reason, before.message.clone())
        }
        Some((reason, before)) => Verdict::unknown(fresh.kind, reason, before.message.clone()),
        None => fresh,
    }
}

/// The result of an attempt, or what its absence means.
fn attempt_outcome(
    version: &ModelVersion,
    stage: JobStage,
    attempt: &AttemptStatus,
    world: &World,
    now: Timestamp,
    decision: &mut Decision,
) -> Result<JobResult, Stage> {
    let kind = match stage {
        JobStage::Snapshot => types::DATA_VALID,
        JobStage::Fit => types::TRAINED,
    };
    let (reason, message) = match &world.job {
        JobSeen::Finished(result) if result.stage == stage => return Ok((**result).clone()),
        JobSeen::Finished(_) => (
            reasons::JOB_FAILED,
            format!("Job {} left the result of another step", attempt.job),
        ),
        JobSeen::Running => return Err(Stage::Waiting(still_running(version, stage, attempt))),
        JobSeen::LedgerUnavailable(error) => {
            decision.again_after_seconds = Some(10);
            let message = format!(
                "Job {} ended, and the ledger cannot be asked for its result: {error}",
                attempt.job
            );
            return Err(Stage::Waiting(Verdict::unknown(
                kind,
                reasons::LEDGER_UNAVAILABLE,
                message,
            )));
        }
        JobSeen::Failed(how) => (reasons::JOB_FAILED, format!("Job {} failed: {how}", attempt.job)),
        JobSeen::Missing | JobSeen::ResultLost => (
            reasons::RESULT_LOST,
            format!("Job {} ended and its result is lost", attempt.job),
        ),
        JobSeen::ArtifactMissing(what) => (reasons::ARTIFACT_MISSING, what.clone()),
    };
    let tried = tries(attempt);
    if tried < MAX_ATTEMPTS {
        let next = start(
            version,
            stage,
            &attempt.input,
            attempt.attempt + 1,
            world,
            now,
            decision,
        );
        let Stage::Waiting(verdict) = next else {
            return Err(next);
        };
        // The reason stays visible while the second attempt runs.
        let message = format!("{message}; attempt {} of {MAX_ATTEMPTS} runs", tried + 1);
        return Err(Stage::Waiting(Verdict::unknown(verdict.kind, reason, message)));
    }
    match stage {
        JobStage::Snapshot => finish(&mut decision.status.snapshot_attempt),
        JobStage::Fit => finish(&mut decision.status.fit_attempt),
    }
    Err(Stage::Terminal(Verdict::fails(
        kind,
        reason,
        format!("{message}; it was tried {MAX_ATTEMPTS} times"),
    )))
}

/// Which of the tries of one asking this is: 1 or 2.
fn tries(attempt: &AttemptStatus) -> i32 {
    (attempt.attempt - 1) % MAX_ATTEMPTS + 1
}

fn finish(attempt: &mut Option<AttemptStatus>) {
    if let Some(attempt) = attempt {
        attempt.finished = true;
    }
}

fn record_fit(version: &ModelVersion, result: &JobResult, status: &mut ModelVersionStatus) {
    status.family = result.family.as_deref().and_then(Family::from_name);
    // Without a word of the trainer's the threshold is one half, as everywhere.
    status.threshold = result.threshold.clone().or_else(|| Decimal::rounded(0.5, 1));
    let metric = |value: &modelward_wire::MetricValue| {
        Some(MetricStatus {
            name: MetricName::from_name(&value.name)?,
            mean: value.mean.clone(),
            standard_error: value.standard_error.clone(),
        })
    };
    status.metrics = result.metrics.iter().filter_map(metric).collect();
    let gate = |gate: &modelward_wire::GateResult| {
        Some(GateStatus {
            metric: MetricName::from_name(&gate.metric)?,
            bound: gate.bound.clone(),
            value: gate.value.clone(),
            passed: gate.passed,
        })
    };
    status.gates = result.gates.iter().filter_map(gate).collect();
    let selecting = version.spec.source.training.select_by;
    status.score = (status.metrics.iter().find(|metric| metric.name == selecting))
        .map(|metric| format!("{} {}", selecting.as_str(), metric.mean));
}

fn violation(violation: &modelward_wire::Violation) -> ViolationStatus {
    let cut = |text: &str| text.chars().take(256).collect::<String>();
    let bounded = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    ViolationStatus {
        column: cut(&violation.column),
        rule: violation.rule.chars().take(64).collect(),
        message: cut(&violation.message),
        count: bounded(violation.count),
        example_row: violation.example_row.map(bounded),
    }
}

// === gates and serving ===

/// Judges the recorded outcome of every gate; "F1 0.71 is under the gate 0.75". A gate of the spec without an outcome
/// has not passed.
fn gates_verdict(wanted: &[Gate], status: &ModelVersionStatus) -> Verdict {
    let reported = |gate: &&Gate| status.gates.iter().any(|outcome| outcome.metric == gate.metric);
    let silent = wanted.iter().filter(|gate| !reported(gate));
    let silent = silent.map(|gate| format!("the gate on {} has no outcome", gate.metric.as_str()));
    let failed: Vec<_> = status
        .gates
        .iter()
        .filter(|gate| !gate.passed)
        .map(gate_words)
        .chain(silent)
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
        return Verdict::holds(types::GATES_PASSED, reasons::ALL_GATES_PASSED, message);
    }
    Verdict::fails(types::GATES_PASSED, reasons::GATE_FAILED, failed.join("; "))
}

fn gate_words(gate: &GateStatus) -> String {
    let (side, bound) = match gate.bound.split_once(' ') {
        Some(("atLeast", bound)) => ("under", bound),
        Some(("atMost", bound)) => ("over", bound),
        _ => ("outside", gate.bound.as_str()),
    };
    format!(
        "{} {} is {side} the gate {bound}",
        gate.metric.as_str(),
        gate.value
    )
}

/// Role and the last four conditions of a version that has not passed its gates, by what keeps it.
fn before_serving(stage: &Stage) -> (Role, Vec<Verdict>) {
    let serving = Verdict::fails(
        types::SERVING,
        reasons::WAITING,
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
        Verdict::fails(types::SERVING, why.reason, "it will not serve"),
        &Rest::Stalled(why),
    )
}

/// Role, and the conditions Serving, Ready, Reconciling and Stalled, of a version that passed its gates.
fn serving_verdicts(serving: &ServingSeen) -> (Role, Vec<Verdict>) {
    let fails = |reason, message: &str| Verdict::fails(types::SERVING, reason, message);
    match serving {
        ServingSeen::NotYet => {
            let verdict = fails(reasons::WAITING, "the model's record has not looked at it yet");
            (
                Role::Candidate,
                summary(verdict.clone(), &Rest::Working(&verdict)),
            )
        }
        ServingSeen::RollingOut(reason, message) => {
            let verdict = fails(reason, message);
            (
                Role::Candidate,
                summary(verdict.clone(), &Rest::Working(&verdict)),
            )
        }
        ServingSeen::Stuck(reason, message) => {
            let verdict = fails(reason, message);
            (
                Role::Candidate,
                summary(verdict.clone(), &Rest::Stalled(&verdict)),
            )
        }
        ServingSeen::Live { enough, pods, rest } => {
            let words = format!("{pods} answer");
            let verdict = if *enough {
                Verdict::holds(types::SERVING, reasons::SERVING, words)
            } else {
                fails(reasons::TOO_FEW_PODS, &words)
            };
            let summary = match rest {
                Settling::Stuck(reason, message) => summary(verdict, &Rest::Stalled(&fails(reason, message))),
                Settling::Working(reason, message) if *enough => {
                    summary(verdict, &Rest::Working(&fails(reason, message)))
                }
                Settling::Done if *enough => summary(verdict.clone(), &Rest::Done(&verdict)),
                Settling::Working(..) | Settling::Done => summary(verdict.clone(), &Rest::Working(&verdict)),
            };
            (Role::Live, summary)
        }
        ServingSeen::BeingReplaced(message) => {
            let verdict = Verdict::holds(types::SERVING, reasons::SERVING, message);
            (Role::Live, summary(verdict.clone(), &Rest::Done(&verdict)))
        }
        ServingSeen::Retired(message) => {
            let verdict = fails(reasons::RETIRED, message);
            (Role::Retired, summary(verdict.clone(), &Rest::Done(&verdict)))
        }
        ServingSeen::Paused => {
            let verdict = fails(
                reasons::PAUSED,
                "it passed its gates and waits: the model is paused",
            );
            (Role::Candidate, summary(verdict.clone(), &Rest::Done(&verdict)))
        }
    }
}

// === impl Stage ===

impl Stage {
    /// The verdict of this stage; `recorded` says it of one that ended well.
    fn verdict(&self, recorded: impl FnOnce() -> Verdict) -> Verdict {
        match self {
            Self::Recorded => recorded(),
            Self::Waiting(verdict) | Self::Blocked(verdict) | Self::Terminal(verdict) => verdict.clone(),
        }
    }
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
            Verdict::holds(types::READY, why.reason, why.message.clone()),
            Verdict::fails(types::RECONCILING, why.reason, ""),
            Verdict::fails(types::STALLED, why.reason, ""),
        ),
        Rest::Working(why) => (
            Verdict::fails(types::READY, why.reason, why.message.clone()),
            Verdict::holds(types::RECONCILING, why.reason, why.message.clone()),
            Verdict::fails(types::STALLED, why.reason, ""),
        ),
        Rest::Stalled(why) => (
            Verdict::fails(types::READY, why.reason, why.message.clone()),
            Verdict::fails(types::RECONCILING, why.reason, ""),
            Verdict::holds(types::STALLED, why.reason, why.message.clone()),
        ),
    };
    vec![serving, ready, reconciling, stalled]
}

fn data_words(status: &ModelVersionStatus) -> String {
    match &status.snapshot {
        Some(ArtifactStatus {
            digest,
            rows: Some(rows),
            ..
        }) => format!("{rows} rows, snapshot {}", digest.short()),
        Some(ArtifactStatus { digest, .. }) => format!("snapshot {}", digest.short()),
        None => String::new(),
    }
}

fn bundle_words(status: &ModelVersionStatus) -> String {
    let family = status.family.map_or("model", Family::as_str);
    let score = status.score.as_deref().unwrap_or("no score");
    let digest = status
        .bundle
        .as_ref()
        .map(|bundle| bundle.digest.short())
        .unwrap_or_default();
    format!("{family}, {score}, bundle {digest}")
}

#[cfg(test)]
mod tests;
