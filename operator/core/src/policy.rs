//! What the operator's own configuration says about acting: risks, quorums and guard rails.
//!
//! It comes from Helm values, never from an object that a tenant can write. A plan's digest covers it.

use std::collections::BTreeMap;

use modelward_crds::{ActionType, Risk};
use serde::{Deserialize, Serialize};

/// Risks, quorums and guard rails. JSON in the environment variable `MODELWARD_POLICY`; what is absent has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// Risk of a type of action where it is not the default one.
    pub risks: BTreeMap<ActionType, Risk>,
    /// Different people who have to approve an action of Medium risk. 1.
    pub medium_approvals: i32,
    /// Different people who have to approve an action of High risk. 2.
    pub high_approvals: i32,
    /// Seconds after which a plan that was not carried out expires. Three days.
    pub plan_seconds: i64,
    /// Seconds for which a new version is watched after it took over. Ten minutes.
    pub verification_seconds: i64,
    /// Seconds after a proposal of a RetrainModel before the next one for the same model. One hour.
    pub cool_down_seconds: i64,
    /// RetrainModel actions that may be proposed for one model within a day. 4.
    pub retrains_a_day: i32,
    /// RetrainModel actions that may be proposed for all models of one namespace within a day. 32.
    pub retrains_a_day_per_namespace: i32,
    /// Models of one namespace that actions may change at the same time. 4.
    pub in_flight_per_namespace: i32,
    /// The same over all namespaces. 16.
    pub in_flight: i32,
    /// Seconds for which an action may hold the claim on its model before what it planned serves. Six hours.
    pub claim_seconds: i64,
    /// Seconds within which an action must have a plan. One day.
    pub planning_seconds: i64,
    /// So many models that drift within one hour mean that the data pipeline broke: alerts are sent, and nothing is retrained.
    /// Each other namespace counts for fewer than half of them. 5.
    pub storm_models: i32,
    /// DriftReports that are kept for each model. 24.
    pub reports_kept: i32,
    /// Actions that have ended and that people decided on, and as many that no one decided on, that are kept for each model. 24.
    pub actions_kept: i32,
    /// Days for which an action that people decided on is kept, however many there are. 30.
    pub decided_days: i32,
    /// SendAlert actions that have ended that are kept for each model. 24.
    pub alerts_kept: i32,
    /// The first version of a model.
    pub first_version: FirstVersion,
}

/// How the first version of a model comes to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FirstVersion {
    /// Whether it needs an approval, as every later one does.
    pub approval: Approval,
}

/// Whether something needs an approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Approval {
    /// It does not.
    #[default]
    NotRequired,
    /// It does.
    Required,
}

// === impl Policy ===

impl Policy {
    /// The risk of an action of this type, where `default` is the one that its kind has by itself.
    pub fn risk(&self, action: ActionType, default: Risk) -> Risk {
        self.risks.get(&action).copied().unwrap_or(default)
    }

    /// So many models that drift at once are a storm.
    pub fn storm_models(&self) -> usize {
        usize::try_from(self.storm_models).unwrap_or(0).max(1)
    }

    /// How many different people have to approve an action of this risk.
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
