//! Jobs of the trainer, for a `ModelVersion` or for a `RemediationAction` that has its data read.
//!
//! A Job has an owner, a stage, its spec in an immutable `ConfigMap`, and one token, for the ledger. Its result is read
//! from the termination message of its Pod, otherwise from the ledger, and is accepted only if the artifact that it names
//! states the same.
//!
//! A Job is accepted only if this process created it or the status has its uid. An owner reference proves nothing: any user
//! who may create Jobs can set one. A crash between creating a Job and recording its uid leaves a Job that cannot be
//! distinguished from an imitation, so it is deleted and recreated; its result is never used.

mod build;
mod collect;
mod custom;
mod dataset;
pub(crate) mod names;
mod owner;
mod result;
mod start;

pub(crate) use build::JobRequest;
pub(crate) use collect::collect;
pub(crate) use dataset::dataset_seen;
pub(crate) use owner::JobOwner;
pub(crate) use result::{image_ran, seen};
pub(crate) use start::{Started, start};
