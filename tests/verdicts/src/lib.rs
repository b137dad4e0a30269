//! Lives of versions, simulated: how often a verdict is wrong where nothing changes, and how soon a change is found.
//!
//! Everything goes through the public API of `modelward-profile`, as the trainer, the servers and the ledger use it.

#![allow(clippy::expect_used, reason = "a simulation that cannot go on ends")]

mod law;
mod life;
pub mod tables;
