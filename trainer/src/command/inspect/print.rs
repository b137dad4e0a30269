//! The report for people: an aligned table.

use std::io::{self, Write};

use crate::{
    command::inspect::report::{FileFormat, Inspection},
    data::{
        check::{ColumnWarning, Inspected, WarningRule},
        violation::{cut, sentence, visible},
    },
};

/// Characters of a name and of the examples.
const MAX_NAME: usize = 40;
const MAX_EXAMPLES: usize = 60;

pub(super) fn write_table(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    write_head(out, inspection)?;
    write_columns(out, inspection)?;
    write_target(out, inspection)?;
    if !inspection.draft_refusals.is_empty() {
        writeln!(out, "\na training with the draft refuses the data:")?;
    }
    for refusal in &inspection.draft_refusals {
        writeln!(out, "    {}, {}", refusal.rule, visible(&sentence(refusal)))?;
    }
    Ok(())
}

fn write_head(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let Inspection {
        file,
        rows,
        column_count,
        format,
        csv,
        refusals,
        warnings,
        ..
    } = inspection;
    write!(
        out,
        "{}: {}, {}",
        visible(file),
        count(*rows, "row"),
        count(*column_count, "column")
    )?;
    match format {
        FileFormat::Csv => write!(
            out,
            ", csv.delimiter: {:?}, csv.decimal: {:?}",
            csv.delimiter, csv.decimal
        )?,
        FileFormat::Parquet => write!(out, ", Parquet")?,
    }
    if let Some(thousands) = &csv.thousands {
        write!(out, ", csv.thousands: {thousands:?}")?;
    }
    writeln!(out)?;
    for refusal in refusals {
        writeln!(out, "refused, {}: {}", refusal.rule, visible(&sentence(refusal)))?;
    }
    for warning in warnings {
        // The message names a field of a spec.
        let option = match warning.rule {
            WarningRule::Header => "; here: --columns NAME,NAME,…",
            _ => "",
        };
        writeln!(
            out,
            "warning, {}: {}{option}",
            warning.rule,
            visible(&warning.message)
        )?;
    }
    writeln!(out)
}

fn write_columns(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let Inspection { columns, target, .. } = inspection;
    let names: Vec<String> = columns
        .iter()
        .map(|column| cut(&visible(&column.report.name), MAX_NAME))
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
    Ok(())
}

fn write_target(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let Some(target) = &inspection.target else {
        return writeln!(out, "\ntarget: no column has two values; name one with --target");
    };
    let how = if target.named {
        "as named"
    } else {
        "guessed, name another one with --target"
    };
    writeln!(out, "\ntarget: {} ({how})", visible(&target.column))?;
    for (value, rows) in target.values.iter().take(10) {
        writeln!(out, "  {:?}: {}", cut(value, MAX_NAME), count(*rows, "row"))?;
    }
    write_warnings(out, &target.warnings)
}

fn write_remarks(out: &mut impl Write, column: &Inspected) -> io::Result<()> {
    for refusal in &column.refusals {
        writeln!(
            out,
            "    refused, {}: {}",
            refusal.rule,
            visible(&refusal.message)
        )?;
    }
    write_warnings(out, &column.report.warnings)
}

fn write_warnings(out: &mut impl Write, warnings: &[ColumnWarning]) -> io::Result<()> {
    for warning in warnings {
        writeln!(
            out,
            "    warning, {}: {}",
            warning.rule,
            visible(&warning.message)
        )?;
    }
    Ok(())
}

fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

fn show(examples: &[String]) -> String {
    let plain = |text: &String| {
        if text.contains(',') || visible(text) != *text {
            format!("{text:?}")
        } else {
            text.clone()
        }
    };
    examples.iter().map(plain).collect::<Vec<_>>().join(", ")
}
