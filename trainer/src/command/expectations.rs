//! `validate`: expectations are evaluated on files. `suggest`: expectations are derived from a file.

use std::{io::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, bail, ensure};
use modelward_crds::Dataset;
use modelward_model::files::write_file;
use modelward_wire::Violation;

use crate::{
    command::arguments::{SuggestArgs, ValidateArgs},
    data::{
        check::Part,
        expectations::{evaluate_all, suggest, yaml},
        file,
        input::{Place, inputs},
        reach::Reach,
        source,
        table::{Parsed, Quote, Table},
        violation::sentence,
    },
    spec,
};

/// The exit code of a command that found invalid data.
const NOT_MET: u8 = 2;

pub(super) fn validate_files(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let training = spec::read(&args.spec)?.training;
    let files = training.datasets().map(|dataset| dataset.files().count());
    let files: usize = files.sum();
    ensure!(
        args.source.len() == files,
        "--source is given {} times, the datasets of the spec have {files} files; name one for each, in their order",
        args.source.len(),
    );
    let mut tables = Vec::new();
    let mut violations = Vec::new();
    for input in inputs(&training, &args.source, &Reach::anywhere())?? {
        let Place::Path(path) = input.place else { continue };
        let (table, found) = read_table(&path, input.dataset, args.size.bytes())?;
        tables.push((path.display().to_string(), table, input.dataset));
        violations.extend(found);
    }
    let mut out = std::io::stdout().lock();
    if !violations.is_empty() {
        print(&mut out, "", &violations)?;
        return Ok(ExitCode::from(NOT_MET));
    }
    let parts: Vec<Part<'_>> = tables
        .iter()
        .map(|(name, table, dataset)| part(name, table, dataset))
        .collect();
    let validation = evaluate_all(&parts, &training)?;
    for (path, content) in [
        (&args.json, &validation.json[..]),
        (&args.html, validation.html.as_bytes()),
    ] {
        if let Some(path) = path {
            write_file(path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    print(&mut out, "", &validation.violations)?;
    print(&mut out, "", &validation.implied)?;
    print(&mut out, "warning: ", &validation.warnings)?;
    writeln!(
        out,
        "{} of {} expectations are met",
        validation.evaluated - validation.failed,
        validation.evaluated
    )?;
    Ok(
        if validation.violations.is_empty() && validation.implied.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NOT_MET)
        },
    )
}

pub(super) fn suggest_expectations(args: &SuggestArgs) -> anyhow::Result<ExitCode> {
    let training = spec::read(&args.spec)?.training;
    let (table, violations) = read_table(&args.source, &training.dataset, args.size.bytes())?;
    if let Some(first) = violations.first() {
        bail!(
            "{} is not the table that the spec describes: {}",
            args.source.display(),
            sentence(first)
        );
    }
    ensure!(
        !table.rows.is_empty(),
        "{} has no rows: no expectations can be derived from it",
        args.source.display()
    );
    let name = args.source.display().to_string();
    let suggested = suggest(&[part(&name, &table, &training.dataset)], &training);
    std::io::stdout().lock().write_all(yaml(&suggested)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn read_table(path: &Path, dataset: &Dataset, limit: u64) -> anyhow::Result<(Table, Vec<Violation>)> {
    let content = source::open_file_within(path, limit)?;
    let read = file::read_content(&content, &dataset.csv, Quote::Yes, limit);
    let Parsed {
        table, violations, ..
    } = read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok((table, violations))
}

fn part<'a>(name: &'a str, table: &'a Table, dataset: &'a Dataset) -> Part<'a> {
    Part {
        name,
        table,
        format: &dataset.csv,
        quote: Quote::Yes,
    }
}

fn print(out: &mut impl std::io::Write, level: &str, violations: &[Violation]) -> std::io::Result<()> {
    for violation in violations {
        let column = if violation.column.is_empty() {
            "the table"
        } else {
            &violation.column
        };
        writeln!(out, "{level}{column}: {}", violation.message)?;
    }
    Ok(())
}
