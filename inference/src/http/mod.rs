//! HTTP: paths, bodies and answers. Each protocol reads rows and writes answers, and scores with [`crate::score`].

mod answer;
pub mod body;
mod feedback;
mod health;
pub mod json;
mod predict;
pub mod problem;
mod routes;
mod v2;

pub use routes::{probe_router, router};
