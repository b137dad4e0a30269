//! The context that both stages share.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use modelward_crds::{ConditionType, ModelVersion};
use modelward_wire::JobStage;

use crate::{
    attempt::{JobRequester, RequesterKind, StageContext},
    conditions::{self, Verdict},
    reason::Reason,
    version::world::World,
};

/// The version as a requester of Jobs.
pub fn requester(version: &ModelVersion) -> JobRequester<'_> {
    JobRequester {
        name: version.metadata.name.as_deref().unwrap_or_default(),
        uid: version.metadata.uid.as_deref().unwrap_or_default(),
        kind: RequesterKind::Version,
    }
}

pub(super) fn stage_context<'a>(
    version: &'a ModelVersion,
    stage: JobStage,
    world: &'a World,
    now: Timestamp,
) -> StageContext<'a> {
    let kind = match stage {
        JobStage::Snapshot => ConditionType::DataValid,
        JobStage::Fit | JobStage::Import => ConditionType::Trained,
    };
    StageContext {
        requester: requester(version),
        stage,
        kind,
        before: find(version, kind),
        job: &world.job,
        obstacle: world.obstacle.as_ref(),
        now,
    }
}

pub(super) fn find(version: &ModelVersion, kind: ConditionType) -> Option<&Condition> {
    conditions::find(&version.status.as_ref()?.conditions, kind)
}

pub(super) fn fails(reason: impl Into<Reason>, message: &str) -> Verdict {
    Verdict::fails(ConditionType::Serving, reason, message)
}
