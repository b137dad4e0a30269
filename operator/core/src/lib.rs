//! Modelward's decisions, as pure functions.
//!
//! ```text
//! what is written ─┐
//! what is seen ────┼──► decide ──► what should be, what to do, what to say
//! now ─────────────┘
//! ```
//!
//! No cluster, no clock, no IO: the controllers pass in what they have read, and carry out the decision.

pub mod action;
pub mod attempt;
pub mod children;
pub mod conditions;
pub mod custom_trainer;
pub mod drift;
pub mod model;
pub mod names;
pub mod objects;
pub mod order;
pub mod pods;
pub mod policy;
pub mod queue;
pub mod reason;
pub mod record;
pub mod results;
pub mod routes;
pub mod upgrade;
pub mod version;
