//! Publishes bundles to an MLflow server through its REST API.
//!
//! ```text
//! experiment modelward/<namespace>/<model>
//!   └─ run <version>                    params, metrics and tags of the version, files of the bundle under bundle/
//!        └─ run <version>-<family>      a candidate: its params, its metrics by fold and their mean
//! registered model <model>
//!   └─ version N                        source: the run's bundle/
//! ```
//!
//! Every step looks for the objects of an earlier attempt, so publishing again after an error completes what is missing.

mod client;
mod error;
mod files;
mod metrics;
mod publication;

pub use client::{Credentials, Server};
pub use error::Error;
pub use files::{Files, Pieces};
pub use publication::{Publication, Published, publish};
