//! Shared by all Modelward programs: the log, termination by a signal, metrics and their documentation, and errors in one line.

mod chain;
pub mod docs;
mod log;
pub mod metrics;
mod termination;

pub use chain::chain;
pub use log::{LogFormat, start_log};
#[doc(hidden)]
pub use prometheus_client;
pub use termination::Termination;
