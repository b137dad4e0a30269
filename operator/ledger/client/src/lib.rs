//! The client of the ledger's API that every program of Modelward uses.
//!
//! ```text
//! Settings ──► Client ──{artifacts, records, traffic}──► attempts ──token, deadline──► the ledger
//!                ▲                                          │
//!                └──── typed answers, Error ◄──bounded──────┘
//! ```
//!
//! A token follows no redirect and passes no proxy that only the environment names. Every answer is read up to a bound. No
//! error names an address, so that the uid or digest of one object does not reach the conditions of another.

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
