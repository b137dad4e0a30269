//! The client of the ledger's API that every program of Modelward uses.
//!
//! ```text
//! Settings ──► Client ──{artifacts, records, traffic}──► attempts ──token, deadline──► the ledger
//!                ▲                                          │
//!                └──── typed answers, Error ◄──bounded──────┘
//! ```
//!
//! A token is never sent to a redirect or to a proxy from the environment. Every answer is read up to a limit. Errors do not
//! contain addresses, so that the uid or digest of one object does not appear in the conditions of another.

mod artifacts;
mod client;
mod error;
mod records;
mod retry;
mod settings;
mod traffic;

pub use artifacts::MANIFEST;
pub use client::Client;
pub use error::{Call, Corruption, Error, Optional, Unanswered};
pub use reqwest::{Certificate, Method, StatusCode};
pub use settings::{Retry, Settings, Timeouts, Tls, Token};
