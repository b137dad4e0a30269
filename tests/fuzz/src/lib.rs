//! Readers of files that come from elsewhere, given any bytes.
//!
//! A [`Target`] is one reader. `make fuzz` runs each under libFuzzer; `tests/mutated.rs` runs each over damaged samples, a few seconds in all.
//! Both fail where a reader panics, where it holds more memory than [`Target::memory`] allows, or where an error does not say what is wrong.
//!
//! Another reader is one file in `target` and a line of [`TARGETS`].

pub mod memory;
pub mod mutate;
mod target;

pub use target::{TARGETS, Target, find};

/// Runs a target.
///
/// # Panics
///
/// Where the target does, and where it held more memory than it may.
pub fn run(target: &dyn Target, bytes: &[u8]) {
    let held = memory::most_held(|| target.run(bytes));
    let allowed = target.memory(bytes.len());
    assert!(
        held <= allowed,
        "{} holds {held} bytes for an input of {}, at most {allowed} are allowed",
        target.name(),
        bytes.len()
    );
}
