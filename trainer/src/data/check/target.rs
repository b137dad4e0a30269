//! The column that is predicted.

use std::collections::BTreeSet;

use modelward_crds::{PositiveWhen, Target, TrainingSource};
use modelward_model::canonical_category;
use modelward_wire::Violation;

use crate::{
    data::{
        check::{broken::Broken, parts::Parts},
        number::number,
        table::Quote,
        violation::{cut, violation},
    },
    spec::positive_when,
};

pub(super) fn check_target(
    parts: &Parts<'_>,
    training: &TrainingSource,
    violations: &mut Vec<Violation>,
) -> Vec<bool> {
    let target = &training.target;
    let (mut absent, mut unreadable) = (Broken::default(), Broken::default());
    let cells = parts.cells(&target.column);
    let mut labels = Vec::with_capacity(cells.len());
    for (row, cell) in cells {
        match cell {
            None => absent.add(row, ""),
            Some(cell) => match class_of(cell, target) {
                Some(class) => labels.push(class),
                None => unreadable.add(row, cell),
            },
        }
    }
    let readable = absent.count() == 0 && unreadable.count() == 0;
    absent.push(violations, parts, &target.column, "Target", |_, count| {
        format!("{count} rows miss the target; remove them from the source")
    });
    unreadable.push(
        violations,
        parts,
        &target.column,
        "Target",
        |cell, _| match &target.positive_when {
            Some(_) => format!(
                "{cell} is not a number, so it cannot be compared with greaterThan; name the value of class 1 in \
                 target.positiveWhen.equals, or remove these rows"
            ),
            None => format!(
                "{cell} is neither 0 nor 1; name the value of class 1 in target.positiveWhen.equals, or the number it must \
                 exceed in target.positiveWhen.greaterThan"
            ),
        },
    );
    if labels.is_empty() || !readable {
        return labels;
    }
    let positives = labels.iter().filter(|label| **label).count();
    let folds = usize::try_from(training.validation.folds).unwrap_or(0);
    let rule = positive_when(target);
    for (class, count) in [(1, positives), (0, labels.len() - positives)] {
        if count == 0 {
            let message = format!(
                "every row is of class {}; class 1 is where {}, both classes are needed{}",
                1 - class,
                cut(&rule, 80),
                list_values(parts, &target.column)
            );
            violations.push(violation(
                &target.column,
                "OneClass",
                message,
                labels.len() as u64,
                None,
            ));
        } else if count < folds {
            let message = format!("class {class} has {}", too_few_rows(count, folds));
            violations.push(violation(
                &target.column,
                "ClassCount",
                message,
                count as u64,
                None,
            ));
        }
    }
    labels
}

/// How many rows a class has, how many it needs, and what helps; at least two folds are needed.
pub fn too_few_rows(count: usize, folds: usize) -> String {
    let rows = if count == 1 { "row" } else { "rows" };
    let or = if count < 2 {
        ""
    } else {
        ", or lower validation.folds"
    };
    format!("{count} {rows}, but {folds} folds need at least {folds}: add rows of that class{or}")
}

/// The values of a column, where they may be quoted and are few.
fn list_values(parts: &Parts<'_>, column: &str) -> String {
    let values: BTreeSet<&str> = parts
        .cells(column)
        .into_iter()
        .filter_map(|(_, cell)| cell)
        .collect();
    let may_quote = parts.all.iter().all(|part| part.quote == Quote::Yes);
    if !may_quote || values.is_empty() || values.len() > 3 {
        return String::new();
    }
    let quoted: Vec<_> = values
        .iter()
        .map(|value| format!("{:?}", cut(value, 32)))
        .collect();
    format!("; the column's values are {}", quoted.join(", "))
}

/// The class that a target's cell says, `None` where it cannot be read.
fn class_of(cell: &str, target: &Target) -> Option<bool> {
    match &target.positive_when {
        Some(PositiveWhen {
            greater_than: Some(bound),
            ..
        }) => number(cell).map(|number| number > bound.to_f64()),
        Some(PositiveWhen {
            equals: Some(text), ..
        }) => Some(canonical_category(cell) == canonical_category(text)),
        _ => match canonical_category(cell).as_ref() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        },
    }
}
