//! The entry point of the inference server.

use std::process::ExitCode;

use clap::Parser as _;
use modelward_inference::Args;

// The allocator of musl has one lock for all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Must come before any use of TLS: rustls does not choose between two providers.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("a TLS provider was already installed at the start of this program");
        return ExitCode::FAILURE;
    }
    modelward_inference::run(&Args::parse())
}
