//! The columns that the spec names, and those that each file has.

use modelward_crds::TrainingSource;
use modelward_wire::Violation;

use crate::data::{
    check::parts::{MAX_NAME, Parts},
    near::did_you_mean,
    number::number,
    violation::{UNKNOWN_COLUMN, cut, violation},
};

/// Checks that the data has every column that the spec names, and that every part has the same.
pub(super) fn check_names(
    parts: &Parts<'_>,
    training: &TrainingSource,
    tolerances: &[String],
    violations: &mut Vec<Violation>,
) {
    // Without any column a file is empty or unreadable: a list of absent names would not help.
    if parts.all.iter().any(|part| part.table.columns.is_empty()) {
        return;
    }
    check_named_columns(parts, training, tolerances, violations);
    if !parts.are_foreign(training) {
        check_same_columns(parts, training, violations);
    }
}

/// Every column that the spec names and the data does not have.
fn check_named_columns(
    parts: &Parts<'_>,
    training: &TrainingSource,
    tolerances: &[String],
    violations: &mut Vec<Violation>,
) {
    let first = parts.columns();
    let features = training.features.iter();
    let named = std::iter::once((&training.target.column, "target"))
        .chain(features.map(|feature| (&feature.name, "features")))
        .chain(training.row_columns().map(|(field, name)| (name, field)));
    let absent = named.filter(|(name, _)| !first.contains(name));
    let anywhere = |name: &String| parts.all.iter().any(|part| part.table.columns.contains(name));
    let excluded = training.exclude.iter().map(|name| (name, "exclude"));
    let is_feature = |name: &&String| first.contains(name) && training.is_feature(name);
    let tolerated = tolerances
        .iter()
        .filter(|name| !is_feature(name))
        .map(|name| (name, "monitoring.tolerances"));
    let is_foreign = parts.are_foreign(training);
    let looks_like_values = first.iter().filter(|name| number(name).is_some()).count() * 2 > first.len();
    for (name, place) in absent
        .chain(excluded.filter(|(name, _)| !anywhere(name)))
        .chain(tolerated)
    {
        let (meant, known) = if is_foreign {
            (String::new(), format!("The data has {} columns", first.len()))
        } else {
            let meant = did_you_mean(name, first.iter().map(String::as_str));
            (
                meant,
                format!("Columns of the data: {}", cut(&first.join(", "), 120)),
            )
        };
        let (what, owner) = if place == "monitoring.tolerances" {
            ("feature", "model")
        } else {
            ("column", "data")
        };
        let absent = format!(
            "{place} names the {what} {:?}, which the {owner} does not have",
            cut(name, 60)
        );
        let message = if place == "target" && looks_like_values {
            format!(
                "{absent}; the first line looks like values, not names: set csv.header: false and name the columns in \
                 csv.columns"
            )
        } else {
            let end = if meant.is_empty() { "." } else { "" };
            format!("{absent}{meant}{end} {known}")
        };
        violations.push(violation(name, UNKNOWN_COLUMN, message, 1, None));
    }
}

/// Every column that a part has and the first one lacks, or the other way round.
fn check_same_columns(parts: &Parts<'_>, training: &TrainingSource, violations: &mut Vec<Violation>) {
    let first = parts.columns();
    for part in parts.all.iter().skip(1) {
        let columns = &part.table.columns;
        let has_role = |name: &String| training.row_columns().any(|(_, column)| column == name);
        let wanted = |name: &&String| !training.exclude.contains(name) || has_role(name);
        let (first_name, name) = (cut(parts.name(0), MAX_NAME), cut(part.name, MAX_NAME));
        for absent in first.iter().filter(wanted).filter(|name| !columns.contains(name)) {
            let message = format!("{name} lacks this column, which {first_name} has");
            violations.push(violation(absent, "Columns", message, 1, None));
        }
        for more in columns.iter().filter(wanted).filter(|name| !first.contains(name)) {
            let message = format!("{name} has this column, which {first_name} lacks; exclude it");
            violations.push(violation(more, "Columns", message, 1, None));
        }
    }
}
