//! Columns that are neither features nor the target.

use modelward_crds::TrainingSource;
use modelward_wire::Violation;

use crate::data::{
    check::{broken::Broken, parts::Parts},
    row_columns::{Groups, RowColumns},
};

/// The values of these columns. Each row must have one.
pub(super) fn check_row_columns(
    parts: &Parts<'_>,
    training: &TrainingSource,
    violations: &mut Vec<Violation>,
) -> RowColumns {
    let groups = training.validation.group_by.as_ref();
    RowColumns {
        groups: groups.map(|column| read_groups(parts, column, violations)),
    }
}

fn read_groups(parts: &Parts<'_>, column: &str, violations: &mut Vec<Violation>) -> Groups {
    let cells = parts.cells(column);
    let mut absent = Broken::default();
    for (place, _) in cells.iter().filter(|(_, cell)| cell.is_none()) {
        absent.add(*place, "");
    }
    absent.push(violations, parts, column, "Group", |_, count| {
        let rows = if count == 1 { "row has" } else { "rows have" };
        format!("{count} {rows} no value in the column of validation.groupBy; give each its group, or remove them from the source")
    });
    let present = cells
        .iter()
        .filter_map(|(place, cell)| cell.map(|cell| parts.notation(place.0).category(cell)));
    Groups::of_values(column, present)
}
