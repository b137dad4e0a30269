//! Counts what a model sees, exactly, and judges whether it has changed.
//!
//! ```text
//!  training                          serving, each Pod                       ledger                     a report
//! ──────────────────────            ─────────────────────────               ────────────────────       ─────────────
//!  columns ─► FeatureBins ┐          row ─► AtomicCounts                     CumulativeTotals
//!  out-of-fold            ├─► Bins ─────►     │ snapshot                       keeps the highest
//!    scores ─► ScoreBins  ┘    │              ▼                                sequence of a key
//!                              │           Counts ─► Envelope ─── HTTP ───►         │ sum
//!  rows ─► Counts::add_row ◄───┤            key: (route digest, window             ▼
//!            │                 │              start, incarnation)             Counts (window) ──► judge ─► Judgement
//!            ▼                 │             sequence: rises                                       ▲
//!      Counts (reference) ─────┴───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! | type | content | stored or sent as |
//! |---|---|---|
//! | [`Bins`] | the cuts of each feature and of the score, frozen at training | a file of the bundle |
//! | [`Counts`] | for each feature: values by slot, missing, type errors; for each class: scores by slot, Σs, Σs²; rows left aside | the reference in the bundle; inside an [`Envelope`] |
//! | [`AtomicCounts`] | the same, in words that threads add to | a mapped file, or not at all |
//! | [`Envelope`] | everything that one process has counted of one route in one window | a message to the ledger |
//! | [`Judgement`] | for each feature and test: effect, bounds, p, q, counts on both sides; the verdict | a report |
//!
//! Guarantees:
//! * **Counts are integers.** Addition is exact, associative and commutative, so any split over Pods and any order
//!   give the same bytes. A sum that does not fit is an error and never wraps around. Counts of different bins cannot be
//!   added: they have different fingerprints.
//! * **Totals are cumulative.** A message may arrive twice, late or never. The next one makes up for it.
//! * **A verdict is a function of counts.** It does not depend on a clock, on randomness or on the platform: the same
//!   counts give the same bytes. Too few rows give [`DriftVerdict::InsufficientData`](modelward_wire::DriftVerdict), never
//!   "no drift".
//! * **False alarms are bounded**, with a proof in docs/verdicts.md: if nothing changes, a version raises an alarm with a
//!   probability of at most 5% over its whole life. Simulations that could refute this are in `tests/verdicts`.
//!
//! The formulas and their sources are in the files of [`test`](mod@test), of [`stats`] and in [`lifetime`].
//! This crate does no IO, does not wait, and does not read a clock.

pub mod atomic;
pub mod bins;
mod compare;
pub mod counts;
pub mod error;
pub mod judge;
pub mod judgement;
pub mod lifetime;
pub mod number;
pub mod reference;
pub mod rule;
pub mod season;
pub mod sides;
mod span;
pub mod stats;
pub mod test;
pub mod totals;
pub mod traffic;

pub use atomic::{AtomicCounts, Counted};
pub use bins::{Bins, BinsError, FeatureBins, Fingerprint, Observed, ScoreBins};
pub use counts::{Counts, CountsError, RowError};
pub use error::JudgeError;
pub use judge::{judge, judge_with, judge_with_traffic};
pub use judgement::{Comparison, Effect, FeatureJudgement, Judgement, TestJudgement};
pub use lifetime::WindowCounts;
pub use number::{Exact, FixedSum};
pub use reference::{ChosenBy, Reference, ReferenceError};
pub use rule::Rule;
pub use season::{Phases, Season};
pub use sides::Sides;
pub use totals::{
    Absorbed, CountsBatch, CumulativeTotals, Envelope, Incarnation, Sum, TotalKey, TotalsError, route_digest,
    window_start,
};
pub use traffic::Traffic;
