//! An action with its world.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, ActiveAction, Model, ModelStatus, RemediationAction, RemediationActionStatus,
};

use crate::{
    action::world::World,
    conditions,
    objects::{active, parent_uid, uid_of},
};

/// A waiting action is reconciled again after this many seconds, to see whether the admission policies are still enforced.
pub(super) const LOOK_AGAIN_SECONDS: i64 = 60;

/// An action with its world.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) action: &'a RemediationAction,
    pub(super) uid: &'a str,
    pub(super) world: &'a World,
    pub(super) model: &'a Model,
    pub(super) now: Timestamp,
}

// === impl Case ===

impl<'a> Case<'a> {
    pub(super) fn uid(&self) -> &'a str {
        self.uid
    }

    pub(super) fn kind(&self) -> ActionType {
        self.action.spec.action
    }

    pub(super) fn holder(&self) -> Option<&'a ActiveAction> {
        active(self.model)
    }

    /// Whether this action holds or held the claim on the model.
    pub(super) fn is_claimed(&self, status: &RemediationActionStatus) -> bool {
        status.execution.is_some() || self.is_claimed_now()
    }

    /// Whether this action holds the claim now.
    pub(super) fn is_claimed_now(&self) -> bool {
        self.is_held_by(self.uid())
    }

    /// Whether the action with this uid holds the claim now.
    pub(super) fn is_held_by(&self, uid: &str) -> bool {
        self.holder().is_some_and(|holder| holder.uid == uid)
    }

    /// When a claim of that time ends unless the planned routes serve by then.
    pub(super) fn deadline(&self, claimed_at: &Time) -> Timestamp {
        let seconds = self.world.policy.claim_seconds.max(60);
        Timestamp::from_second(claimed_at.0.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn record(&self) -> ModelStatus {
        self.model.status.clone().unwrap_or_default()
    }

    /// The action whose approval covers this one.
    pub(super) fn parent(&self) -> Option<&'a RemediationAction> {
        let uid = parent_uid(self.action)?;
        self.world.actions.iter().find(|other| uid_of(*other) == uid)
    }

    pub(super) fn after(&self, seconds: i64) -> Option<Timestamp> {
        Timestamp::from_second(self.now.as_second() + seconds).ok()
    }
}

pub(super) fn now(case: &Case<'_>) -> Time {
    Time(conditions::whole_seconds(case.now))
}
