//! The input and the output of a decision.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, ChildReference, ModelStatus, Role, RolloutStatus, RoutedVersion, ServingSpec,
};
use modelward_wire::{Decimal, Digest};

use crate::{order::Place, routes::RoutesFile, upgrade::Turn};

/// Everything that a decision about a model depends on, as read by the controller.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Its versions, in no order.
    pub versions: Vec<VersionSeen>,
    /// The actions that are about it, in no order.
    pub actions: Vec<ActionSeen>,
    /// The Deployment, if it exists and is the operator's.
    pub deployment: Option<DeploymentSeen>,
    /// Pods that do not serve, as text.
    pub refusals: Vec<Refusal>,
    /// An object with a needed name that is not the operator's: `Service heart`.
    pub taken: Option<String>,
    /// Why the API server rejected a child, as text.
    pub refused: Option<String>,
    /// Why a child could not be written, as text; it is retried.
    pub failed: Option<String>,
    /// Why the API server rejected the proposed action, as text.
    pub unproposed: Option<String>,
    /// The children; none if they have not been written or compared yet.
    pub made: Option<Made>,
    /// The answer of the Service.
    pub answer: Answer,
    /// Whether the first version of a model also needs an approved action.
    pub approve_first: bool,
}

/// The result of comparing and writing the children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The children.
    pub children: Vec<ChildReference>,
    /// The Pod template.
    pub rollout: Option<RolloutStatus>,
    /// Name of the Secret with the model's keys.
    pub key_secret: Option<String>,
    /// Children that keep differing from the desired state.
    pub altered: Vec<Altered>,
    /// Objects of other owners that also act on the model's Pods, sorted by name.
    pub rivals: Vec<Rival>,
    /// Whether the model waits for its turn to take a new Pod template.
    pub turn: Turn,
}

/// A proposed action: another version passed its gates, and a version served before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Name of the `RemediationAction`, derived from the version's uid.
    pub name: String,
    /// `PromoteModel`, or `RollbackModel` if the version's bundle served before.
    pub action: ActionType,
    /// Name of the version that would serve.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// The message.
    pub message: String,
}

// === impl Made ===

impl Made {
    /// Records objects of other owners that act on the model's Pods. Changes of the number of Pods are then attributed to the second
    /// autoscaler and not to another client.
    pub fn set_rivals(&mut self, rivals: Vec<Rival>) {
        if rivals.iter().any(|rival| matches!(rival, Rival::Autoscaler(_))) {
            self.altered
                .retain(|altered| altered.by_admission || altered.fields != ["/spec/replicas"]);
        }
        self.rivals = rivals;
    }
}

/// An object of another owner that acts on the model's Pods like one of the operator's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rival {
    /// An autoscaler of this name scales the model's Deployment.
    Autoscaler(String),
    /// A disruption budget of this name selects the model's Pods.
    Budget(String),
}

/// A child that keeps differing from the desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Altered {
    /// Kind and name.
    pub child: String,
    /// JSON pointers of the fields.
    pub fields: Vec<String>,
    /// Whether the API server's answer to the operator's own write has the differences, which means that a webhook or a policy makes
    /// them. Otherwise another client makes them after each restore.
    pub by_admission: bool,
}

/// The answer of the model's Service to a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It was not probed yet.
    #[default]
    NotAsked,
    /// A server whose routes file has this digest.
    Routes(Digest),
    /// Another kind of server, or one that is not ready; the text says what.
    Other(String),
    /// The connection was refused: there is no Pod behind the Service, or none that listens.
    Refused(String),
    /// The operator cannot reach the Service; the text says why.
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
    /// Bundle and threshold, once every gate has passed.
    pub passed: Option<(Digest, Decimal)>,
    /// Its serving settings.
    pub serving: ServingSpec,
    /// Length of a window of its traffic, in seconds.
    pub window_seconds: i32,
    /// Uid of the action that created it.
    pub made_by: Option<String>,
    /// Its role, by its own status.
    pub role: Option<Role>,
    /// Whether it is being trained: it has neither passed nor failed yet, and needs only time.
    pub pending: bool,
}

// === impl VersionSeen ===

impl VersionSeen {
    /// Its place in the order of the model's versions.
    pub(super) fn place(&self) -> Place {
        Place::new(self.created, &self.name, &self.uid)
    }

    /// Its entry in the record once it is routed.
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
    /// Uid, otherwise name, of the version that it would promote.
    pub candidate: Option<String>,
}

/// The state of the Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentSeen {
    /// The routes `ConfigMap` that its Pod template names.
    pub routes: Option<String>,
    /// Whether its status describes its current spec.
    pub observed: bool,
    /// Number of wanted Pods.
    pub wanted: i32,
    /// Pods of the current template.
    pub updated: i32,
    /// Pods that are ready for long enough.
    pub available: i32,
    /// Pods of any template.
    pub total: i32,
    /// When its status first reported that the progress deadline had passed.
    pub deadline_exceeded: Option<Timestamp>,
    /// Why Pods cannot be created, with the message of Kubernetes: a quota, a missing service account.
    pub failure: Option<String>,
}

/// A Pod that does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The routes `ConfigMap` that the Pod names.
    pub routes: String,
    /// Its message.
    pub message: String,
    /// Whether it rejected a bundle, so that a restart cannot help.
    pub verification: bool,
}

/// What to do about a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write.
    pub status: ModelStatus,
    /// The desired serving objects; none if no version serves.
    pub serve: Option<Serve>,
    /// The action to create, if it does not exist.
    pub propose: Option<Proposed>,
    /// When to reconcile again without an event.
    pub again: Option<Timestamp>,
    /// Whether the record may be deleted: no version is left, and it has nothing that has to be kept.
    pub is_empty: bool,
}

/// The desired serving objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// The routes and their name.
    pub routes: RoutesFile,
    /// The serving settings of the version with the greatest weight, which determine the Deployment.
    pub serving: ServingSpec,
}
