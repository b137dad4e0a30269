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
    ArtifactStatus, AttemptStatus, Family, GateStatus, MetricName, MetricStatus, ModelVersion,
    ModelVersionStatus, Role, ViolationStatus, conditions::types,
};
use modelward_wire::{JobResult, JobStage, Verdict as JobVerdict};

use crate::{
    conditions::{self, Verdict},
    name_hash, reasons,
};

/// A Job of the same input is tried this often.
pub const MAX_ATTEMPTS: i32 = 2;

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
    /// It answers; whether enough Pods do, and how many in words.
    Live {
        /// Whether at least the wanted number of Pods answers.
        enough: bool,
        /// Such as `2/2 Pods`.
        pods: String,
    },
    /// It answers, while another version is being rolled out.
    BeingReplaced(String),
    /// Another version answers and is newer, or this one was in use before.
    Retired(String),
    /// It could take over; the model is paused.
    Paused,
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
    let mut verdicts = vec![match &data {
        Stage::Recorded => Verdict::holds(
            types::DATA_VALID,
            reasons::DATA_ACCEPTED,
            data_words(&decision.status),
        ),
        Stage::Waiting(verdict) | Stage::Terminal(verdict) => verdict.clone(),
    }];
    let trained = match &data {
        Stage::Recorded => Some(fit_stage(version, world, now, &mut decision)),
        _ => None,
    };
    verdicts.push(match &trained {
        None => Verdict::unknown(types::TRAINED, reasons::WAITING, "the data is not accepted yet"),
        Some(Stage::Recorded) => Verdict::holds(
            types::TRAINED,
            reasons::BUNDLE_PUBLISHED,
            bundle_words(&decision.status),
        ),
        Some(Stage::Waiting(verdict) | Stage::Terminal(verdict)) => verdict.clone(),
    });
    let done = matches!(trained, Some(Stage::Recorded));
    let gates = if done {
        gates_verdict(&decision.status)
    } else {
        Verdict::unknown(types::GATES_PASSED, reasons::WAITING, "no model is trained yet")
    };
    let passed = gates.status == conditions::Status::True;
    verdicts.push(gates.clone());

    let failed = match (&data, &trained) {
        (Stage::Terminal(verdict), _) | (_, Some(Stage::Terminal(verdict))) => Some(verdict.clone()),
        _ if done && !passed => Some(gates),
        _ => None,
    };
    let waiting = match (&data, &trained) {
        (Stage::Waiting(verdict), _) | (_, Some(Stage::Waiting(verdict))) => Some(verdict.clone()),
        _ => None,
    };
    let (role, rest) = serving_verdicts(failed.as_ref(), waiting.as_ref(), &world.serving);
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
    let input = match &world.dataset {
        DatasetSeen::Present(fingerprint) => name_hash([fingerprint.as_bytes()]),
        DatasetSeen::Absent(what) => {
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
        decision.status.violations.clear();
        return start(version, JobStage::Snapshot, &input, 1, now, decision);
    };
    if attempt.finished {
        return match settled(&decision.status, kind, &attempt) {
            Stage::Waiting(verdict) => ask_again(version, &attempt, verdict, now, decision),
            stage => stage,
        };
    }
    let result = match attempt_outcome(version, JobStage::Snapshot, &attempt, &world.job, now, decision) {
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
            decision.again_after_seconds = Some(ABSENT_RETRY_SECONDS.unsigned_abs());
            Stage::Waiting(Verdict::fails(kind, reasons::DATASET_NOT_FOUND, result.message))
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
        return start(version, JobStage::Fit, &input, 1, now, decision);
    };
    if attempt.finished {
        return settled(&decision.status, kind, &attempt);
    }
    let result = match attempt_outcome(version, JobStage::Fit, &attempt, &world.job, now, decision) {
        Ok(result) => result,
        Err(stage) => return stage,
    };
    finish(&mut decision.status.fit_attempt);
    match (result.verdict, result.digest) {
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
    now: Timestamp,
    decision: &mut Decision,
) -> Stage {
    if version.spec.source.training.dataset.config_map.is_some() {
        return Stage::Waiting(verdict);
    }
    let pause = (ABSENT_RETRY_SECONDS * i64::from(attempt.attempt)).min(ABSENT_RETRY_MOST_SECONDS);
    let waited = attempt
        .started_at
        .as_ref()
        .map_or(pause, |since| now.as_second() - since.0.as_second());
    if waited < pause {
        decision.again_after_seconds = Some((pause - waited).unsigned_abs());
    } else {
        start(
            version,
            JobStage::Snapshot,
            &attempt.input,
            (attempt.attempt + 1).min(100),
            now,
            decision,
        );
    }
    Stage::Waiting(verdict)
}

fn start(
    version: &ModelVersion,
    stage: JobStage,
    input: &str,
    attempt: i32,
    now: Timestamp,
    decision: &mut Decision,
) -> Stage {
    let job = stage_job(version, stage, input, attempt);
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
    let verdict = running(stage, &job.name);
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
    job: &JobSeen,
    now: Timestamp,
    decision: &mut Decision,
) -> Result<JobResult, Stage> {
    let kind = match stage {
        JobStage::Snapshot => types::DATA_VALID,
        JobStage::Fit => types::TRAINED,
    };
    let (reason, message) = match job {
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
    if attempt.attempt < MAX_ATTEMPTS {
        let next = start(version, stage, &attempt.input, attempt.attempt + 1, now, decision);
        let Stage::Waiting(verdict) = next else {
            return Err(next);
        };
        // The reason stays visible while the second attempt runs.
        let message = format!(
            "{message}; attempt {} of {MAX_ATTEMPTS} runs",
            attempt.attempt + 1
        );
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

fn finish(attempt: &mut Option<AttemptStatus>) {
    if let Some(attempt) = attempt {
        attempt.finished = true;
    }
}

fn record_fit(version: &ModelVersion, result: &JobResult, status: &mut ModelVersionStatus) {
    status.family = result.family.as_deref().and_then(Family::from_name);
    status.threshold.clone_from(&result.threshold);
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

/// Judges the recorded metrics against the recorded outcome of every gate; "F1 0.71 is under the gate 0.75".
fn gates_verdict(status: &ModelVersionStatus) -> Verdict {
    let failed: Vec<_> = status
        .gates
        .iter()
        .filter(|gate| !gate.passed)
        .map(gate_words)
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

/// Role, and the conditions Serving, Ready, Reconciling and Stalled.
fn serving_verdicts(
    failed: Option<&Verdict>,
    waiting: Option<&Verdict>,
    serving: &ServingSeen,
) -> (Role, Vec<Verdict>) {
    if let Some(why) = failed {
        return (
            Role::Rejected,
            summary(
                Verdict::fails(types::SERVING, why.reason, "it will not serve"),
                &Rest::Stalled(why),
            ),
        );
    }
    if let Some(why) = waiting {
        let serving = Verdict::fails(
            types::SERVING,
            reasons::WAITING,
            "it has not passed its gates yet",
        );
        return (Role::Pending, summary(serving, &Rest::Working(why)));
    }
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
        ServingSeen::Live { enough: true, pods } => {
            let verdict = Verdict::holds(types::SERVING, reasons::SERVING, format!("{pods} answer"));
            (Role::Live, summary(verdict.clone(), &Rest::Done(&verdict)))
        }
        ServingSeen::Live { enough: false, pods } => {
            let verdict = fails(reasons::TOO_FEW_PODS, &format!("{pods} answer"));
            (Role::Live, summary(verdict.clone(), &Rest::Working(&verdict)))
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
