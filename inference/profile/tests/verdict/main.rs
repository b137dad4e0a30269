//! What the verdict says of real data, and whether it keeps what it promises.
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
