//! The controllers of `DriftReport`s: closed windows, their verdicts, and proposals because of them.

mod reads;
mod report;
mod schedule;

pub(crate) use report::{drifting, reconcile as reconcile_report};
pub(crate) use schedule::reconcile as reconcile_schedule;
