//! Verdicts on real data, and checks of their guarantees.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test needs and cannot have ends it"
)]

mod another;
mod common;
mod golden;
mod heart;
mod simulation;
