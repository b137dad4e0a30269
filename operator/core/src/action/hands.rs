//! The interface through which an action is read and written: the controller implements it with an API server, the tests with objects
//! in memory.

use std::future::Future;

use jiff::Timestamp;
use modelward_crds::{ModelStatus, ModelVersion, RemediationAction, RemediationActionStatus};

use super::{Validated, World};
use crate::{attempt::StageJob, reason::Reason};

/// Reads and single writes for one action. `round` and `effects` decide their order.
pub trait Hands: Send {
    /// The error of a read or a write.
    type Error: Send;

    /// The current action. None if it was deleted or is being deleted.
    fn action(&mut self) -> impl Future<Output = Result<Option<Validated>, Self::Error>> + Send;

    /// The current world of the action.
    fn world(&mut self, action: &Validated) -> impl Future<Output = Result<World, Self::Error>> + Send;

    /// The current time.
    fn now(&self) -> Timestamp;

    /// Writes the status of the action if it differs, and returns whether it did.
    fn write(
        &mut self,
        action: &RemediationAction,
        status: &RemediationActionStatus,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Prevents other actions of this process from claiming a model, until [`Hands::release_claims`] or the end of the round. Returns
    /// false if this was already the case.
    fn hold_claims(&mut self) -> impl Future<Output = bool> + Send;

    /// Allows other actions to claim again.
    fn release_claims(&mut self);

    /// Writes the record of the model, unless another process has written it since it was read.
    fn write_record(
        &mut self,
        world: &World,
        record: &ModelStatus,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Creates a version.
    fn create_version(
        &mut self,
        version: &ModelVersion,
    ) -> impl Future<Output = Result<Tried, Self::Error>> + Send;

    /// Creates another action.
    fn create_action(
        &mut self,
        action: &RemediationAction,
    ) -> impl Future<Output = Result<Tried, Self::Error>> + Send;

    /// Creates the Job that reads the data of this version for the action.
    fn start_job(
        &mut self,
        action: &Validated,
        job: &StageJob,
        version: &ModelVersion,
    ) -> impl Future<Output = Result<Tried, Self::Error>> + Send;

    /// Publishes an Event, and returns whether the API server accepted it.
    fn publish(
        &mut self,
        action: &RemediationAction,
        world: &World,
        event: Announcement,
    ) -> impl Future<Output = bool> + Send;
}

/// The result of creating an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Tried {
    /// It was created, or exists and belongs to this action; its uid.
    Made(Option<String>),
    /// Another object of that name exists: its kind and name. The next round decides whether it belongs to this action.
    Exists(String),
    /// The API server rejects it.
    Refused {
        /// Kind and name.
        object: String,
        /// The API server's message.
        message: String,
    },
    /// An object with the same name is being deleted; try again soon.
    Going,
}

/// An Event to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// The object that it is about.
    pub about: About,
    /// Its reason.
    pub reason: Reason,
    /// The action, as a verb.
    pub verb: &'static str,
    /// Its text.
    pub text: String,
}

/// What an Event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The model, as a normal Event.
    Model,
    /// The action, as a warning.
    Action,
}
