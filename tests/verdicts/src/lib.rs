//! Lives of versions, simulated: how often a verdict is wrong where nothing changes, how soon a change is found, and whether a worse
//! model passes the comparison with a champion.
//!
//! Everything goes through the public API of `modelward-profile`, as the trainer, the servers and the ledger use it, and of the
//! trainer.

#![allow(clippy::expect_used, reason = "a simulation that cannot go on ends")]

mod comparison;
mod law;
mod life;
pub mod refused;
pub mod seasons;
pub mod tables;
pub mod traffic;
