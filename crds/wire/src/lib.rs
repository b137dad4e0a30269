//! What Modelward's programs say to each other, and nothing else.
//!
//! ```text
//! trainer ──Manifest, JobResult, Progress──► ledger ◄──VersionRecord── operator
//!                                               │                        │
//!                                            Manifest                 Routes
//!                                               └────────► inference ◄───┘
//! ```
//!
//! Every type here crosses a process boundary, so each is versioned by a `format` number or grows by optional
//! fields only. Numbers that a person set or will read travel as decimal text: a float in JSON has as many
//! spellings as there are writers, and digests are taken over these bytes.

mod decimal;
mod digest;
mod manifest;
mod result;
mod routes;
mod version;

pub use decimal::{Decimal, DecimalError};
pub use digest::{Digest, DigestError};
pub use manifest::{FileEntry, MANIFEST_FORMAT, Manifest, ManifestError, ManifestKind};
pub use result::{
    GateResult, JobResult, JobStage, MetricValue, Progress, RESULT_FORMAT, SourceRecord,
    TERMINATION_MESSAGE_LIMIT, Verdict, Violation,
};
pub use routes::{ROUTES_FORMAT, Route, RouteMode, Routes};
pub use version::VersionRecord;

/// The audience of every token that a program shows to the ledger.
pub const LEDGER_AUDIENCE: &str = "modelward-ledger";
