//! Scores and counts the rows of one request: what every protocol does between reading rows and writing an answer.
//!
//! ```text
//! pick ─► Scoring ─ push, row by row: warnings, score, sealed id ─► finish: entities checked, rows counted ─► answer
//! ```
//!
//! A protocol reads its rows, passes each to [`Scoring::push`] and writes the results. This module does not know the
//! formats of rows and refusals.

use std::{collections::BTreeMap, sync::Arc};

use modelward_model::{FeatureSchema, Row, RowError, Warning};

use crate::{
    bounds::MAX_DETAILS,
    counting::{Answered, Origin},
    metrics::{Metrics, WARNING_KINDS, WarningLabels},
    prediction_id::Signer,
    serving::{Call, LoadedRoute, Serving},
};

/// Maximum number of warnings that are described for one row.
pub const MAX_ROW_WARNINGS: usize = 20;

/// Maximum number of characters of a client's name that an answer repeats.
const MAX_NAME: usize = 200;

/// The call, and the origin of its rows.
#[derive(Debug)]
pub struct Caller {
    /// The request without its body.
    pub call: Call,
    /// The origin of its rows.
    pub origin: Origin,
}

/// The rows of one request, scored by one version.
#[derive(Debug)]
pub struct Scoring<'a> {
    route: &'a LoadedRoute,
    /// `None` for a shadow, whose scores no client sees.
    answering: Option<Answering<'a>>,
    rows: Vec<ScoredRow>,
    warnings: Warnings,
    errors: RowErrors,
}

#[derive(Debug)]
struct Answering<'a> {
    signer: &'a Signer,
    caller: &'a Caller,
}

/// A row and its score.
#[derive(Debug)]
pub struct ScoredRow {
    row: Row,
    /// Probability of class 1.
    pub probability: f64,
    /// 1 if the probability is at least the threshold, else 0.
    pub class: u8,
}

/// The answer for one row.
#[derive(Debug)]
pub struct RowAnswer {
    /// 1 if the probability is at least the threshold, else 0.
    pub class: u8,
    /// Probability of class 1.
    pub probability: f64,
    /// The id for labels of this answer. Empty for a shadow.
    pub prediction_id: String,
    /// Warnings that are described.
    pub notices: Vec<Notice>,
    /// Number of warnings of the row that are counted but not described.
    pub omitted: usize,
}

/// A described warning.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The feature.
    pub feature: String,
    /// `OutOfRange` or `UnknownCategory`.
    pub kind: &'static str,
    /// One sentence for users.
    pub message: String,
}

/// A request whose rows were scored and counted.
#[derive(Debug)]
pub struct Finished {
    /// Its rows, in order.
    pub rows: Vec<ScoredRow>,
    /// Number of warnings that were not described.
    pub omitted: usize,
}

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Its index in the request, from 0.
    pub row: usize,
    /// The feature, if the error is about one.
    pub feature: Option<String>,
    /// What was found and what was expected.
    pub message: String,
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// All weights are 0.
    #[error("no version accepts this request")]
    NoVersion,
    /// The requested version does not serve.
    #[error("model {model:?} has no serving version {asked:?}; it has {}", known.join(", "))]
    UnknownVersion {
        /// Name of the model.
        model: String,
        /// The requested name, truncated.
        asked: String,
        /// The versions that answer.
        known: Vec<String>,
    },
    /// Rows that cannot be scored.
    #[error("{total} errors in the rows")]
    Rows {
        /// The first [`MAX_DETAILS`] errors, at least one.
        faults: Vec<Fault>,
        /// The number of all errors.
        total: usize,
    },
    /// The entities do not match the rows.
    #[error("{0}")]
    Entities(String),
}

/// Counts the warnings of a request and decides which of them are described.
#[derive(Debug)]
struct Warnings {
    described: usize,
    most: usize,
    total: usize,
    /// By feature and by index in [`WARNING_KINDS`]. Empty while there is no warning.
    counts: Vec<[u64; 2]>,
}

/// Collects the errors of many rows, up to a limit.
#[derive(Debug, Default)]
struct RowErrors {
    /// The first [`MAX_DETAILS`].
    faults: Vec<Fault>,
    /// The number of all errors.
    total: usize,
    /// Rows with a wrong type, by feature of the model.
    wrong_types: BTreeMap<String, u64>,
    /// Rows with another error.
    unreadable: u64,
}

/// The Live route that answers a call: the requested version, or the one in which the point of the call falls.
pub fn pick<'s>(
    serving: &'s Serving,
    version: Option<&str>,
    call: Call,
) -> Result<&'s Arc<LoadedRoute>, Refusal> {
    match version {
        Some(name) => find_version(serving, name),
        None => serving.pick(call).ok_or(Refusal::NoVersion),
    }
}

/// The Live route of a version.
pub fn find_version<'s>(serving: &'s Serving, name: &str) -> Result<&'s Arc<LoadedRoute>, Refusal> {
    serving.version(name).ok_or_else(|| Refusal::UnknownVersion {
        model: serving.model.clone(),
        asked: name.chars().take(80).collect(),
        known: serving
            .live
            .iter()
            .map(|route| route.route.version.clone())
            .collect(),
    })
}

/// The index of a warning's kind in [`WARNING_KINDS`].
fn kind_of(warning: &Warning) -> usize {
    match warning {
        Warning::OutOfRange { .. } => 0,
        Warning::UnknownCategory { .. } => 1,
    }
}

// === impl Scoring ===

impl<'a> Scoring<'a> {
    /// Scoring for rows that are answered. The first `described` warnings are described.
    pub fn answering(
        route: &'a LoadedRoute,
        signer: &'a Signer,
        caller: &'a Caller,
        described: usize,
    ) -> Self {
        Self::new(route, Some(Answering { signer, caller }), described)
    }

    /// Scoring for rows that another version answers. Only the counts are kept.
    pub fn shadowing(route: &'a LoadedRoute) -> Self {
        Self::new(route, None, 0)
    }

    fn new(route: &'a LoadedRoute, answering: Option<Answering<'a>>, described: usize) -> Self {
        Self {
            route,
            answering,
            rows: Vec::new(),
            warnings: Warnings::new(described),
            errors: RowErrors::default(),
        }
    }

    /// The version that scores.
    pub fn route(&self) -> &'a LoadedRoute {
        self.route
    }

    /// Allocates memory for this many rows.
    pub fn reserve(&mut self, rows: usize) {
        self.rows.reserve_exact(rows);
    }

    /// Scores a row that was read with the schema. After the first bad row of a request nothing is scored; further rows
    /// are read only for their errors.
    #[inline]
    pub fn push(&mut self, at: usize, read: Result<(Row, Vec<Warning>), Vec<RowError>>) -> Option<RowAnswer> {
        let (row, warnings) = match read {
            Err(errors) => {
                self.errors.extend(at, self.route.bundle.schema(), &errors);
                return None;
            }
            Ok(_) if self.errors.total > 0 => return None,
            Ok(read) => read,
        };
        let (notices, omitted) = self.warnings.add(self.route, &warnings);
        let (class, probability) = self.route.score(&row);
        let seal = |Answering { signer, caller }: &Answering<'_>| {
            self.route.prediction_id(signer, caller.call, class, probability)
        };
        let prediction_id = self.answering.as_ref().map(seal).unwrap_or_default();
        self.rows.push(ScoredRow {
            row,
            probability,
            class,
        });
        Some(RowAnswer {
            class,
            probability,
            prediction_id,
            notices,
            omitted,
        })
    }

    /// Records an error of a row that the schema does not check.
    pub fn refuse(&mut self, at: usize, feature: Option<&str>, message: impl FnOnce() -> String) {
        self.errors.unreadable += 1;
        self.errors.push(at, feature, message);
    }

    /// Finishes a request: checks its entities and counts its rows. Call it before the answer is sent.
    ///
    /// For a refused request, only the reasons of the refused rows are counted.
    pub fn finish(self, metrics: &Metrics) -> Result<Finished, Refusal> {
        let Self {
            route,
            answering,
            rows,
            warnings,
            errors,
        } = self;
        let caller = answering.as_ref().map(|answering| answering.caller);
        if errors.total > 0 {
            if let Some(Caller { call, origin }) = caller {
                route.count_type_errors(metrics, *call, origin, &errors.wrong_types);
                route.count_refused(metrics, *call, origin, errors.unreadable);
            }
            return Err(Refusal::Rows {
                faults: errors.faults,
                total: errors.total,
            });
        }
        if let Some(Caller { call, origin }) = caller {
            origin.check(rows.len()).map_err(|why| {
                route.count_refused(metrics, *call, origin, rows.len() as u64);
                Refusal::Entities(why)
            })?;
            route.count_answered(metrics, *call, origin, rows.iter().map(ScoredRow::answered));
        }
        let ones = rows.iter().map(|row| u64::from(row.class)).sum::<u64>();
        route.count_classes([rows.len() as u64 - ones, ones]);
        warnings.count(route, metrics);
        if caller.is_some() {
            warnings.count_omitted(metrics);
            metrics.batch_rows.observe(rows.len() as f64);
        }
        Ok(Finished {
            rows,
            omitted: warnings.omitted(),
        })
    }
}

// === impl ScoredRow ===

impl ScoredRow {
    fn answered(&self) -> Answered<'_> {
        Answered {
            row: &self.row,
            score: self.probability,
            class: self.class,
        }
    }
}

// === impl Warnings ===

impl Warnings {
    /// No warnings yet. The first `most` will be described.
    fn new(most: usize) -> Self {
        Self {
            described: 0,
            most,
            total: 0,
            counts: Vec::new(),
        }
    }

    /// Adds the warnings of a row: those that are described, and how many are not.
    #[inline]
    fn add(&mut self, route: &LoadedRoute, warnings: &[Warning]) -> (Vec<Notice>, usize) {
        if warnings.is_empty() {
            return (Vec::new(), 0);
        }
        if self.counts.is_empty() {
            self.counts = vec![[0; 2]; route.positions.len()];
        }
        for warning in warnings {
            let count = route
                .positions
                .get(warning.feature())
                .and_then(|at| self.counts.get_mut(*at))
                .and_then(|counts| counts.get_mut(kind_of(warning)));
            if let Some(count) = count {
                *count += 1;
            }
        }
        let described = (self.most - self.described)
            .min(MAX_ROW_WARNINGS)
            .min(warnings.len());
        self.described += described;
        self.total += warnings.len();
        let notices = warnings[..described].iter().map(|warning| Notice {
            feature: warning.feature().to_owned(),
            kind: WARNING_KINDS[kind_of(warning)],
            message: route.bundle.schema().describe_warning(warning),
        });
        (notices.collect(), warnings.len() - described)
    }

    /// Counts them in the metrics.
    fn count(&self, route: &LoadedRoute, metrics: &Metrics) {
        for (feature, counts) in route.bundle.schema().names().zip(&self.counts) {
            for (kind, count) in WARNING_KINDS.into_iter().zip(*counts) {
                if count > 0 {
                    let labels = WarningLabels {
                        version: route.route.version.clone(),
                        feature: feature.to_owned(),
                        kind,
                    };
                    metrics.warnings.get_or_create(&labels).inc_by(count);
                }
            }
        }
    }

    /// Counts the warnings that an answer does not describe.
    fn count_omitted(&self, metrics: &Metrics) {
        let omitted = self.omitted();
        if omitted > 0 {
            metrics.warnings_omitted.inc_by(omitted as u64);
        }
    }

    fn omitted(&self) -> usize {
        self.total - self.described
    }
}

// === impl RowErrors ===

impl RowErrors {
    /// Adds an error of a row.
    fn push(&mut self, row: usize, feature: Option<&str>, message: impl FnOnce() -> String) {
        self.total += 1;
        if self.faults.len() < MAX_DETAILS {
            let feature = feature.map(|name| name.chars().take(MAX_NAME).collect());
            self.faults.push(Fault {
                row,
                feature,
                message: message(),
            });
        }
    }

    /// Adds every error of a row of this schema.
    fn extend(&mut self, row: usize, schema: &FeatureSchema, errors: &[RowError]) {
        let is_of_type = |error: &RowError| matches!(error, RowError::WrongType { .. });
        self.unreadable += u64::from(!errors.iter().all(is_of_type));
        for error in errors {
            if let RowError::WrongType { feature, .. } = error {
                match self.wrong_types.get_mut(feature) {
                    Some(rows) => *rows += 1,
                    None => _ = self.wrong_types.insert(feature.clone(), 1),
                }
            }
            self.push(row, error.feature(), || schema.describe_error(error));
        }
    }
}
