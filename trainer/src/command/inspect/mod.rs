//! `inspect`: a CSV file is read without a spec, and what is in it is shown.

mod check_draft;
mod draft;
mod format;
mod print;
mod report;

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use modelward_crds::{ColumnRename, CsvFormat};
use modelward_model::{files::write_file, normalize_name};
use modelward_wire::Violation;

use crate::{
    command::{
        arguments::InspectArgs,
        inspect::{
            check_draft::check_draft,
            draft::write_draft,
            format::{guess_delimiter, guess_notation},
            print::write_table,
            report::{FileFormat, Inspection, TargetGuess},
        },
    },
    data::{
        check::{self, Inspected, Part},
        file,
        near::did_you_mean,
        parquet::is_parquet,
        source,
        table::{Quote, Table},
    },
};

pub(super) fn inspect_file(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let bytes = source::read_file_within(&args.file, args.size.bytes())?;
    let inspection = inspect(&bytes, args)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let draft = args.spec_out.as_deref();
    let written = if draft == Some("-") {
        write_draft(&mut out, &inspection)
    } else if args.json {
        serde_json::to_writer_pretty(&mut out, &inspection).map_err(io::Error::from)
    } else {
        write_table(&mut out, &inspection)
    };
    match written
        .and_then(|()| out.write_all(if args.json { b"\n" } else { b"" }))
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("cannot write to the standard output")?,
    }
    if let Some(path) = draft.filter(|path| *path != "-") {
        let mut draft = Vec::new();
        write_draft(&mut draft, &inspection)?;
        write_file(Path::new(path), &draft).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(if is_refused(&inspection) {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

/// Whether a column or the file is refused as it is, or with the draft.
fn is_refused(inspection: &Inspection) -> bool {
    let target = inspection.target.as_ref().map(|target| target.column.as_str());
    let column = inspection
        .columns
        .iter()
        .any(|column| !column.refusals.is_empty() && Some(column.report.name.as_str()) != target);
    column || !inspection.refusals.is_empty() || !inspection.draft_refusals.is_empty()
}

fn inspect(bytes: &[u8], args: &InspectArgs) -> anyhow::Result<Inspection> {
    let mut csv = CsvFormat {
        header: args.columns.is_empty(),
        columns: args.columns.clone(),
        missing: args.missing.clone(),
        ..CsvFormat::default()
    };
    csv.delimiter = match &args.delimiter {
        Some(delimiter) => delimiter.clone(),
        None if is_parquet(bytes) => csv.delimiter,
        None => guess_delimiter(bytes),
    };
    let (table, refusals) = read(bytes, &csv, args)?;
    let (decimal, thousands) = guess_notation(&table);
    csv.decimal = args.decimal.clone().unwrap_or(decimal);
    csv.thousands = args.thousands.clone().or(thousands);
    ensure!(
        csv.thousands.as_deref() != Some(csv.decimal.as_str()),
        "--thousands and --decimal must be different characters"
    );
    csv.rename = rename(&table.columns);
    let (table, _) = read(bytes, &csv, args)?;
    let part = Part {
        name: "",
        table: &table,
        format: &csv,
        quote: Quote::Yes,
    };
    let columns = check::inspect(part);
    let target = choose_target(args.target.as_deref(), &table, &columns, |name| {
        check::count_values(part, name)
    })?;
    let mut inspection = Inspection {
        file: args.file.display().to_string(),
        rows: table.rows.len() as u64,
        column_count: table.columns.len() as u64,
        format: if is_parquet(bytes) {
            FileFormat::Parquet
        } else {
            FileFormat::Csv
        },
        refusals,
        warnings: check::inspect_table(part),
        columns,
        target,
        draft_refusals: Vec::new(),
        csv: csv.clone(),
    };
    check_draft(&mut inspection, &table)?;
    Ok(inspection)
}

/// The table, or why these bytes are not a table.
fn read(bytes: &[u8], csv: &CsvFormat, args: &InspectArgs) -> anyhow::Result<(Table, Vec<Violation>)> {
    let (table, violations) = file::read_within(bytes, csv, Quote::Yes, args.size.bytes());
    if table.columns.is_empty() {
        let why = violations
            .first()
            .map_or("the file is empty", |violation| violation.message.as_str());
        bail!("{}: {why}", args.file.display());
    }
    Ok((table, violations))
}

/// New names for columns that have none or one that is too long.
fn rename(columns: &[String]) -> Vec<ColumnRename> {
    let odd = columns
        .iter()
        .enumerate()
        .filter(|(_, name)| name.is_empty() || name.chars().count() > 128);
    odd.filter_map(|(at, _)| {
        Some(ColumnRename {
            from: None,
            position: Some(i32::try_from(at + 1).ok()?),
            to: format!("column_{}", at + 1),
        })
    })
    .take(64)
    .collect()
}

/// The column that is named, or the last one with two values.
fn choose_target(
    named: Option<&str>,
    table: &Table,
    columns: &[Inspected],
    values: impl Fn(&str) -> Vec<(String, u64)>,
) -> anyhow::Result<Option<TargetGuess>> {
    if let Some(name) = named {
        let name = normalize_name(name);
        ensure!(
            table.columns.iter().any(|column| *column == name),
            "the file has no column {name:?}{}; it has {}",
            did_you_mean(&name, table.columns.iter().map(String::as_str)),
            table.columns.join(", ")
        );
        return Ok(Some(TargetGuess {
            column: name.clone().into_owned(),
            named: true,
            values: values(&name),
            warnings: Vec::new(),
        }));
    }
    let two = |column: &&Inspected| {
        column.report.distinct == 2 && column.report.missing == 0 && column.refusals.is_empty()
    };
    let name = columns
        .iter()
        .rev()
        .find(two)
        .map(|column| column.report.name.clone());
    Ok(name.map(|column| TargetGuess {
        named: false,
        values: values(&column),
        warnings: Vec::new(),
        column,
    }))
}

#[cfg(test)]
mod tests;
