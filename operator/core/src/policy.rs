//! The operator's configuration of actions: risks, quorums and guard rails.
//!
//! It comes from Helm values, never from an object that a tenant can write. A plan's digest covers it.

use std::collections::BTreeMap;

use modelward_crds::{ActionType, Risk};
use serde::{Deserialize, Serialize};

/// Risks, quorums and guard rails. JSON in the environment variable `MODELWARD_POLICY`; absent fields have their defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// Overrides the risk of a type of action.
    pub risks: BTreeMap<ActionType, Risk>,
    /// Number of different users who have to approve an action of Medium risk. Default: 1.
    pub medium_approvals: i32,
    /// Number of different users who have to approve an action of High risk. Default: 2.
    pub high_approvals: i32,
    /// Seconds after which a plan that was not carried out expires. Default: three days.
    pub plan_seconds: i64,
    /// Seconds for which a new version is monitored after it took over. Default: ten minutes.
    pub verification_seconds: i64,
    /// Minimum seconds between two proposals of a RetrainModel for the same model. Default: one hour.
    pub cool_down_seconds: i64,
    /// RetrainModel actions that may be proposed for one model within a day. Default: 4.
    pub retrains_a_day: i32,
    /// RetrainModel actions that may be proposed for all models of one namespace within a day. Default: 32.
    pub retrains_a_day_per_namespace: i32,
    /// Models of one namespace that actions may change at the same time. Default: 4.
    pub in_flight_per_namespace: i32,
    /// The same for all namespaces. Default: 16.
    pub in_flight: i32,
    /// Seconds for which an action may hold the claim on its model without completing its rollout. Default: six hours.
    pub claim_seconds: i64,
    /// Seconds within which an action must have a plan. Default: one day.
    pub planning_seconds: i64,
    /// If this many models drift within one hour, alerts are sent instead of retraining, because the data pipeline is probably
    /// broken. Each other namespace counts for fewer than half of this number. Default: 5.
    pub storm_models: i32,
    /// DriftReports that are kept for each model. Default: 24.
    pub reports_kept: i32,
    /// Ended actions kept for each model: this many with a decision, and this many without one. Default: 24.
    pub actions_kept: i32,
    /// Days for which every ended action with a decision is kept. Default: 30.
    pub decided_days: i32,
    /// Ended SendAlert actions that are kept for each model. Default: 24.
    pub alerts_kept: i32,
    /// The first version of a model.
    pub first_version: FirstVersion,
}

/// How the first version of a model is promoted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FirstVersion {
    /// Whether it needs an approval, like every later one.
    pub approval: Approval,
}

/// Whether an approval is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Approval {
    /// It is not needed.
    #[default]
    NotRequired,
    /// It is needed.
    Required,
}

// === impl Policy ===

impl Policy {
    /// The risk of an action of this type; `default` is the risk of its kind.
    pub fn risk(&self, action: ActionType, default: Risk) -> Risk {
        self.risks.get(&action).copied().unwrap_or(default)
    }

    /// The number of models that constitute a storm if they drift at once.
    pub fn storm_models(&self) -> usize {
        usize::try_from(self.storm_models).unwrap_or(0).max(1)
    }

    /// How many different users have to approve an action of this risk.
    pub fn approvals(&self, risk: Risk) -> i32 {
        match risk {
            Risk::Low => 0,
            Risk::Medium => self.medium_approvals.max(1),
            Risk::High => self.high_approvals.max(1),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            risks: BTreeMap::new(),
            medium_approvals: 1,
            high_approvals: 2,
            plan_seconds: 3 * 24 * 3600,
            verification_seconds: 600,
            cool_down_seconds: 3600,
            retrains_a_day: 4,
            retrains_a_day_per_namespace: 32,
            in_flight_per_namespace: 4,
            in_flight: 16,
            claim_seconds: 6 * 3600,
            planning_seconds: 24 * 3600,
            storm_models: 5,
            reports_kept: 24,
            actions_kept: 24,
            decided_days: 30,
            alerts_kept: 24,
            first_version: FirstVersion::default(),
        }
    }
}
