//! Logs. Levels by `RUST_LOG`; `info` where it is not set.

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Installs the one subscriber of this process.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
