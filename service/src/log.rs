//! The log of a program, on stderr. `RUST_LOG` sets the levels; the default is `info`.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text, for terminals.
    #[default]
    Text,
    /// JSON, one object per line.
    Json,
}

/// Installs the log of this process, with colors only on a terminal. A second call is reported on stderr and changes nothing.
pub fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        eprintln!("failed to start the log: {error}");
    }
}
