//! The inference server: wiring only.

use std::process::ExitCode;

use clap::Parser as _;
use modelward_inference::Args;

// musl's allocator takes one lock for all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything could use TLS: rustls refuses to guess between two providers.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("another TLS provider was installed before this program's own");
        return ExitCode::FAILURE;
    }
    modelward_inference::run(&Args::parse())
}
