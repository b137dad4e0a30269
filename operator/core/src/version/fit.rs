//! The second stage: a model is fitted, or a bundle is given.

use jiff::Timestamp;
use modelward_crds::{
    ArtifactStatus, ConditionType, GateStatus, MetricName, MetricStatus, ModelVersion, ModelVersionStatus,
    SelectedFamily, TrainingSource,
};
use modelward_wire::{Decimal, Digest, JobResult, JobStage, Verdict as JobVerdict, shorten, small_reference};

use crate::{
    attempt::{self, Stage, Step},
    conditions::{self, Verdict},
    reason::Reason,
    version::{
        context::{find, stage_context},
        gates::GATES,
        validate::GivenBundle,
        world::{BundleSeen, World},
    },
};

/// A bundle that the store does not have is looked up again after this many seconds, with increasing delays.
const BUNDLE_RETRY_SECONDS: i64 = 10;

/// The longest of these delays in seconds.
const BUNDLE_RETRY_MOST_SECONDS: i64 = 900;

/// The longest summary of a training, in characters.
const SUMMARY: usize = 1024;

pub(super) fn fit_stage(
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
    let context = stage_context(version, JobStage::Fit, world, now);
    let input = snapshot.hex()[..8].to_owned();
    let attempt = status
        .fit_attempt
        .clone()
        .filter(|attempt| attempt.input == input);
    let Some(attempt) = attempt else {
        return context.start(&mut status.fit_attempt, &input, 1, step);
    };
    if attempt.finished {
        return context.settled(&attempt);
    }
    let result = match context.outcome(&mut status.fit_attempt, &attempt, step) {
        Ok(result) => result,
        Err(stage) => return stage,
    };
    attempt::finish(&mut status.fit_attempt);
    let kind = ConditionType::Trained;
    let fails = |gate: &modelward_wire::GateResult| !gate.passed;
    let stage = match (result.verdict, result.digest) {
        (JobVerdict::GatesFailed, _) if !result.gates.iter().any(fails) => {
            let message = format!(
                "Job {} reported a failed gate without naming it: {}",
                attempt.job, result.message
            );
            Stage::Terminal(Verdict::fails(kind, Reason::JobFailed, message))
        }
        (JobVerdict::Succeeded | JobVerdict::GatesFailed, Some(digest)) => {
            record_fit(training.select_by, &result, status);
            status.custom_trainer_image.clone_from(&world.image_ran);
            status.bundle = Some(bundle(digest));
            Stage::Recorded
        }
        (JobVerdict::SpecInvalid, _) => {
            Stage::Terminal(Verdict::fails(kind, Reason::SpecInvalid, result.message))
        }
        (JobVerdict::ModelRefused, _) => {
            Stage::Terminal(Verdict::fails(kind, Reason::ImportRefused, result.message))
        }
        _ => Stage::Terminal(Verdict::fails(kind, Reason::DataInvalid, result.message)),
    };
    attempt::note_end(&mut status.fit_attempt, &stage);
    stage
}

/// A bundle that the spec names: it has to be in the store, and nothing is trained.
pub(super) fn given_stage(
    version: &ModelVersion,
    given: GivenBundle<'_>,
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
            status.bundle = Some(bundle(given.digest));
            status.threshold = given.threshold.cloned().or_else(one_half);
            return Stage::Recorded;
        }
        BundleSeen::NotAsked => {
            let message = format!("bundle {} has not been looked up yet", given.digest);
            return Stage::Waiting(Verdict::unknown(ConditionType::Trained, Reason::Waiting, message));
        }
        BundleSeen::LedgerUnavailable(error) => {
            step.again_after_seconds = Some(BUNDLE_RETRY_SECONDS.unsigned_abs());
            let message = format!("cannot read bundle {} from the ledger: {error}", given.digest);
            let verdict = Verdict::unknown(ConditionType::Trained, Reason::LedgerUnavailable, message);
            return Stage::Waiting(verdict);
        }
        BundleSeen::Absent(what) => (
            Reason::ArtifactMissing,
            format!("{what}; the version waits for it"),
        ),
    };
    // The longer it has been missing, the less often it is looked up.
    let missing =
        find(version, ConditionType::Trained).filter(|before| conditions::reason(before) == Some(reason));
    let waited = missing.map_or(0, |before| {
        now.as_second() - before.last_transition_time.0.as_second()
    });
    let pause = waited.clamp(BUNDLE_RETRY_SECONDS, BUNDLE_RETRY_MOST_SECONDS);
    step.again_after_seconds = Some(pause.unsigned_abs());
    Stage::Waiting(Verdict::fails(ConditionType::Trained, reason, message))
}

/// Nothing is trained, for the reason for which the data is refused; one sentence of two conditions is one Event.
pub(super) fn data_refused(why: &Verdict) -> Verdict {
    Verdict::fails(ConditionType::Trained, why.reason, why.message.clone())
}

pub(super) fn not_accepted() -> Verdict {
    Verdict::unknown(
        ConditionType::Trained,
        Reason::Waiting,
        "the data is not accepted yet",
    )
}

pub(super) fn bundle(digest: Digest) -> ArtifactStatus {
    ArtifactStatus {
        digest,
        rows: None,
        source_sha256: None,
    }
}

/// The general default of a threshold.
pub(super) fn one_half() -> Option<Decimal> {
    Decimal::rounded(0.5, 1)
}

fn record_fit(selecting: MetricName, result: &JobResult, status: &mut ModelVersionStatus) {
    status.family = result.family.as_deref().and_then(SelectedFamily::of);
    status.training_summary = (!result.message.is_empty()).then(|| shorten(&result.message, SUMMARY));
    status.threshold = result.threshold.clone().or_else(one_half);
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
        // The API server keeps one entry per key; of two outcomes of one gate, a failed one takes precedence.
        let same = |other: &&mut GateStatus| other.metric == gate.metric && other.bound == gate.bound;
        match status.gates.iter_mut().find(same) {
            Some(other) if other.passed => *other = gate,
            Some(_) => {}
            None => status.gates.push(gate),
        }
    }
    // Failed ones first, so that truncating the list can never make a version pass.
    status.gates.sort_by_key(|gate| gate.passed);
    status.gates.truncate(GATES);
    status.score = (status.metrics.iter().find(|metric| metric.name == selecting))
        .map(|metric| format!("{} {}", selecting.as_str(), metric.mean));
}

pub(super) fn trained_verdict(version: &ModelVersion, status: &ModelVersionStatus) -> Verdict {
    let digest = status.bundle.as_ref().map(|bundle| bundle.digest.short());
    let digest = digest.unwrap_or_default();
    let Some(training) = &version.spec.source.training else {
        let words = format!("bundle {digest} is in the store");
        return Verdict::holds(ConditionType::Trained, Reason::ArtifactFound, words);
    };
    let family = status.family.map_or("model", SelectedFamily::as_str);
    let score = status.score.as_deref().unwrap_or("no score");
    let mut words = format!("{family}, {score}, bundle {digest}");
    if let Some(warning) = reference_rows(training, status).and_then(small_reference) {
        words = format!("{words}. {warning}");
    }
    Verdict::holds(ConditionType::Trained, Reason::BundlePublished, words)
}

/// The rows that traffic is compared with: of the accepted window, otherwise of the training.
fn reference_rows(training: &TrainingSource, status: &ModelVersionStatus) -> Option<u64> {
    let rows = match &training.reference {
        Some(window) => Some(window.rows),
        None => status.snapshot.as_ref()?.rows,
    };
    u64::try_from(rows?).ok()
}
