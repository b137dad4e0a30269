//! Simulated lives of versions: how often a verdict is wrong if nothing changes, how soon a change is detected, and whether a worse
//! model passes the comparison with a champion.
//!
//! Everything uses the public APIs of `modelward-profile`, like the trainer, the servers and the ledger, and of the trainer.

#![allow(clippy::expect_used, reason = "a simulation that cannot go on ends")]

mod comparison;
mod law;
mod life;
pub mod refused;
pub mod seasons;
pub mod tables;
pub mod traffic;
