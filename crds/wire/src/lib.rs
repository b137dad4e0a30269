//! The types that Modelward's programs exchange.
//!
//! ```text
//! trainer ──Manifest, JobResult, Progress──► ledger ◄──VersionRecord, ReportRequest── operator
//!                                             │  ▲  ▲──────────ReportResult─────────────►│
//!                                      Manifest  │ FeedbackRecord                     Routes
//!                                             └──┴────────► inference ◄──────────────────┘
//! ```
//!
//! Every type here crosses a process boundary. It is therefore versioned by a `format` number, or changes only by new optional
//! fields. Numbers that users set or read are decimal text, because digests are computed over these bytes and the spelling of a
//! float in JSON depends on the program that writes it.

mod decimal;
mod digest;
mod gate;
mod manifest;
pub mod paths;
mod publication;
mod report;
mod result;
mod routes;
mod search;
mod statement;
mod text;
mod version;
mod words;

pub use decimal::{Decimal, DecimalError};
pub use digest::{Digest, DigestError};
pub use gate::{ComparedRows, GateBound};
pub use manifest::{
    FileEntry, LARGEST_DATASET_MIB, MANIFEST_FORMAT, MAX_BLOB_BYTES, Manifest, ManifestError, ManifestKind,
};
pub use publication::{PublicationRecord, PublicationState};
pub use report::{
    CountedSeason, DriftAspect, DriftVerdict, DriftedComparison, FeedbackOutcome, FeedbackRecord,
    LEAST_REFERENCE_ROWS, NoSeason, REPORT_FORMAT, ReportReference, ReportRequest, ReportResult, SetAside,
    UnclosedIncarnation, default_rate_tolerance, small_reference,
};
pub use result::{
    GateResult, ImportRecord, JobResult, JobStage, MESSAGE_LIMIT, MetricValue, MlflowVersion, NewRows,
    Progress, RESULT_FORMAT, SourceRecord, TERMINATION_MESSAGE_LIMIT, Verdict, Violation,
};
pub use routes::{ROUTES_FORMAT, Route, RouteMode, Routes};
pub use search::{MAX_SEARCH_ROUND_BYTES, MAX_SEARCH_ROUNDS, SEARCH_FORMAT, SearchRound, SearchTrial};
pub use statement::{ArtifactStatement, BUNDLE_STATEMENT, SNAPSHOT_STATEMENT, Stated};
pub use text::shorten;
pub use version::{Role, VersionRecord};
#[doc(hidden)]
pub use words::__words;
pub use words::{UnknownWord, Word};

/// Header that marks a request as synthetic load; it requires [`TRAFFIC_KEY_HEADER`].
pub const TRAFFIC_HEADER: &str = "modelward-traffic";
/// The only value of [`TRAFFIC_HEADER`].
pub const SYNTHETIC_TRAFFIC: &str = "synthetic";
/// Header that holds the key `traffic.key` of the model's Secret, 64 hexadecimal digits.
pub const TRAFFIC_KEY_HEADER: &str = "modelward-traffic-key";
/// Header that names the entities of a request's rows, separated by commas. A row of an entity that was already counted in the
/// same window is answered, but excluded from the verdict.
pub const ENTITY_HEADER: &str = "modelward-entity";

/// The audience of the tokens that programs send to the ledger.
pub const LEDGER_AUDIENCE: &str = "modelward-ledger";
