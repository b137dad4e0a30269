//! What an action is read and written with. The controller's hands are an API server, those of the tests are objects in memory.

use std::future::Future;

use jiff::Timestamp;
use modelward_crds::{ModelStatus, ModelVersion, RemediationAction, RemediationActionStatus};

use super::World;
use crate::{attempt::StageJob, reason::Reason};

/// Reads and single writes on behalf of one action. In which order they are made is decided by `round` and
/// `effects`.
pub trait Hands: Send {
    /// Why a read or a write failed.
    type Error: Send;

    /// The action as it is now. None where it is gone or is being deleted.
    fn action(&mut self) -> impl Future<Output = Result<Option<RemediationAction>, Self::Error>> + Send;

    /// What is around it now.
    fn world(
        &mut self,
        action: &RemediationAction,
    ) -> impl Future<Output = Result<World, Self::Error>> + Send;

    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Writes the status of the action where it is not what it was, and says whether it did.
    fn write(
        &mut self,
        action: &RemediationAction,
        status: &RemediationActionStatus,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// From now on no other action of this process claims a model, until [`Hands::release_claims`] or the end of the round. False
    /// where that was so already.
    fn hold_claims(&mut self) -> impl Future<Output = bool> + Send;

    /// Others may claim again.
    fn release_claims(&mut self);

    /// Writes the record of the model, unless another process has written it since it was read.
    fn write_record(
        &mut self,
        world: &World,
        record: &ModelStatus,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes a version.
    fn create_version(
        &mut self,
        version: &ModelVersion,
    ) -> impl Future<Output = Result<Tried, Self::Error>> + Send;

    /// Makes another action.
    fn create_action(
        &mut self,
        action: &RemediationAction,
    ) -> impl Future<Output = Result<Tried, Self::Error>> + Send;

    /// Makes the Job that reads the data of this version for the action.
    fn start_job(
        &mut self,
        action: &RemediationAction,
        job: &StageJob,
        version: &ModelVersion,
    ) -> impl Future<Output = Result<Tried, Self::Error>> + Send;

    /// Publishes an Event, and says whether the API server took it.
    fn publish(
        &mut self,
        action: &RemediationAction,
        world: &World,
        event: Announcement,
    ) -> impl Future<Output = bool> + Send;
}

/// What came of making an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Tried {
    /// It was made, or was there and is this action's; its uid.
    Made(Option<String>),
    /// There is another object of that name: its kind and name. The next look decides whether it is this action's.
    Exists(String),
    /// The API server does not take it.
    Refused {
        /// Kind and name.
        object: String,
        /// The API server's words.
        message: String,
    },
    /// A namesake is being deleted; look again soon.
    Going,
}

/// An Event to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// What it is about.
    pub about: About,
    /// Its reason.
    pub reason: Reason,
    /// What was done, as a verb.
    pub verb: &'static str,
    /// Its text.
    pub text: String,
}

/// What an Event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The model, in the normal course of things.
    Model,
    /// The action, as a warning.
    Action,
}
