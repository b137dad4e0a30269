//! The decisions about a `ModelVersion`: snapshot, fit or import, gates, and its serving.
//!
//! The chain is ordered. Each link checks what the status already records, then the world, and either
//! decides or passes on to the next:
//!
//! ```text
//! snapshot recorded? ──no──► frozen before? ──► recorded
//!                                 └─no─► data there? ──► snapshot Job ──► result ──► recorded
//! bundle recorded?   ──no──► given? ──► in the store? ──► recorded
//!                                 ├─no─► model given? ──► import Job ──► result ──► recorded
//!                                 └─no─► fit Job ──► result ──► recorded
//! gates passed?      ──no──► Rejected
//! routed by the Model? ────► Candidate, Live or Retired
//! ```

mod context;
mod custom_trainer;
mod data;
mod fit;
mod gates;
mod import;
mod publication;
mod serving;
#[cfg(test)]
mod tests;
mod validate;
mod world;

pub use context::requester;
use jiff::Timestamp;
use modelward_crds::{ConditionType, ModelVersion, ModelVersionStatus, Role, TrainingSource};
pub use validate::{GivenBundle, Invalid, Origin, Validated, validate};
pub use world::{BundleSeen, Decision, PublicationSeen, ServingSeen, Settling, SnapshotSeen, World};

use crate::{
    attempt::{Stage, Step},
    conditions::{self, Verdict},
    objects::name_of,
    reason::Reason,
    version::{
        custom_trainer::refused_trainer,
        data::{data_stage, data_verdict},
        fit::{data_refused, fit_stage, given_stage, not_accepted, trained_verdict},
        gates::gates_verdict,
        import::{import_stage, imported_verdict},
        publication::publication_verdict,
        serving::{before_serving, rejected, serving_verdicts},
    },
};

/// What was found about the parts of a version.
struct Findings {
    data: Stage,
    trained: Stage,
    gates: Verdict,
    role: Role,
    /// Serving, and the conditions that sum up.
    rest: Vec<Verdict>,
}

/// Decides about a version. Pure: the same arguments give the same decision.
pub fn decide(version: &Validated<'_>, world: &World, now: Timestamp) -> Decision {
    let (origin, training, version) = (version.origin(), version.training(), version.version());
    let mut status = version.status.clone().unwrap_or_default();
    let mut step = Step::default();
    let (data, trained) = match origin {
        Origin::Training(training) => {
            let state = (&mut status, &mut step);
            match refused_trainer(training, world, state.0) {
                Some(refused) => refused.stages(version, training, world, now, state),
                None => training_stages(version, training, world, now, state),
            }
        }
        Origin::Bundle(bundle) => {
            let given = given_stage(version, bundle, world, now, &mut status, &mut step);
            (Stage::Recorded, given)
        }
        Origin::Import(artifact) => {
            let imported = import_stage(version, artifact, world, now, &mut status, &mut step);
            (Stage::Recorded, imported)
        }
    };
    let gates = match &trained {
        Stage::Recorded => gates_verdict(name_of(version), training, &status),
        _ => no_gates(),
    };
    let (role, mut rest) = match (&data, &trained) {
        (Stage::Recorded, Stage::Recorded) if gates.status == conditions::Status::True => serving_verdicts(
            &world.serving,
            version.status.as_ref().and_then(|status| status.role),
        ),
        (Stage::Recorded, Stage::Recorded) => (Role::Rejected, rejected(&gates)),
        // An image that may not train ends the version before its data is read.
        (Stage::Recorded, stage) | (_, stage @ Stage::Terminal(_)) | (stage, _) => before_serving(stage),
    };
    rest.extend(publication_verdict(
        version,
        &status,
        &world.publication,
        &mut step,
    ));
    let findings = Findings {
        data,
        trained,
        gates,
        role,
        rest,
    };
    Decision {
        status: describe(version, status, findings, now),
        start: step.start,
        again_after_seconds: step.again_after_seconds,
    }
}

/// The decision about a version that [`validate`] refused.
pub fn refuse(version: &ModelVersion, why: Invalid, now: Timestamp) -> Decision {
    let status = version.status.clone().unwrap_or_default();
    let words = why.to_string();
    let trained = Stage::Terminal(Verdict::fails(ConditionType::Trained, Reason::SpecInvalid, words));
    let (role, rest) = before_serving(&trained);
    let findings = Findings {
        data: Stage::Recorded,
        trained,
        gates: no_gates(),
        role,
        rest,
    };
    Decision {
        status: describe(version, status, findings, now),
        start: None,
        again_after_seconds: None,
    }
}

/// The data is read, then a model is fitted to it.
fn training_stages(
    version: &ModelVersion,
    training: &TrainingSource,
    world: &World,
    now: Timestamp,
    (status, step): (&mut ModelVersionStatus, &mut Step),
) -> (Stage, Stage) {
    let data = data_stage(version, training, world, now, status, step);
    let trained = match &data {
        Stage::Recorded => fit_stage(version, training, world, now, status, step),
        Stage::Terminal(refused) => Stage::Waiting(data_refused(refused)),
        Stage::Waiting(_) | Stage::Blocked(_) => Stage::Waiting(not_accepted()),
    };
    (data, trained)
}

fn no_gates() -> Verdict {
    Verdict::unknown(
        ConditionType::GatesPassed,
        Reason::Waiting,
        "no model is trained yet",
    )
}

/// The status with the conditions that follow from the findings.
fn describe(
    version: &ModelVersion,
    mut status: ModelVersionStatus,
    findings: Findings,
    now: Timestamp,
) -> ModelVersionStatus {
    let mut verdicts = vec![
        findings.data.verdict(|| data_verdict(version, &status)),
        findings.trained.verdict(|| match &status.imported {
            Some(imported) => imported_verdict(imported, &status),
            None => trained_verdict(version, &status),
        }),
        findings.gates,
    ];
    verdicts.extend(findings.rest);

    status.role = Some(findings.role);
    status.observed_generation = version.metadata.generation;
    status.conditions = conditions::merge(&status.conditions, &verdicts, version.metadata.generation, now);
    status
}
