//! What a training with the draft would say about the data.

use std::io;

use crate::{
    command::inspect::{
        draft::{ClassOne, class_one, write_draft},
        report::Inspection,
    },
    data::{
        check::{self, ColumnReport, ColumnWarning, Part, WarningRule},
        table::{Quote, Table},
        violation::violation,
    },
    spec,
};

/// Checks the table with the draft as a training does, and adds what the training refuses and what the draft guesses. Says nothing
/// about a target if no column is the target.
pub(super) fn check_draft(inspection: &mut Inspection, table: &Table) -> io::Result<()> {
    let mut draft = Vec::new();
    write_draft(&mut draft, inspection)?;
    let training = match spec::parse(&String::from_utf8_lossy(&draft)) {
        Ok(version) => version.training,
        Err(error) => {
            let message = format!("the draft is not a valid spec: {error}");
            inspection.draft_refusals = vec![violation("", "Draft", message, 1, None)];
            return Ok(());
        }
    };
    let part = Part {
        name: "",
        table,
        format: &training.dataset.csv,
        quote: Quote::Yes,
    };
    match check::check(&[part], &training, &[]) {
        Ok(checked) => add_warnings(inspection, checked.columns),
        Err(mut violations) => {
            if inspection.target.is_none() {
                violations.retain(|found| found.column != training.target.column);
            }
            inspection.draft_refusals = violations;
        }
    }
    Ok(())
}

/// Adds what is known only if all columns could be read. The target's report is the last one.
fn add_warnings(inspection: &mut Inspection, mut reports: Vec<ColumnReport>) {
    let Some(target) = &mut inspection.target else {
        return;
    };
    let report = reports.pop();
    for report in reports {
        let Some(column) = inspection
            .columns
            .iter_mut()
            .find(|column| column.report.name == report.name)
        else {
            continue;
        };
        let leaks = report.warnings.into_iter();
        column
            .report
            .warnings
            .extend(leaks.filter(|warning| warning.rule == WarningRule::Leak));
    }
    let Some(report) = report else { return };
    if matches!(class_one(&target.values), ClassOne::Positive) {
        let of_class = report.values.iter().filter(|value| value.class == 1);
        let rows: u64 = of_class.map(|value| value.rows).sum();
        target.warnings.push(ColumnWarning {
            rule: WarningRule::ClassOne,
            message: format!(
                "has {} different numbers, and the draft makes those above 0 class 1 ({rows} rows): decide target.positiveWhen",
                target.values.len()
            ),
            count: rows,
        });
    }
    let rows = report.warnings.into_iter();
    target
        .warnings
        .extend(rows.filter(|warning| warning.rule != WarningRule::Header));
}
