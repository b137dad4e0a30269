//! Jobs of the trainer, for a `ModelVersion` or for a `RemediationAction` that has its data read.
//!
//! A Job has an owner, a stage, its spec in an immutable `ConfigMap`, and one token, for the ledger. What it left is read
//! from the termination message of its Pod, else from the ledger, and is believed only where the artifact that it names
//! states the same for itself.
//!
//! A Job counts only where this process made it or the status recorded its uid. An owner reference proves nothing: any user
//! who may create Jobs can write one. A crash between the making of a Job and the record of its uid leaves a Job that
//! cannot be distinguished from an imitation, so it is deleted and made again; no result is ever taken from it.

mod build;
mod collect;
mod dataset;
mod owner;
mod result;
mod start;

pub(crate) use build::{JobRequest, is_spec_of, is_spec_of_action};
pub(crate) use collect::collect;
pub(crate) use dataset::dataset_seen;
pub(crate) use owner::{JobOwner, is_of};
pub(crate) use result::seen;
pub(crate) use start::{Started, start};
