//! What looks wrong with a table as a whole, or with columns that are not features.

use modelward_wire::MESSAGE_LIMIT;

use crate::data::{
    check::{
        parts::{Part, Parts},
        report::{ColumnWarning, WarningRule},
    },
    header::are_values,
    row_columns::{Groups, RowColumns, TimeFormat, Times},
    violation::cut,
};

/// With fewer rows, groups of one row each may be normal.
const ENOUGH_ROWS: usize = 20;

/// Microseconds in a year. Years, days since 1970 and dates like 20260105 are smaller as seconds, and hardly any data is from 1970.
const YEAR: i64 = 365 * 86_400 * 1_000_000;

/// All of them; they are reported with the target.
pub(super) fn find_table_warnings(parts: &Parts<'_>, columns: &RowColumns) -> Vec<ColumnWarning> {
    let has_wrong_header = |part: &&Part<'_>| {
        part.format.header && !part.table.rows.is_empty() && are_values(&part.table.columns)
    };
    let header = parts.all.iter().find(has_wrong_header).map(|part| {
        let message = "the names of all columns are numbers: if the first line is a row of data, set csv.header: false and name \
                       the columns in csv.columns";
        warning(WarningRule::Header, &parts.in_file(part.name, message), 1)
    });
    let times = columns.times.as_ref().and_then(find_no_times);
    let groups = columns.groups.as_ref().and_then(find_single_rows);
    header.into_iter().chain(times).chain(groups).collect()
}

fn find_no_times(times: &Times) -> Option<ColumnWarning> {
    let is_early = |time: &i64| time.abs() < YEAR;
    let are_early = times.format == TimeFormat::EpochSeconds && times.of_row.iter().all(is_early);
    (are_early && !times.of_row.is_empty()).then(|| {
        let message = format!(
            "validation.timeSplit names {:?}, whose numbers are within a year of 1970 as seconds: is it a column of times? Write seconds \
             since 1970 or dates in the source",
            cut(&times.column, 60)
        );
        warning(WarningRule::NoTimes, &message, times.of_row.len() as u64)
    })
}

fn find_single_rows(groups: &Groups) -> Option<ColumnWarning> {
    let (names, rows) = (groups.names.len(), groups.of_row.len());
    (rows >= ENOUGH_ROWS && names * 10 >= rows * 9).then(|| {
        let message = format!(
            "validation.groupBy names {:?}, which has {names} different values in {rows} rows: nearly every row is its own group, so \
             that groups keep no rows together; name the column of the person or thing, or leave groupBy out",
            cut(&groups.column, 60)
        );
        warning(WarningRule::SingleRows, &message, names as u64)
    })
}

fn warning(rule: WarningRule, message: &str, count: u64) -> ColumnWarning {
    ColumnWarning {
        rule,
        message: cut(message, MESSAGE_LIMIT),
        count,
    }
}
