//! The controllers of `DriftReport`s: closed windows, their verdicts, and proposals because of them.

mod models;
mod reads;
mod report;
mod schedule;

pub(crate) use models::drifting;
pub(crate) use report::reconcile as reconcile_report;
pub(crate) use schedule::reconcile as reconcile_schedule;
