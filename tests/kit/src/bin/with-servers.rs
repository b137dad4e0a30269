//! Runs a command whose tests share servers: `with-servers cargo nextest run …`. See `modelward_kit::servers`.

use std::{env, ffi::OsString, process::ExitCode};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let command: Vec<OsString> = env::args_os().skip(1).collect();
    modelward_kit::servers::run(&command).await
}
