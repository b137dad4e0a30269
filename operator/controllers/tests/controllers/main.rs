//! The reconcilers at work against a real API server and the real ledger, under the rights that the chart gives them.
//! Pods, Jobs and rollouts are run by fake controllers (`modelward_kit::fake_controllers`); each test has a namespace of its own.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop where something cannot be"
)]

mod actions;
mod custom_trainer;
mod data;
mod drift;
mod import;
mod lease;
mod rest;
mod results;
mod serving;
mod story;
mod support;
mod unreadable;
