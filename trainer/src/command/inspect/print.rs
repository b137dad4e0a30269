//! The report for people: an aligned table.

use std::io::{self, Write};

use crate::{
    command::inspect::report::Inspection,
    data::{check::Inspected, violation::cut},
};

/// Characters of a name and of the examples.
const MAX_NAME: usize = 40;
const MAX_EXAMPLES: usize = 60;

pub(super) fn write_table(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let Inspection {
        file,
        rows,
        csv,
        refusals,
        columns,
        target,
    } = inspection;
    write!(out, "{file}: {rows} rows, {} columns", columns.len())?;
    write!(
        out,
        ", csv.delimiter: {:?}, csv.decimal: {:?}",
        csv.delimiter, csv.decimal
    )?;
    if let Some(thousands) = &csv.thousands {
        write!(out, ", csv.thousands: {thousands:?}")?;
    }
    writeln!(out)?;
    for refusal in refusals {
        writeln!(out, "refused: {}", refusal.message)?;
    }
    writeln!(out)?;
    let names: Vec<String> = columns
        .iter()
        .map(|column| cut(&column.report.name, MAX_NAME))
        .collect();
    let widest = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        .max(6);
    writeln!(
        out,
        "{:widest$}  {:11}  {:>8}  {:>8}  examples",
        "column", "kind", "missing", "distinct"
    )?;
    for (column, name) in columns.iter().zip(&names) {
        let report = &column.report;
        let is_target = target.as_ref().is_some_and(|target| target.column == report.name);
        let kind = match column.refusals.is_empty() {
            _ if is_target => "Target",
            true => report.kind.as_str(),
            false => "refused",
        };
        let examples = cut(&show(&report.examples), MAX_EXAMPLES);
        writeln!(
            out,
            "{name:widest$}  {kind:11}  {:>8}  {:>8}  {examples}",
            report.missing, report.distinct
        )?;
        if !is_target {
            write_remarks(out, column)?;
        }
    }
    match target {
        Some(target) => {
            let how = if target.named {
                "as named"
            } else {
                "guessed, name another one by --target"
            };
            writeln!(out, "\ntarget: {} ({how})", target.column)?;
            for (value, rows) in target.values.iter().take(10) {
                writeln!(out, "  {:?}: {rows} rows", cut(value, MAX_NAME))?;
            }
        }
        None => writeln!(out, "\ntarget: no column has two values; name one by --target")?,
    }
    Ok(())
}

fn write_remarks(out: &mut impl Write, column: &Inspected) -> io::Result<()> {
    for refusal in &column.refusals {
        writeln!(out, "    refused, {}: {}", refusal.rule, refusal.message)?;
    }
    for warning in &column.report.warnings {
        writeln!(out, "    warning, {}: {}", warning.rule, warning.message)?;
    }
    Ok(())
}

fn show(examples: &[String]) -> String {
    let plain = |text: &String| {
        if text.chars().any(|letter| letter.is_control() || letter == ',') {
            format!("{text:?}")
        } else {
            text.clone()
        }
    };
    examples.iter().map(plain).collect::<Vec<_>>().join(", ")
}
