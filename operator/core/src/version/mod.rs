//! The decisions about a `ModelVersion`: snapshot, fit, gates, and its serving.
//!
//! The chain is ordered. Each link checks what the status already records, then the world, and either
//! decides or passes on to the next:
//!
//! ```text
//! snapshot recorded? ──no──► frozen before? ──► recorded
//!                                 └─no─► data there? ──► snapshot Job ──► result ──► recorded
//! bundle recorded?   ──no──► given? ──► in the store? ──► recorded
//!                                 └─no─► fit Job ──► result ──► recorded
//! gates passed?      ──no──► Rejected
//! routed by the Model? ────► Candidate, Live or Retired
//! ```

mod context;
mod data;
mod fit;
mod gates;
mod serving;
#[cfg(test)]
mod tests;
mod world;

pub use context::requester;
use jiff::Timestamp;
use modelward_crds::{ConditionType, ModelVersion, Role};
pub use world::{BundleSeen, Decision, ServingSeen, Settling, SnapshotSeen, World};

use crate::{
    attempt::{Stage, Step},
    conditions::{self, Verdict},
    reason::Reason,
    version::{
        data::{data_stage, data_verdict},
        fit::{fit_stage, given_stage, not_accepted, trained_verdict},
        gates::gates_verdict,
        serving::{before_serving, rejected, serving_verdicts},
    },
};

/// Decides about a version. Pure: the same arguments give the same decision.
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
