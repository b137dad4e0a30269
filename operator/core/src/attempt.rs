//! Jobs of the trainer as attempts: named by requester, input and number; recorded before they are created; finished once.
//!
//! A `ModelVersion` has its data read and a model fitted to it, or a model imported, a `RemediationAction` has data read before its plan is
//! made. This module has what both share: two attempts for an input, waiting for absent data, and outcomes that cannot be
//! attributed to another attempt.
//!
//! ```text
//! dataset there? ──► input ──► attempt 1 ──► result ──► recorded
//!                              │    └─ lost ─► attempt 2 ─ lost ─► it has failed
//!                              └─ ended by the cluster ─► attempt 1 again, later each time
//! ```
//!
//! A request for a Job ends only with evidence about the data, the spec or the program: bad data, a bad spec, failed gates,
//! or a program that failed twice. A quota, a webhook, an eviction, a node or an unavailable ledger does not use up an attempt.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use modelward_crds::{
    ArtifactStatus, AttemptStatus, ConditionType, NewRowsStatus, SourceStatus, ViolationStatus,
};
use modelward_wire::{
    Digest, JobResult, JobStage, MESSAGE_LIMIT, NewRows, SourceRecord, Verdict as JobVerdict, shorten, words,
};

use crate::{
    conditions::{self, Status, Verdict},
    names::name_hash,
    pods::{Cause, Hindrance},
    queue::Wait,
    reason::{AttemptFailure, Reason},
};

/// Attempts for the same input.
pub const MAX_ATTEMPTS: i32 = 2;

/// A source that cannot be watched and was empty is checked again after this many seconds, times the attempts so far.
pub const ABSENT_RETRY_SECONDS: i64 = 60;
/// The longest interval in seconds between two checks.
pub const ABSENT_RETRY_MOST_SECONDS: i64 = 900;

/// If an object of another owner has the Job's name, it is checked again after this many seconds.
const TAKEN_RETRY_SECONDS: u64 = 30;
/// A Job that the API server rejected is created again after this many seconds, with increasing delays.
const REFUSED_RETRY_SECONDS: i64 = 10;
/// The longest of these delays in seconds.
const REFUSED_RETRY_MOST_SECONDS: i64 = 120;
/// A waiting version is reconciled when it is its turn; its place in the queue is updated at this interval in seconds.
const QUEUE_LOOK_SECONDS: u64 = 60;
/// The same in a long queue, where the place is rounded.
const LONG_QUEUE_LOOK_SECONDS: u64 = 600;
/// A Job whose Pod does not run is checked at this interval in seconds: a rejected Pod changes no watched object.
const HINDERED_LOOK_SECONDS: u64 = 10;
/// The progress of a running fit is read at this interval in seconds.
const PROGRESS_LOOK_SECONDS: u64 = 10;
/// Progress is recorded in steps of this many per cent.
const PERCENT_STEP: i32 = 10;
/// After a Job that the cluster ended, the next one is created after this many seconds, doubled each time.
const INTERRUPTED_RETRY_SECONDS: i64 = 30;
/// The longest of these delays in seconds.
const INTERRUPTED_RETRY_MOST_SECONDS: i64 = 900;
/// After this many Jobs in a row that the cluster ended, the requester is Stalled, so that a user looks at it. It keeps retrying.
const INTERRUPTIONS_BEFORE_STALLED: i32 = 8;
/// The largest number of sources in a status.
const SOURCES: usize = 16;
/// The highest number of an attempt. Sources that stay empty for hours are checked again under the same number.
const LAST_ATTEMPT: i32 = 100;
/// Names of Jobs have at most 63 characters, of which the stage and the hash take 18.
const ASKER_NAME: usize = 45;

/// The requester of Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRequester<'a> {
    /// Name of the object.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its kind.
    pub kind: RequesterKind,
}

words! {
    /// Kinds of objects that Jobs belong to.
    pub enum RequesterKind {
        /// A version: its data is read, and a model is fitted.
        Version = "version",
        /// An action: data is read before its plan is made.
        Action = "action",
    }
}

/// The data, without its content: the operator reads none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetSeen {
    /// All of it exists; the text changes whenever the content may have changed.
    Present(String),
    /// Some of it is missing.
    Absent(Vec<AbsentDataset>),
}

/// Data that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentDataset {
    /// What it is: `ConfigMap loans`.
    pub name: String,
    /// The command that creates it, if there is one.
    pub create: Option<String>,
}

/// The Job that the status names.
#[derive(Clone, Debug, PartialEq)]
pub enum JobSeen {
    /// The status names none, or it no longer exists and the ledger has no result of it.
    Missing,
    /// Its Pod is being created or started.
    Starting,
    /// Its program runs, and has done this much of its work as it last reported, in per cent.
    Running(Option<u8>),
    /// It has not ended, but its Pod does not run.
    Hindered(Hindrance),
    /// It left a result.
    Finished(Box<JobResult>),
    /// Its program ended without a result.
    Failed(Hindrance),
    /// The cluster ended it: nothing is known about the data, the spec or the program.
    Interrupted(Hindrance),
    /// Its result does not match its artifact, or the artifact does not match the request; the text says how.
    Mismatch(String),
    /// It succeeded, but its result is missing.
    ResultLost,
    /// Its result names an artifact that the store does not have.
    ArtifactMissing(String),
    /// Whether it left a result is unknown: the ledger is unavailable.
    LedgerUnavailable(String),
}

/// Why a Job is not created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// An object with a needed name is not the operator's: `Job heart-1-fit-0a1b2c3d`.
    Taken(String),
    /// The API server rejected it; its message.
    Refused(String),
    /// Other Jobs are first in the queue.
    Queued(Wait),
}

/// A Job of the trainer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageJob {
    /// Its stage.
    pub stage: JobStage,
    /// Its name, fixed by the requester's uid, the input and the attempt.
    pub name: String,
    /// From 1.
    pub attempt: i32,
    /// What it reads.
    pub input: String,
}

/// The state of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has succeeded, and its outcome is in the status.
    Recorded,
    /// It is in progress.
    Waiting(Verdict),
    /// It waits until there is room.
    Blocked(Verdict),
    /// It has failed, until its input changes.
    Terminal(Verdict),
}

/// The input of a decision about one stage.
#[derive(Clone, Copy, Debug)]
pub struct StageContext<'a> {
    /// The requester.
    pub requester: JobRequester<'a>,
    /// The stage.
    pub stage: JobStage,
    /// Type of the condition of the stage.
    pub kind: ConditionType,
    /// That condition in the current status.
    pub before: Option<&'a Condition>,
    /// The Job that the attempt in progress names.
    pub job: &'a JobSeen,
    /// Why the last Job was not created.
    pub obstacle: Option<&'a Obstacle>,
    /// The current time.
    pub now: Timestamp,
}

/// What to do for a stage, besides writing the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The Job to make, if it is not there.
    pub start: Option<StageJob>,
    /// When to reconcile again without an event, in seconds.
    pub again_after_seconds: Option<u64>,
}

/// The record of a snapshot in a status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frozen {
    /// The last attempt.
    pub attempt: Option<AttemptStatus>,
    /// The rows.
    pub snapshot: Option<ArtifactStatus>,
    /// The files that the rows were read from.
    pub sources: Vec<SourceStatus>,
    /// How many of the rows are new, if they were counted.
    pub new_rows: Option<NewRowsStatus>,
    /// The first five violations.
    pub violations: Vec<ViolationStatus>,
    /// The first five warnings.
    pub warnings: Vec<ViolationStatus>,
}

/// Has the data read, checked and frozen. `watched` says whether every change of the data triggers a reconcile; other sources are
/// checked at intervals.
pub fn snapshot(
    context: &StageContext<'_>,
    dataset: &DatasetSeen,
    watched: bool,
    frozen: &mut Frozen,
    step: &mut Step,
) -> Stage {
    if frozen.snapshot.is_some() {
        return Stage::Recorded;
    }
    let kind = context.kind;
    let result = match read(context, dataset, watched, &mut frozen.attempt, step) {
        Ok(result) => result,
        Err(stage) => {
            // They are about data that is gone or has changed, or that is read again.
            if step.start.is_some() || !was_read(dataset, frozen.attempt.as_ref()) {
                frozen.violations.clear();
                frozen.warnings.clear();
            }
            return stage;
        }
    };
    frozen.violations = result.violations.iter().take(5).map(violation).collect();
    frozen.warnings = result.warnings.iter().take(5).map(violation).collect();
    let stage = match (result.verdict, result.digest) {
        (JobVerdict::Succeeded, Some(digest)) => {
            frozen.snapshot = Some(snapshot_status(digest, result.rows, &result.sources));
            frozen.sources = source_statuses(&result.sources);
            frozen.new_rows = result.new_rows.map(new_rows_status);
            Stage::Recorded
        }
        (JobVerdict::DataNotFound, _) => {
            Stage::Waiting(Verdict::fails(kind, Reason::DatasetNotFound, result.message))
        }
        (JobVerdict::SpecInvalid, _) => {
            Stage::Terminal(Verdict::fails(kind, Reason::SpecInvalid, result.message))
        }
        _ => Stage::Terminal(Verdict::fails(kind, Reason::DataInvalid, result.message)),
    };
    settle(context, stage, watched, &mut frozen.attempt, step)
}

/// Whether the last attempt read the data that is there now.
fn was_read(dataset: &DatasetSeen, attempt: Option<&AttemptStatus>) -> bool {
    match (dataset, attempt) {
        (DatasetSeen::Present(fingerprint), Some(attempt)) => attempt.input == input_of(fingerprint),
        _ => false,
    }
}

/// The input of an attempt that reads this data.
fn input_of(fingerprint: &str) -> String {
    name_hash([fingerprint.as_bytes()])
}

/// The result of the Job of a stage that reads data, once; until then what it waits for. [`settle`] records the outcome.
pub fn read(
    context: &StageContext<'_>,
    dataset: &DatasetSeen,
    watched: bool,
    slot: &mut Option<AttemptStatus>,
    step: &mut Step,
) -> Result<JobResult, Stage> {
    // An attempt in progress is completed even if the dataset changes in the meantime: if its outcome
    // is good it is as good as one a moment later, and a dataset that changes all the time must not keep it from ending.
    let under_way = slot.clone().filter(|attempt| !attempt.finished);
    let input = match (dataset, &under_way) {
        (DatasetSeen::Present(_), Some(attempt)) => attempt.input.clone(),
        (DatasetSeen::Absent(_), Some(attempt))
            if matches!(
                context.job,
                JobSeen::Starting | JobSeen::Running(_) | JobSeen::Finished(_)
            ) =>
        {
            attempt.input.clone()
        }
        (DatasetSeen::Present(fingerprint), None) => input_of(fingerprint),
        (DatasetSeen::Absent(what), _) => {
            let message = absent_words(what, context.requester.kind);
            return Err(Stage::Waiting(Verdict::fails(
                context.kind,
                Reason::DatasetNotFound,
                message,
            )));
        }
    };
    let attempt = slot.clone().filter(|attempt| attempt.input == input);
    let Some(attempt) = attempt else {
        return Err(context.start(slot, &input, 1, step));
    };
    if attempt.finished {
        return Err(match context.settled(&attempt) {
            Stage::Waiting(verdict) if !watched => context.again(slot, &attempt, verdict, step),
            stage => stage,
        });
    }
    let result = context.outcome(slot, &attempt, step)?;
    finish(slot);
    Ok(result)
}

/// Records in the attempt the outcome of a result of [`read`]. Data that was not found and cannot be watched is looked for again.
pub fn settle(
    context: &StageContext<'_>,
    stage: Stage,
    watched: bool,
    slot: &mut Option<AttemptStatus>,
    step: &mut Step,
) -> Stage {
    note_end(slot, &stage);
    match (stage, slot.clone()) {
        (Stage::Waiting(verdict), Some(ended)) if !watched => context.again(slot, &ended, verdict, step),
        (stage, _) => stage,
    }
}

/// Records that an attempt has ended and that its result is recorded.
pub fn finish(attempt: &mut Option<AttemptStatus>) {
    if let Some(attempt) = attempt {
        attempt.finished = true;
        attempt.percent = None;
        attempt.reason = None;
        attempt.message = None;
        attempt.retry_at = None;
    }
}

/// Records in an attempt why it has no outcome. The condition cannot hold this, because it also says what temporarily blocks the
/// next attempt.
pub fn note_end(attempt: &mut Option<AttemptStatus>, stage: &Stage) {
    let (Some(attempt), Stage::Waiting(verdict) | Stage::Blocked(verdict) | Stage::Terminal(verdict)) =
        (attempt, stage)
    else {
        return;
    };
    attempt.reason = Some(verdict.reason.to_string());
    attempt.message = Some(shorten(&verdict.message, 1024));
}

// === impl JobRequester ===

impl JobRequester<'_> {
    /// Name and input of the Job of this stage, attempt by attempt.
    pub fn job(&self, stage: JobStage, input: &str, attempt: i32) -> StageJob {
        self.job_after(stage, input, attempt, 0)
    }

    /// The same after this many Jobs of that attempt that the cluster ended.
    pub fn job_after(&self, stage: JobStage, input: &str, attempt: i32, interruptions: i32) -> StageJob {
        let (attempt_bytes, again) = (attempt.to_be_bytes(), interruptions.to_be_bytes());
        let mut parts = vec![
            self.uid.as_bytes(),
            stage.command().as_bytes(),
            input.as_bytes(),
            &attempt_bytes[..],
        ];
        if interruptions > 0 {
            parts.push(&again);
        }
        let hash = name_hash(parts);
        StageJob {
            stage,
            name: format!("{}-{}-{hash}", short_name(self.name), stage.command()),
            attempt,
            input: input.to_owned(),
        }
    }
}

/// As much of an owner's name as names of Jobs and their Pods can begin with.
pub fn short_name(owner: &str) -> String {
    let short: String = owner.chars().take(ASKER_NAME).collect();
    short.replace('.', "-").trim_end_matches('-').to_owned()
}

// === impl DatasetSeen ===

impl DatasetSeen {
    /// Data that is identified by this text: a different text means different data.
    #[must_use]
    pub fn read_as(self, text: &str) -> Self {
        match self {
            Self::Present(fingerprint) => Self::Present(name_hash([fingerprint.as_bytes(), text.as_bytes()])),
            absent @ Self::Absent(_) => absent,
        }
    }
}

// === impl StageContext ===

impl StageContext<'_> {
    /// Decides to create a Job and to count it, unless something blocks it.
    pub fn start(
        &self,
        slot: &mut Option<AttemptStatus>,
        input: &str,
        attempt: i32,
        step: &mut Step,
    ) -> Stage {
        self.start_after(slot, input, attempt, 0, step)
    }

    /// The same after this many Jobs of that attempt that the cluster ended.
    fn start_after(
        &self,
        slot: &mut Option<AttemptStatus>,
        input: &str,
        attempt: i32,
        interruptions: i32,
        step: &mut Step,
    ) -> Stage {
        let job = self
            .requester
            .job_after(self.stage, input, attempt, interruptions);
        if let Some(obstacle) = self.obstacle {
            return self.in_the_way(obstacle, step);
        }
        let verdict = self.running(&job.name);
        *slot = Some(AttemptStatus {
            attempt,
            job: job.name.clone(),
            job_uid: None,
            input: input.to_owned(),
            finished: false,
            started_at: Some(Time(conditions::whole_seconds(self.now))),
            reason: None,
            message: None,
            interruptions,
            retry_at: None,
            percent: None,
        });
        step.start = Some(job);
        Stage::Waiting(verdict)
    }

    fn in_the_way(&self, obstacle: &Obstacle, step: &mut Step) -> Stage {
        let (reason, message, pause) = match obstacle {
            Obstacle::Taken(what) => (
                Reason::NameTaken,
                format!(
                    "{what} exists and does not belong to this {}; delete it",
                    self.requester.kind
                ),
                TAKEN_RETRY_SECONDS,
            ),
            Obstacle::Refused(words) => {
                // Retried with increasing delays.
                let refused = self
                    .before
                    .filter(|before| conditions::reason(before) == Some(Reason::ChildRefused));
                let waited = refused.map_or(0, |before| {
                    self.now.as_second() - before.last_transition_time.0.as_second()
                });
                let pause = waited.clamp(REFUSED_RETRY_SECONDS, REFUSED_RETRY_MOST_SECONDS);
                (Reason::ChildRefused, words.clone(), pause.unsigned_abs())
            }
            Obstacle::Queued(wait) => {
                step.again_after_seconds = Some(if wait.before < 10 {
                    QUEUE_LOOK_SECONDS
                } else {
                    LONG_QUEUE_LOOK_SECONDS
                });
                return Stage::Waiting(Verdict::unknown(self.kind, Reason::Queued, wait.words()));
            }
        };
        step.again_after_seconds = Some(pause);
        Stage::Blocked(Verdict::fails(self.kind, reason, message))
    }

    /// The result of an attempt, or what its absence means.
    pub fn outcome(
        &self,
        slot: &mut Option<AttemptStatus>,
        attempt: &AttemptStatus,
        step: &mut Step,
    ) -> Result<JobResult, Stage> {
        let kind = self.kind;
        if let Some(at) = &attempt.retry_at {
            return Err(self.retry(slot, attempt, at.0, step));
        }
        let (reason, message) = match self.job {
            JobSeen::Finished(result) if result.verdict == JobVerdict::Unreachable => {
                let hindrance = Hindrance::new(Cause::Unreachable, &result.message);
                return Err(self.interrupted(slot, attempt, &hindrance, step));
            }
            JobSeen::Finished(result) if result.verdict == JobVerdict::Interrupted => {
                let hindrance = Hindrance::new(Cause::Disrupted, &result.message);
                return Err(self.interrupted(slot, attempt, &hindrance, step));
            }
            JobSeen::Finished(result) if result.stage == self.stage => return Ok((**result).clone()),
            JobSeen::Finished(_) => (
                Reason::JobFailed,
                format!("Job {} reported the result of another stage", attempt.job),
            ),
            JobSeen::Starting => {
                note_hindrance(slot, None);
                step.again_after_seconds = Some(HINDERED_LOOK_SECONDS);
                return Err(Stage::Waiting(self.still_running(attempt)));
            }
            JobSeen::Running(percent) => {
                note_hindrance(slot, None);
                if self.stage == JobStage::Fit {
                    note_percent(slot, *percent);
                    step.again_after_seconds = Some(PROGRESS_LOOK_SECONDS);
                }
                return Err(Stage::Waiting(self.still_running(attempt)));
            }
            JobSeen::Hindered(hindrance) => {
                let hindrance = hindrance.clone().as_known(attempt);
                note_hindrance(slot, Some(&hindrance));
                step.again_after_seconds = Some(HINDERED_LOOK_SECONDS);
                let verdict = Verdict::unknown(kind, hindrance.cause, hindrance.message);
                return Err(Stage::Waiting(verdict));
            }
            JobSeen::Interrupted(hindrance) => {
                return Err(self.interrupted(slot, attempt, hindrance, step));
            }
            JobSeen::LedgerUnavailable(error) => {
                step.again_after_seconds = Some(10);
                let message = format!(
                    "Job {} finished, but its result cannot be read from the ledger: {error}",
                    attempt.job
                );
                let verdict = Verdict::unknown(kind, Reason::LedgerUnavailable, message);
                return Err(Stage::Waiting(verdict));
            }
            JobSeen::Failed(hindrance) => (
                match hindrance.cause {
                    Cause::OutOfMemory | Cause::OutOfDisk | Cause::DeadlineExceeded => hindrance.cause.into(),
                    _ => Reason::JobFailed,
                },
                hindrance.message.clone(),
            ),
            JobSeen::Mismatch(what) => (
                Reason::ResultMismatch,
                format!("rejected the result of Job {}: {what}", attempt.job),
            ),
            JobSeen::Missing | JobSeen::ResultLost => (
                Reason::ResultLost,
                format!("Job {} finished but its result is missing", attempt.job),
            ),
            JobSeen::ArtifactMissing(what) => (Reason::ArtifactMissing, what.clone()),
        };
        let tried = tries(attempt);
        if tried < MAX_ATTEMPTS {
            let next = self.start(slot, &attempt.input, attempt.attempt + 1, step);
            if step.start.is_none() {
                return Err(next);
            }
            // The reason stays visible while the second attempt runs.
            let message = format!("{message}; attempt {} of {MAX_ATTEMPTS} runs", tried + 1);
            return Err(Stage::Waiting(Verdict::unknown(kind, reason, message)));
        }
        finish(slot);
        let message = format!("{message}; it was tried {MAX_ATTEMPTS} times");
        let stage = Stage::Terminal(Verdict::fails(kind, reason, message));
        note_end(slot, &stage);
        Err(stage)
    }

    /// A finished attempt without an outcome: its recorded reason stays until the input changes.
    pub fn settled(&self, attempt: &AttemptStatus) -> Stage {
        let noted = attempt.reason.as_deref().zip(attempt.message.as_deref());
        // An attempt of an earlier release has no reason; its condition has one.
        let noted = noted.or_else(|| {
            let before = self.before?;
            Some((before.reason.as_str(), before.message.as_str()))
        });
        let Some((reason, message)) = noted else {
            return Stage::Terminal(Verdict::fails(
                self.kind,
                Reason::JobFailed,
                format!("Job {} gave no outcome", attempt.job),
            ));
        };
        let reason = failure(reason).unwrap_or(AttemptFailure::JobFailed);
        let verdict = Verdict::fails(self.kind, reason, message);
        if reason == AttemptFailure::DatasetNotFound {
            Stage::Waiting(verdict)
        } else {
            Stage::Terminal(verdict)
        }
    }

    /// The cluster ended the Job: the same attempt gets another one, with increasing delays.
    fn interrupted(
        &self,
        slot: &mut Option<AttemptStatus>,
        attempt: &AttemptStatus,
        hindrance: &Hindrance,
        step: &mut Step,
    ) -> Stage {
        let count = attempt.interruptions.saturating_add(1).min(1_000_000);
        let doubled = u32::try_from(count - 1).unwrap_or(0).min(10);
        let pause = (INTERRUPTED_RETRY_SECONDS << doubled).min(INTERRUPTED_RETRY_MOST_SECONDS);
        let now = conditions::whole_seconds(self.now);
        let at = Timestamp::from_second(now.as_second().saturating_add(pause)).unwrap_or(now);
        let waiting = AttemptStatus {
            interruptions: count,
            retry_at: Some(Time(at)),
            reason: Some(hindrance.cause.to_string()),
            message: Some(shorten(&hindrance.message, 1024)),
            percent: None,
            ..attempt.clone()
        };
        *slot = Some(waiting.clone());
        self.retry(slot, &waiting, at, step)
    }

    /// Waits until the next Job of an attempt that the cluster interrupted is due, then creates it.
    fn retry(
        &self,
        slot: &mut Option<AttemptStatus>,
        attempt: &AttemptStatus,
        at: Timestamp,
        step: &mut Step,
    ) -> Stage {
        let left = at.as_second() - self.now.as_second();
        if left <= 0 {
            let (count, input) = (attempt.interruptions, &attempt.input);
            return self.start_after(slot, input, attempt.attempt, count, step);
        }
        step.again_after_seconds = Some(left.unsigned_abs());
        let cause = attempt.reason.as_deref().and_then(Cause::of);
        let reason = cause.unwrap_or(Cause::Disrupted);
        let message = format!(
            "{}; this does not use up an attempt; the next Job starts at {at}",
            attempt.message.as_deref().unwrap_or_default()
        );
        if attempt.interruptions < INTERRUPTIONS_BEFORE_STALLED {
            return Stage::Waiting(Verdict::unknown(self.kind, reason, message));
        }
        let message = format!(
            "the cluster terminated {} Jobs in a row; the last one: {message}",
            attempt.interruptions
        );
        Stage::Blocked(Verdict::fails(self.kind, reason, message))
    }

    /// A source that was empty: a `ConfigMap` triggers a reconcile when it changes, an address or a volume has to be checked again.
    fn again(
        &self,
        slot: &mut Option<AttemptStatus>,
        attempt: &AttemptStatus,
        verdict: Verdict,
        step: &mut Step,
    ) -> Stage {
        // Each check has its own two attempts: 1 and 2, then 3 and 4, up to the highest number.
        let asked = (attempt.attempt - 1) / MAX_ATTEMPTS;
        let pause = (ABSENT_RETRY_SECONDS * i64::from(asked + 1)).min(ABSENT_RETRY_MOST_SECONDS);
        let waited = attempt
            .started_at
            .as_ref()
            .map_or(pause, |since| self.now.as_second() - since.0.as_second());
        if waited < pause {
            step.again_after_seconds = Some((pause - waited).unsigned_abs());
            return Stage::Waiting(verdict);
        }
        let next = ((asked + 1) * MAX_ATTEMPTS + 1).min(LAST_ATTEMPT - 1);
        match self.start(slot, &attempt.input, next, step) {
            Stage::Waiting(_) => Stage::Waiting(verdict),
            blocked => blocked,
        }
    }

    fn running(&self, job: &str) -> Verdict {
        match self.stage {
            JobStage::Snapshot => Verdict::unknown(
                self.kind,
                Reason::SnapshotRunning,
                format!("Job {job} reads and checks the data"),
            ),
            JobStage::Fit => Verdict::unknown(
                self.kind,
                Reason::FitRunning,
                format!("Job {job} trains and evaluates"),
            ),
            JobStage::Import => Verdict::unknown(
                self.kind,
                Reason::ImportRunning,
                format!("Job {job} imports the model"),
            ),
        }
    }

    /// While a later attempt runs, the condition still says why the previous one failed.
    fn still_running(&self, attempt: &AttemptStatus) -> Verdict {
        let fresh = self.running(&attempt.job);
        if attempt.attempt == 1 {
            return fresh;
        }
        let before = self
            .before
            .and_then(|before| Some((failure(&before.reason)?, before)));
        match before {
            Some((reason, before)) if conditions::status(before) == Status::False => {
                Verdict::fails(fresh.kind, reason, before.message.clone())
            }
            Some((reason, before)) => Verdict::unknown(fresh.kind, reason, before.message.clone()),
            None => fresh,
        }
    }
}

// === impl Stage ===

impl Stage {
    /// The verdict of this stage; `recorded` is the one of a stage that has succeeded.
    pub fn verdict(&self, recorded: impl FnOnce() -> Verdict) -> Verdict {
        match self {
            Self::Recorded => recorded(),
            Self::Waiting(verdict) | Self::Blocked(verdict) | Self::Terminal(verdict) => verdict.clone(),
        }
    }
}

/// The reason that an attempt without an outcome left.
fn failure(reason: &str) -> Option<AttemptFailure> {
    Reason::of(reason).and_then(AttemptFailure::part_of)
}

/// Notes what keeps the Job's Pod from running, or that nothing does.
fn note_hindrance(slot: &mut Option<AttemptStatus>, hindrance: Option<&Hindrance>) {
    if let Some(attempt) = slot {
        attempt.reason = hindrance.map(|hindrance| hindrance.cause.to_string());
        attempt.message = hindrance.map(|hindrance| shorten(&hindrance.message, 1024));
    }
}

/// Notes how much of the work is done, in coarse steps: each is a write. A report that is missing or late takes nothing back.
fn note_percent(slot: &mut Option<AttemptStatus>, percent: Option<u8>) {
    if let (Some(attempt), Some(percent)) = (slot, percent) {
        let coarse = i32::from(percent.min(100)) / PERCENT_STEP * PERCENT_STEP;
        attempt.percent = attempt.percent.max(Some(coarse));
    }
}

/// Which of the two attempts for an input this is: 1 or 2.
fn tries(attempt: &AttemptStatus) -> i32 {
    (attempt.attempt - 1) % MAX_ATTEMPTS + 1
}

fn absent_words(what: &[AbsentDataset], requester: RequesterKind) -> String {
    let names: Vec<&str> = what.iter().map(|one| one.name.as_str()).collect();
    let commands: Vec<&str> = what.iter().filter_map(|one| one.create.as_deref()).collect();
    let words = match names[..] {
        [one] => format!("{one} does not exist; the {requester} waits for it"),
        _ => format!(
            "{} do not exist; the {requester} waits for them",
            names.join(" and ")
        ),
    };
    match (commands.is_empty(), &names[..]) {
        (true, _) => words,
        (false, [_]) => format!("{words}. Create it with: {}", commands.concat()),
        (false, _) => format!("{words}. Create with: {}", commands.join("; ")),
    }
}

impl<T: Into<String>> From<T> for AbsentDataset {
    fn from(name: T) -> Self {
        Self {
            name: name.into(),
            create: None,
        }
    }
}

fn violation(violation: &modelward_wire::Violation) -> ViolationStatus {
    ViolationStatus {
        column: shorten(&violation.column, 256),
        rule: shorten(&violation.rule, 64),
        message: shorten(&violation.message, MESSAGE_LIMIT),
        count: bounded(violation.count),
        example_row: violation.example_row.map(bounded),
    }
}

/// A snapshot, as a status has it.
pub(crate) fn snapshot_status(digest: Digest, rows: Option<u64>, sources: &[SourceRecord]) -> ArtifactStatus {
    ArtifactStatus {
        digest,
        rows: rows.map(bounded),
        source_sha256: sources.first().map(|source| source.sha256),
    }
}

/// The files that rows came from, as a status has them.
pub(crate) fn source_statuses(sources: &[SourceRecord]) -> Vec<SourceStatus> {
    let status = |source: &SourceRecord| SourceStatus {
        name: shorten(&source.name, 256),
        sha256: source.sha256,
        rows: bounded(source.rows),
        positive_rows: source.positive_rows.map(bounded),
    };
    sources.iter().take(SOURCES).map(status).collect()
}

fn new_rows_status(counted: NewRows) -> NewRowsStatus {
    NewRowsStatus {
        rows: bounded(counted.rows),
        positive_rows: bounded(counted.positive_rows),
        repeated_rows: bounded(counted.repeated_rows),
    }
}

/// The greatest number that JSON readers agree on is the greatest that the API takes.
fn bounded(count: u64) -> i64 {
    i64::try_from(count.min(9_007_199_254_740_991)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_jobs_fit_for_the_longest_name_and_differ_by_uid() {
        let long = format!("retrain-{}.on.demand", "x".repeat(200));
        let requester = |uid| JobRequester {
            name: &long,
            uid,
            kind: RequesterKind::Action,
        };
        let name = requester("u1").job(JobStage::Snapshot, "0a1b2c3d", 1).name;
        assert!(name.len() <= 63, "{name} is too long");
        assert!(!name.contains('.'));
        assert_ne!(name, requester("u2").job(JobStage::Snapshot, "0a1b2c3d", 1).name);
    }

    #[test]
    fn data_that_is_read_in_another_way_is_other_data() {
        let seen = DatasetSeen::Present("first".into());
        assert_ne!(seen.clone().read_as("a"), seen.clone().read_as("b"));
        assert_eq!(seen.clone().read_as("a"), seen.read_as("a"));
    }

    #[test]
    fn everything_that_is_missing_is_named() {
        let words = |what: &[&str]| {
            let what: Vec<_> = what.iter().map(|one| AbsentDataset::from(*one)).collect();
            absent_words(&what, RequesterKind::Version)
        };
        assert_eq!(
            words(&["ConfigMap a"]),
            "ConfigMap a does not exist; the version waits for it"
        );
        assert_eq!(
            words(&["ConfigMap a", "PersistentVolumeClaim b"]),
            "ConfigMap a and PersistentVolumeClaim b do not exist; the version waits for them"
        );
    }
}
