//! The column that is predicted.

use std::{borrow::Cow, collections::BTreeSet};

use modelward_crds::{PositiveWhen, Target, TrainingSource};
use modelward_model::canonical_category;
use modelward_wire::Violation;

use crate::{
    data::{
        check::{
            broken::Broken,
            parts::Parts,
            report::{ColumnReport, TargetValue},
            suspicion::fold,
        },
        number::Notation,
        violation::{cut, violation},
    },
    spec::positive_when,
};

/// Different values of a target that are counted one by one.
const MAX_VALUES: usize = 64;

/// Values that a report has.
const MAX_REPORTED: usize = 20;

/// Values that a message lists.
const MAX_LISTED: usize = 6;

/// The different values of a target, in canonical spelling.
#[derive(Default)]
struct Values<'a> {
    counts: Vec<(Cow<'a, str>, u64)>,
    /// Whether there are more than [`MAX_VALUES`].
    more: bool,
}

// === impl Values ===

impl<'a> Values<'a> {
    fn add(&mut self, value: Cow<'a, str>) {
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == value) {
            *count += 1;
        } else if self.counts.len() < MAX_VALUES {
            self.counts.push((value, 1));
        } else {
            self.more = true;
        }
    }

    /// The commonest values with their rows.
    fn list(&self, but: Option<&str>) -> String {
        let mut counts: Vec<_> = self
            .counts
            .iter()
            .filter(|(value, _)| Some(value.as_ref()) != but)
            .collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let shown = counts.iter().take(MAX_LISTED);
        let mut list: Vec<String> = shown
            .map(|(value, count)| format!("{:?} ({count})", cut(value, 20)))
            .collect();
        match counts.len().saturating_sub(MAX_LISTED) {
            _ if self.more => list.push("more".to_owned()),
            0 => {}
            more => list.push(format!("{more} more")),
        }
        list.join(", ")
    }

    /// Values that differ from this one in upper and lower case or in blanks only.
    fn spellings_of(&self, value: &str) -> Vec<&str> {
        let folded = fold(value);
        let others = self.counts.iter().map(|(other, _)| other.as_ref());
        others
            .filter(|other| *other != value && fold(other) == folded)
            .collect()
    }
}

pub(super) fn check_target(
    parts: &Parts<'_>,
    training: &TrainingSource,
    violations: &mut Vec<Violation>,
) -> (Vec<bool>, ColumnReport) {
    let target = &training.target;
    let (mut absent, mut unreadable) = (Broken::default(), Broken::default());
    let cells = parts.cells(&target.column);
    let mut labels = Vec::with_capacity(cells.len());
    let mut values = Values::default();
    let rule = Rule::of(target);
    for (place, cell) in &cells {
        let Some(cell) = cell else {
            absent.add(*place, "");
            continue;
        };
        let notation = parts.notation(place.0);
        values.add(notation.category(cell));
        match rule.class(cell, notation) {
            Some(class) => labels.push(class),
            None => unreadable.add(*place, cell),
        }
    }
    let missing = absent.count();
    let readable = absent.count() == 0 && unreadable.count() == 0;
    absent.push(
        violations,
        parts,
        &target.column,
        "Target",
        |_, count| match count {
            1 => "1 row lacks the target; remove it from the source".to_owned(),
            _ => format!("{count} rows lack the target; remove them from the source"),
        },
    );
    push_unreadable(unreadable, parts, target, &values, violations);
    if !labels.is_empty() && readable {
        check_others(parts, target, &values, &labels, violations);
        check_classes(parts, training, &labels, violations);
    }
    let few = if values.more {
        &[]
    } else {
        values.counts.as_slice()
    };
    let value = |(value, rows): &(Cow<'_, str>, u64)| TargetValue {
        value: cut(value, 40),
        rows: *rows,
        class: u8::from(rule.class(value, Notation::PLAIN) == Some(true)),
    };
    let report = ColumnReport {
        name: target.column.clone(),
        kind: "Target".to_owned(),
        declared: true,
        missing,
        distinct: values.counts.len() as u64,
        numbers: 0,
        words: 0,
        examples: Vec::new(),
        warnings: Vec::new(),
        values: few.iter().take(MAX_REPORTED).map(value).collect(),
    };
    (labels, report)
}

fn push_unreadable(
    unreadable: Broken<'_>,
    parts: &Parts<'_>,
    target: &Target,
    values: &Values<'_>,
    violations: &mut Vec<Violation>,
) {
    let all = if parts.may_quote() {
        format!("; rows by value: {}", values.list(None))
    } else {
        String::new()
    };
    let message = |cell: String, _| match &target.positive_when {
        Some(PositiveWhen {
            greater_than: Some(_),
            ..
        }) => format!(
            "{cell} is not a number, so it cannot be compared with greaterThan; name the value of class 1 in \
             target.positiveWhen.equals, or remove these rows"
        ),
        Some(_) => format!(
            "{cell} is neither target.positiveWhen.equals nor one of target.negativeValues; correct it in the source, or list \
             it there{all}"
        ),
        None => format!(
            "{cell} is neither 0 nor 1; name the value of class 1 in target.positiveWhen.equals, or the number it must \
             exceed in target.positiveWhen.greaterThan{all}"
        ),
    };
    unreadable.push(violations, parts, &target.column, "Target", message);
}

/// Refuses more than one value besides that of class 1, unless the spec lists them: it may be the same in another spelling.
fn check_others(
    parts: &Parts<'_>,
    target: &Target,
    values: &Values<'_>,
    labels: &[bool],
    violations: &mut Vec<Violation>,
) {
    let Some(PositiveWhen {
        equals: Some(equals), ..
    }) = &target.positive_when
    else {
        return;
    };
    // Without a row of class 1 another message lists the values.
    if !target.negative_values.is_empty() || values.counts.len() <= 2 || !labels.contains(&true) {
        return;
    }
    let positive = canonical_category(equals);
    let others = values.counts.len() - 1;
    let mut message = format!("{others} other values than {:?}", cut(equals, 20));
    if parts.may_quote() {
        message = format!("{message} (rows): {}", values.list(Some(&positive)));
        let spellings = values.spellings_of(&positive);
        if !spellings.is_empty() {
            let spellings: Vec<String> = spellings.iter().map(|text| format!("{text:?}")).collect();
            let spellings = cut(&spellings.join(", "), 40);
            message = format!(
                "{spellings} differ from {:?} only in case or blanks; {message}",
                cut(equals, 20)
            );
        }
    }
    let remedy = "write one spelling in the source, or list the values of class 0 in target.negativeValues";
    let message = format!("{}; {remedy}", cut(&message, 238 - remedy.len()));
    let rows = labels.iter().filter(|label| !**label).count() as u64;
    violations.push(violation(&target.column, "Target", message, rows, None));
}

fn check_classes(
    parts: &Parts<'_>,
    training: &TrainingSource,
    labels: &[bool],
    violations: &mut Vec<Violation>,
) {
    let target = &training.target;
    let positives = labels.iter().filter(|label| **label).count();
    let folds = usize::try_from(training.validation.folds).unwrap_or(0);
    let rule = positive_when(target);
    for (class, count) in [(1, positives), (0, labels.len() - positives)] {
        if count == 0 {
            let message = format!(
                "every row is of class {}; a row is of class 1 if {}, and both classes are needed{}",
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
}

/// The different values of a column with their rows, the commonest first; empty if there are too many.
pub(super) fn count_values(parts: &Parts<'_>, column: &str) -> Vec<(String, u64)> {
    let mut values = Values::default();
    let cells = parts.cells(column);
    for (place, cell) in &cells {
        if let Some(cell) = cell {
            values.add(parts.notation(place.0).category(cell));
        }
    }
    if values.more {
        return Vec::new();
    }
    let mut counts: Vec<(String, u64)> = values
        .counts
        .into_iter()
        .map(|(value, count)| (value.into_owned(), count))
        .collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

/// The class that a cell of the target has, `None` if it cannot be read.
pub fn class_of(target: &Target, cell: &str, notation: Notation) -> Option<bool> {
    Rule::of(target).class(cell, notation)
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

/// The values of a column, if they may be quoted and are few.
fn list_values(parts: &Parts<'_>, column: &str) -> String {
    let values: BTreeSet<&str> = parts
        .cells(column)
        .into_iter()
        .filter_map(|(_, cell)| cell)
        .collect();
    if !parts.may_quote() || values.is_empty() || values.len() > MAX_LISTED {
        return String::new();
    }
    let quoted: Vec<_> = values
        .iter()
        .map(|value| format!("{:?}", cut(value, if values.len() > 3 { 16 } else { 32 })))
        .collect();
    format!("; the column's values are {}", quoted.join(", "))
}

/// How a cell of the target is read as a class.
enum Rule<'t> {
    GreaterThan(f64),
    Equals {
        positive: Cow<'t, str>,
        /// The values of class 0; every other one if this is empty.
        negative: Vec<Cow<'t, str>>,
    },
    ZeroOrOne,
}

// === impl Rule ===

impl<'t> Rule<'t> {
    fn of(target: &'t Target) -> Self {
        match &target.positive_when {
            Some(PositiveWhen {
                greater_than: Some(bound),
                ..
            }) => Self::GreaterThan(bound.to_f64()),
            Some(PositiveWhen {
                equals: Some(text), ..
            }) => Self::Equals {
                positive: canonical_category(text),
                negative: target
                    .negative_values
                    .iter()
                    .map(|text| canonical_category(text))
                    .collect(),
            },
            _ => Self::ZeroOrOne,
        }
    }

    /// The class of a cell, `None` if it cannot be read.
    fn class(&self, cell: &str, notation: Notation) -> Option<bool> {
        match self {
            Self::GreaterThan(bound) => notation.number(cell).map(|number| number > *bound),
            Self::Equals { positive, negative } => {
                let value = notation.category(cell);
                let is_negative = negative.is_empty() || negative.contains(&value);
                (value == *positive || is_negative).then_some(value == *positive)
            }
            Self::ZeroOrOne => match notation.category(cell).as_ref() {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            },
        }
    }
}
