//! What holds for the sources as a whole.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test needs and cannot have ends it"
)]

mod actions;
mod arrows;
mod circles;
mod metrics;
mod pages;
mod prose;
mod sources;
mod words;

use std::path::Path;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
