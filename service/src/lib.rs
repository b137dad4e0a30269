//! What every program of Modelward has: metrics, their documentation, and errors in one line.

mod chain;
pub mod docs;
pub mod metrics;

pub use chain::chain;
#[doc(hidden)]
pub use prometheus_client;
