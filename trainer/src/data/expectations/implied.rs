//! The expectations that the declared features imply. Their violations have separate rules (`Range`, `Category`, `Required`,
//! `MissingRatio`); here they are part of the report.

use modelward_crds::{Expectation, ExpectationType, Severity, TrainingSource};
use modelward_wire::Decimal;

/// An expectation of this type without any argument.
pub(super) fn blank(kind: ExpectationType) -> Expectation {
    Expectation {
        r#type: kind,
        severity: Severity::Critical,
        column: None,
        column_a: None,
        column_b: None,
        column_list: None,
        column_set: None,
        column_index: None,
        exact_match: None,
        value: None,
        min_value: None,
        max_value: None,
        strict_min: None,
        strict_max: None,
        mostly: None,
        value_set: None,
        value_pairs_set: None,
        ties_okay: None,
        value_type: None,
        type_list: None,
        regex: None,
        regex_list: None,
        match_on: None,
        strftime_format: None,
        threshold: None,
        double_sided: None,
        quantile_ranges: None,
        or_equal: None,
        strictly: None,
        ignore_row_if: None,
        sum_total: None,
        partition_object: None,
        tail_weight_holdout: None,
    }
}

/// An expectation of a column.
pub(super) fn of_column(kind: ExpectationType, column: &str) -> Expectation {
    Expectation {
        column: Some(column.to_owned()),
        ..blank(kind)
    }
}

/// What the features require of their columns.
pub(super) fn expectations(training: &TrainingSource) -> Vec<Expectation> {
    let mut implied = Vec::new();
    for feature in &training.features {
        let of = |kind| of_column(kind, &feature.name);
        if let Some(range) = &feature.range {
            implied.push(Expectation {
                min_value: range.min.clone(),
                max_value: range.max.clone(),
                ..of(ExpectationType::ExpectColumnValuesToBeBetween)
            });
        }
        if let Some(categories) = &feature.categories {
            implied.push(Expectation {
                value_set: Some(categories.clone()),
                ..of(ExpectationType::ExpectColumnValuesToBeInSet)
            });
        }
        if feature.required {
            implied.push(of(ExpectationType::ExpectColumnValuesToNotBeNull));
        }
        if let Some(ratio) = &feature.max_missing_ratio {
            implied.push(Expectation {
                mostly: Decimal::rounded(1.0 - ratio.to_f64(), 12),
                ..of(ExpectationType::ExpectColumnValuesToNotBeNull)
            });
        }
    }
    implied
}
