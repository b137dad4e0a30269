//! What is decided from, and what is decided.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, ChildReference, ModelStatus, Role, RolloutStatus, RoutedVersion, ServingSpec,
};
use modelward_wire::{Decimal, Digest};

use crate::{order::Place, routes::RoutesFile, upgrade::Turn};

/// What the controller saw around a model.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Its versions, in no order.
    pub versions: Vec<VersionSeen>,
    /// The actions that are about it, in no order.
    pub actions: Vec<ActionSeen>,
    /// The Deployment, where it is there and ours.
    pub deployment: Option<DeploymentSeen>,
    /// Pods that do not serve, in words.
    pub refusals: Vec<Refusal>,
    /// A child of a needed name that is not ours: `Service heart`.
    pub taken: Option<String>,
    /// A child that the API server refused, in words.
    pub refused: Option<String>,
    /// A failure that kept a child from being written, in words; it is tried again.
    pub failed: Option<String>,
    /// Why the API server refused the action that was proposed, in words.
    pub unproposed: Option<String>,
    /// What was made; none where nothing has been written or compared yet.
    pub made: Option<Made>,
    /// What answered through the Service.
    pub answer: Answer,
    /// Whether also the first version of a model serves only by an approved action.
    pub approve_first: bool,
}

/// What is there after the children were compared and written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The children.
    pub children: Vec<ChildReference>,
    /// The Pod template.
    pub rollout: Option<RolloutStatus>,
    /// Name of the Secret with the model's keys.
    pub key_secret: Option<String>,
    /// Children that stay other than they should be.
    pub altered: Vec<Altered>,
    /// Objects of others that act on the model's Pods as well, in order of their names.
    pub rivals: Vec<Rival>,
    /// Whether the model waits for its turn to take a new Pod template.
    pub turn: Turn,
}

/// An action that is proposed: another version passed its gates, and something served before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Name of the `RemediationAction`, fixed by the version's uid.
    pub name: String,
    /// `PromoteModel`, or `RollbackModel` where the version's bundle served before.
    pub action: ActionType,
    /// Name of the version that would serve.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// Why, in words.
    pub message: String,
}

// === impl Made ===

impl Made {
    /// Notes objects of others that act on the model's Pods. What a second autoscaler makes of the number of Pods is its doing
    /// and no other writer's.
    pub fn set_rivals(&mut self, rivals: Vec<Rival>) {
        if rivals.iter().any(|rival| matches!(rival, Rival::Autoscaler(_))) {
            self.altered
                .retain(|altered| altered.by_admission || altered.fields != ["/spec/replicas"]);
        }
        self.rivals = rivals;
    }
}

/// An object of another owner that acts on the model's Pods as one of the operator's own does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rival {
    /// An autoscaler of this name scales the model's Deployment.
    Autoscaler(String),
    /// A disruption budget of this name selects the model's Pods.
    Budget(String),
}

/// A child that stays other than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Altered {
    /// Kind and name.
    pub child: String,
    /// JSON pointers of the fields.
    pub fields: Vec<String>,
    /// Whether the API server's answer to the operator's own write has them: a webhook or a policy changes it. Otherwise
    /// another writer does, each time after the child was put back.
    pub by_admission: bool,
}

/// What answered when the model's Service was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It was not asked yet.
    #[default]
    NotAsked,
    /// A server whose routes file has this digest.
    Routes(Digest),
    /// Something that is no server with routes, or is not ready; in words.
    Other(String),
    /// The connection was refused: there is no Pod behind the Service, or none that listens.
    Refused(String),
    /// The operator cannot reach the Service; in words.
    Unreachable(String),
}

/// One version of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionSeen {
    /// Name of the `ModelVersion`.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Bundle and threshold, once every gate passed.
    pub passed: Option<(Digest, Decimal)>,
    /// How it wants to be served.
    pub serving: ServingSpec,
    /// Length of a window of its traffic, in seconds.
    pub window_seconds: i32,
    /// Uid of the action that made it.
    pub made_by: Option<String>,
    /// What it did for the model, by its own status.
    pub role: Option<Role>,
    /// Whether it is being trained: it has not passed, and nothing but time is needed until it has, or has failed.
    pub pending: bool,
}

// === impl VersionSeen ===

impl VersionSeen {
    /// Its place in the order of the model's versions.
    pub(super) fn place(&self) -> Place {
        Place::new(self.created, &self.name, &self.uid)
    }

    /// What the record remembers of it once it is routed.
    pub(super) fn routed(&self) -> RoutedVersion {
        RoutedVersion {
            created_at: Time(self.created),
            name: self.name.clone(),
            uid: self.uid.clone(),
        }
    }
}

/// One action that is about the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSeen {
    /// Name of the `RemediationAction`.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it has not ended.
    pub open: bool,
    /// Uid, or else name, of the version that it would promote.
    pub candidate: Option<String>,
}

/// How the Deployment stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentSeen {
    /// The routes `ConfigMap` that its Pod template names.
    pub routes: Option<String>,
    /// Whether its status describes its present spec.
    pub observed: bool,
    /// Pods that should be there.
    pub wanted: i32,
    /// Pods of the present template.
    pub updated: i32,
    /// Pods that are ready for long enough.
    pub available: i32,
    /// Pods of any template.
    pub total: i32,
    /// When its status began to say that the progress deadline passed.
    pub deadline_exceeded: Option<Timestamp>,
    /// Why Pods cannot be made, in Kubernetes' words: a quota, a missing service account.
    pub failure: Option<String>,
}

/// A Pod that does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The routes `ConfigMap` that the Pod names.
    pub routes: String,
    /// Its own words.
    pub message: String,
    /// Whether it refused a bundle, so that starting again cannot help.
    pub verification: bool,
}

/// What to do about a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write.
    pub status: ModelStatus,
    /// What should be there to serve; none where nothing serves.
    pub serve: Option<Serve>,
    /// The action to make, if it is not there.
    pub propose: Option<Proposed>,
    /// When to look again though nothing has happened.
    pub again: Option<Timestamp>,
    /// Whether the record may go: no version is left, and it says nothing that has to be kept.
    pub is_empty: bool,
}

/// What should be there to serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// The routes and their name.
    pub routes: RoutesFile,
    /// How the version with most weight wants to be served: it shapes the Deployment.
    pub serving: ServingSpec,
}
