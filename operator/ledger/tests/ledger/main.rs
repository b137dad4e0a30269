//! The ledger with a real PostgreSQL and a real API server, with the roles and rules that it has in a cluster.

mod artifacts;
mod callers;
mod client;
mod counts;
mod feedback;
mod heart;
mod mlflow;
mod outages;
mod records;
mod reports;
mod searches;
mod seasons;
mod support;
mod widest;
