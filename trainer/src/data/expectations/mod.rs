//! Expectations of the rows, with the results that Great Expectations gives for the same file.
//!
//! | file | what it has |
//! |---|---|
//! | `frame` | the datasets as one table whose columns are read one at a time |
//! | `given`, `check` | the arguments of an expectation: for the result, and whether they can be right |
//! | `contract` | what every expectation does |
//! | `found`, `raised` | what an evaluation found, and the counting of unexpected rows; why there is nothing to find |
//! | `schema`, `volume`, `null`, `range`, `aggregate`, `set`, `unique`, `string`, `strftime`, `pair`, `several`, `distribution` | the expectations, by group |
//! | `implied` | the expectations that the declared features imply |
//! | `report`, `page` | the files of a snapshot |
//! | `outline`, `unanswered` | the results of a snapshot, and whether they answer the expectations of a spec |
//! | `suggest` | expectations that a reference file meets |
//!
//! An expectation is a type that implements `Evaluate`, and a line of `evaluator`.

mod aggregate;
pub mod check;
mod contract;
mod distribution;
mod found;
mod frame;
mod given;
mod implied;
mod null;
mod outline;
mod page;
mod pair;
mod raised;
mod range;
mod report;
mod schema;
mod set;
mod several;
mod strftime;
mod string;
mod suggest;
#[cfg(test)]
mod tests;
mod unanswered;
mod unique;
mod volume;

use modelward_crds::{Expectation, ExpectationType, Severity, TrainingSource};
use modelward_model::DirBuilder;
use modelward_wire::Violation;

pub use self::{
    outline::{Outline, OutlineConfig, OutlineResult},
    suggest::{suggest, yaml},
    unanswered::find_unanswered,
};
use crate::data::{
    check::Part,
    expectations::{
        contract::Evaluate,
        found::Found,
        frame::{Frame, with_tables, write_plain},
        raised::Raised,
        report::{Origin, Outcome},
    },
    table::Quote,
    violation::violation,
};

/// The results as JSON, in the form of Great Expectations.
pub const VALIDATION: &str = "validation.json";

/// The results as a page.
pub const VALIDATION_PAGE: &str = "validation.html";

/// The rule of a violation that an expectation found.
pub const RULE: &str = "Expectation";

/// What the expectations of a spec found.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Critical expectations that are not met.
    pub violations: Vec<Violation>,
    /// Other expectations that are not met.
    pub warnings: Vec<Violation>,
    /// Expectations that the features imply and that are not met. Violations of separate rules report the same.
    pub implied: Vec<Violation>,
    /// [`VALIDATION`].
    pub json: Vec<u8>,
    /// [`VALIDATION_PAGE`].
    pub html: String,
    /// How many expectations there are.
    pub evaluated: usize,
    /// How many of them are not met.
    pub failed: usize,
}

impl Validation {
    /// Adds the files of the results to those of a snapshot.
    pub fn add_files(self, builder: DirBuilder) -> DirBuilder {
        builder
            .with(VALIDATION, self.json)
            .with(VALIDATION_PAGE, self.html)
    }
}

/// Why results could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidationError {
    /// As JSON.
    #[error("cannot write {VALIDATION}")]
    Json(#[from] serde_json::Error),
    /// As a page.
    #[error("cannot write {VALIDATION_PAGE}")]
    Page(#[from] askama::Error),
}

/// Evaluates the expectations of a spec on the rows of all parts, and those that its features imply. None if the spec has no
/// expectations, or the data are not what it describes: an address without the target column may be anything.
pub fn validate(
    parts: &[Part<'_>],
    training: &TrainingSource,
) -> Result<Option<Validation>, ValidationError> {
    let target = &training.target.column;
    let foreign = |part: &Part<'_>| part.quote == Quote::No && !part.table.columns.contains(target);
    if training.expectations.is_empty() || parts.iter().any(foreign) {
        return Ok(None);
    }
    evaluate_all(parts, training).map(Some)
}

/// The same, for specs without expectations too: their features may imply some.
pub fn evaluate_all(parts: &[Part<'_>], training: &TrainingSource) -> Result<Validation, ValidationError> {
    let tables = write_plain(parts);
    let parts = with_tables(parts, &tables);
    let mut frame = Frame::new(&parts);
    let mut outcomes: Vec<Outcome> = training
        .expectations
        .iter()
        .map(|given| evaluate(&mut frame, given, Origin::Spec))
        .collect();
    for given in implied::expectations(training) {
        outcomes.push(evaluate(&mut frame, &given, Origin::Features));
    }
    let unmet = |origin: Origin, severity: Severity| {
        let unmet = outcomes.iter().filter(|outcome| {
            !outcome.found.success && outcome.origin == origin && outcome.given.severity == severity
        });
        unmet.map(|outcome| unmet_violation(&frame, outcome)).collect()
    };
    Ok(Validation {
        violations: unmet(Origin::Spec, Severity::Critical),
        warnings: unmet(Origin::Spec, Severity::Warning),
        implied: unmet(Origin::Features, Severity::Critical),
        json: report::json(&outcomes, training)?,
        html: page::html(&outcomes, &frame, training)?,
        evaluated: outcomes.len(),
        failed: outcomes.iter().filter(|outcome| !outcome.found.success).count(),
    })
}

fn evaluate(frame: &mut Frame<'_>, given: &Expectation, origin: Origin) -> Outcome {
    let (found, raised) = match evaluator(given.r#type).evaluate(frame, given) {
        Ok(found) => (found, None),
        Err(Raised(message)) => (Found::raised(), Some(message)),
    };
    Outcome {
        kwargs: given::kwargs(given, frame),
        given: given.clone(),
        origin,
        found,
        raised,
    }
}

/// An unmet expectation as a violation, with the first row that does not meet it.
fn unmet_violation(frame: &Frame<'_>, outcome: &Outcome) -> Violation {
    let found = &outcome.found;
    let mut message = format!("{}: {}", outcome.given.r#type, outcome.observed(frame.quote()));
    let place = found.first.and_then(|row| frame.place(row));
    if let (Some((name, _)), true) = (&place, frame.has_several_parts()) {
        message = format!("{message}, the first in {name}");
    }
    let expected = given::expected(&outcome.given);
    if !expected.is_empty() {
        message = format!("{message}; expected {expected}");
    }
    violation(
        given::main_column(&outcome.given),
        RULE,
        message,
        found.unexpected.max(1),
        place.map(|(_, number)| number),
    )
}

/// What evaluates a type of expectation.
fn evaluator(kind: ExpectationType) -> &'static dyn Evaluate {
    use ExpectationType as T;
    match kind {
        T::ExpectColumnToExist => &schema::ColumnToExist,
        T::ExpectTableColumnCountToEqual => &schema::ColumnCountToEqual,
        T::ExpectTableColumnCountToBeBetween => &schema::ColumnCountToBeBetween,
        T::ExpectTableColumnsToMatchSet => &schema::ColumnsToMatchSet,
        T::ExpectTableColumnsToMatchOrderedList => &schema::ColumnsToMatchOrderedList,
        T::ExpectColumnValuesToBeOfType => &schema::ValuesToBeOfType,
        T::ExpectColumnValuesToBeInTypeList => &schema::ValuesToBeInTypeList,
        T::ExpectTableRowCountToEqual => &volume::RowCountToEqual,
        T::ExpectTableRowCountToBeBetween => &volume::RowCountToBeBetween,
        T::ExpectColumnValuesToNotBeNull => &null::ValuesToNotBeNull,
        T::ExpectColumnValuesToBeNull => &null::ValuesToBeNull,
        T::ExpectColumnValuesToBeBetween => &range::ValuesToBeBetween,
        T::ExpectColumnMinToBeBetween => &aggregate::MIN,
        T::ExpectColumnMaxToBeBetween => &aggregate::MAX,
        T::ExpectColumnMeanToBeBetween => &aggregate::MEAN,
        T::ExpectColumnMedianToBeBetween => &aggregate::MEDIAN,
        T::ExpectColumnStdevToBeBetween => &aggregate::STDEV,
        T::ExpectColumnSumToBeBetween => &aggregate::SUM,
        T::ExpectColumnQuantileValuesToBeBetween => &aggregate::QuantileValuesToBeBetween,
        T::ExpectColumnValueZScoresToBeLessThan => &range::ValueZScoresToBeLessThan,
        T::ExpectColumnValuesToBeIncreasing => &range::INCREASING,
        T::ExpectColumnValuesToBeDecreasing => &range::DECREASING,
        T::ExpectColumnValuesToBeInSet => &set::IN_SET,
        T::ExpectColumnValuesToNotBeInSet => &set::NOT_IN_SET,
        T::ExpectColumnDistinctValuesToBeInSet => &set::DISTINCT_IN_SET,
        T::ExpectColumnDistinctValuesToEqualSet => &set::DISTINCT_EQUAL_SET,
        T::ExpectColumnDistinctValuesToContainSet => &set::DISTINCT_CONTAIN_SET,
        T::ExpectColumnMostCommonValueToBeInSet => &set::MostCommonValueToBeInSet,
        T::ExpectColumnValuesToBeUnique => &unique::ValuesToBeUnique,
        T::ExpectColumnUniqueValueCountToBeBetween => &unique::UniqueValueCountToBeBetween,
        T::ExpectColumnProportionOfUniqueValuesToBeBetween => &unique::ProportionOfUniqueValuesToBeBetween,
        T::ExpectCompoundColumnsToBeUnique => &several::CompoundColumnsToBeUnique,
        T::ExpectSelectColumnValuesToBeUniqueWithinRecord => &several::ValuesToBeUniqueWithinRecord,
        T::ExpectColumnValuesToMatchRegex => &string::MATCH_REGEX,
        T::ExpectColumnValuesToNotMatchRegex => &string::NOT_MATCH_REGEX,
        T::ExpectColumnValuesToMatchRegexList => &string::ValuesToMatchRegexList,
        T::ExpectColumnValuesToMatchStrftimeFormat => &string::ValuesToMatchStrftimeFormat,
        T::ExpectColumnValueLengthsToBeBetween => &string::ValueLengthsToBeBetween,
        T::ExpectColumnValueLengthsToEqual => &string::ValueLengthsToEqual,
        T::ExpectColumnPairValuesAToBeGreaterThanB => &pair::PairValuesAToBeGreaterThanB,
        T::ExpectColumnPairValuesToBeEqual => &pair::PairValuesToBeEqual,
        T::ExpectColumnPairValuesToBeInSet => &pair::PairValuesToBeInSet,
        T::ExpectMulticolumnSumToEqual => &several::MulticolumnSumToEqual,
        T::ExpectColumnKlDivergenceToBeLessThan => &distribution::KlDivergenceToBeLessThan,
    }
}
