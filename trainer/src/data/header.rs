//! The names of the columns of a file.

use modelward_crds::{ColumnRename, CsvFormat};
use modelward_model::normalize_name;
use modelward_wire::Violation;

use crate::data::{
    near::did_you_mean,
    violation::{Quote, cut, violation},
};

/// The most columns of a file: a missing line break would make millions.
pub(super) const MAX_COLUMNS: usize = 4096;

/// Maximum length of a name, which is that of a feature in the API.
pub(super) const MAX_NAME: usize = 128;

/// The names with those of `csv.rename`.
pub(super) fn rename_columns(
    mut columns: Vec<String>,
    format: &CsvFormat,
    quote: Quote,
    violations: &mut Vec<Violation>,
) -> Vec<String> {
    let found = columns.clone();
    for ColumnRename { from, position, to } in &format.rename {
        let at = match (position, from) {
            (Some(position), _) => usize::try_from(*position).ok().and_then(|at| at.checked_sub(1)),
            (None, Some(from)) => {
                let from = normalize_name(from.trim());
                found.iter().position(|name| *name == from)
            }
            (None, None) => None,
        };
        if let Some(column) = at.and_then(|at| columns.get_mut(at)) {
            *column = normalize_name(to.trim()).into_owned();
            continue;
        }
        let message = match (position, from) {
            (Some(position), _) => format!(
                "csv.rename names column {position}, and the header has {} columns",
                found.len()
            ),
            (None, from) => {
                let from = from.as_deref().unwrap_or_default();
                let meant = match quote {
                    Quote::Yes => did_you_mean(from, found.iter().map(String::as_str)),
                    Quote::No => String::new(),
                };
                format!(
                    "csv.rename names the column {:?}, which the header does not have{meant}",
                    cut(from, 60)
                )
            }
        };
        violations.push(violation(to, "Header", message, 1, None));
    }
    columns
}

/// The violation of a file that has more columns than are read.
pub(super) fn too_many_columns(columns: usize) -> Option<Violation> {
    (columns > MAX_COLUMNS).then(|| {
        let message = format!("the file has {columns} columns, at most {MAX_COLUMNS} are read");
        violation("", "TooManyColumns", message, 1, None)
    })
}

/// Whether what should be names of columns are numbers: the header looks like the first row of data.
pub(super) fn are_values(columns: &[String]) -> bool {
    let is_value = |name: &String| name.is_empty() || name == "?" || name.parse::<f64>().is_ok();
    columns.iter().any(|name| !name.is_empty()) && columns.iter().all(is_value)
}

/// Checks that each column has a unique name, and the names that the format states.
pub(super) fn check_columns(
    columns: &[String],
    format: &CsvFormat,
    quote: Quote,
    violations: &mut Vec<Violation>,
) {
    if let Some(found) = too_many_columns(columns.len()) {
        violations.push(found);
        return;
    }
    let hint = if format.header && are_values(columns) {
        "; if the first row is data, set dataset.csv.header: false and name the columns in dataset.csv.columns"
    } else {
        ""
    };
    for (index, name) in columns.iter().enumerate() {
        if name.is_empty() {
            let place = index + 1;
            let message = format!(
                "column {place} of the header has no name (pandas: write with index=False); name it with csv.rename: \
                 [{{position: {place}, to: row}}], and list row in exclude if it is not a feature"
            );
            violations.push(violation("", "Header", message, 1, None));
        } else if name.chars().count() > MAX_NAME {
            let place = index + 1;
            let shown = match quote {
                Quote::Yes => format!(" ({:?})", cut(name, 40)),
                Quote::No => String::new(),
            };
            let message = format!(
                "the name of column {place}{shown} has {} characters, at most {MAX_NAME} are allowed; give it a shorter one with \
                 csv.rename: [{{position: {place}, to: NAME}}]",
                name.chars().count()
            );
            violations.push(violation("", "Header", message, 1, None));
        } else if name.contains('\0') {
            let place = index + 1;
            let message = format!(
                "the name of column {place} has a zero byte, which is not text; give it another one with csv.rename: \
                 [{{position: {place}, to: NAME}}]"
            );
            violations.push(violation("", "Header", message, 1, None));
        } else if columns[..index].contains(name) {
            let (name, message) = match quote {
                Quote::Yes => (
                    name.as_str(),
                    format!("the header names the column {:?} twice{hint}", cut(name, 40)),
                ),
                Quote::No => (
                    "",
                    format!(
                        "column {} of the header has the name of another one{hint}",
                        index + 1
                    ),
                ),
            };
            violations.push(violation(name, "Header", message, 1, None));
        }
    }
    let declared: Vec<String> = format
        .columns
        .iter()
        .map(|name| normalize_name(name).into_owned())
        .collect();
    if format.header && !declared.is_empty() && declared != columns {
        let at = declared
            .iter()
            .zip(columns)
            .position(|(expected, found)| expected != found);
        let at = at.unwrap_or_else(|| declared.len().min(columns.len()));
        let name = |names: &[String]| {
            names
                .get(at)
                .map_or("nothing".to_owned(), |name| format!("{name:?}"))
        };
        let message = format!(
            "the header differs from csv.columns: column {} is {}, expected {}",
            at + 1,
            match quote {
                Quote::Yes => name(columns),
                Quote::No => "another one".to_owned(),
            },
            name(&declared)
        );
        violations.push(violation("", "Header", message, 1, None));
    }
}
