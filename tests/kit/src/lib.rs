//! The test environment: a real API server, a real PostgreSQL and separate namespaces.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot stand up what it needs has to stop with a sentence"
)]

pub mod apiserver;
pub mod calls;
pub mod chart;
pub mod fake_controllers;
pub mod faults;
pub mod fields;
pub mod front;
pub mod given;
pub mod objects;
pub mod postgres;
pub mod raw;
pub mod servers;
pub mod wait;
