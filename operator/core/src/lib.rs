//! Modelward's decisions, as pure functions.
//!
//! ```text
//! what is written ─┐
//! what is seen ────┼──► decide ──► what should be, what to do, what to say
//! now ─────────────┘
//! ```
//!
//! No cluster, no clock, no IO: the controllers bring what they have seen and carry out what is decided.

pub mod action;
pub mod attempt;
pub mod children;
pub mod conditions;
pub mod drift;
pub mod model;
pub mod order;
pub mod pods;
pub mod policy;
pub mod queue;
pub mod reason;
pub mod results;
pub mod routes;
pub mod upgrade;
pub mod version;

use sha2::{Digest as _, Sha256};

/// The first 8 hexadecimal digits of the sha256 over these parts, for names of children.
///
/// Each part is preceded by its length: ("ab", "c") and ("a", "bc") are different inputs.
pub fn name_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..4])
}
