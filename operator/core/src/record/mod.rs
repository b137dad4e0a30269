//! The record of a model: questions and changes that models, actions and drift share.

pub mod holds;
pub mod proposals;
pub mod rollout;
