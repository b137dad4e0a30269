//! `score`: rows are scored with a bundle.

use std::{
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use modelward_crds::CsvFormat;
use modelward_model::{Bundle, Cell, FeatureSchema, Row, Warning, normalize_name};
use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    command::arguments::ScoreArgs,
    data::{
        file,
        near::did_you_mean,
        number::{FileCell, Notation, read_cell},
        rows::RowCells,
        source,
        table::{self, Parsed},
        violation::sentence,
    },
    spec,
};

/// One line of `score`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Scored {
        class: u8,
        probability: f64,
        warnings: Vec<String>,
    },
    Refused {
        errors: Vec<String>,
    },
}

pub(super) fn score_rows(args: &ScoreArgs) -> anyhow::Result<ExitCode> {
    let bundle = match &args.digest {
        Some(digest) => Bundle::open(&args.bundle, digest),
        None => Bundle::open_any(&args.bundle),
    }
    .with_context(|| format!("cannot open the bundle {}", args.bundle.display()))?;
    bundle.verify_warm_up()?;
    let lines = match (&args.rows, &args.csv) {
        (Some(rows), _) => score_json(&bundle, rows)?,
        (None, Some(csv)) => score_csv(&bundle, csv, args.spec.as_deref(), args.size.bytes())?,
        (None, None) => bail!("one of --rows and --csv is needed"),
    };
    let refused = lines.iter().any(|line| matches!(line, Line::Refused { .. }));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = lines.iter().try_for_each(|line| {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")
    });
    match written.and_then(|()| out.flush()) {
        // The reader has closed the output.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("cannot write to the standard output")?,
    }
    Ok(if refused {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

fn score_json(bundle: &Bundle, rows: &str) -> anyhow::Result<Vec<Line>> {
    let text = if rows == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the standard input")?;
        text
    } else {
        std::fs::read_to_string(rows).with_context(|| format!("cannot read {rows}"))?
    };
    let rows = match read_json(&text)? {
        Json::Array(rows) => rows,
        one => vec![one],
    };
    let read = |row: &Json| match row {
        Json::Object(object) => match bundle.schema().read_json(object) {
            Ok((row, warnings)) => line(bundle, &row, &warnings),
            Err(errors) => Line::Refused {
                errors: errors
                    .iter()
                    .map(|error| bundle.schema().describe_error(error))
                    .collect(),
            },
        },
        _ => Line::Refused {
            errors: vec!["a row must be an object of named features".to_owned()],
        },
    };
    Ok(rows.iter().map(read).collect())
}

/// Parses JSON. A number out of the range of doubles is valid JSON, but no row of a model can have it.
fn read_json(text: &str) -> anyhow::Result<Json> {
    serde_json::from_str(text).map_err(|error| {
        // serde_json has no separate category for it, and does not compute a number that is ignored.
        if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
            let (line, column) = (error.line(), error.column());
            anyhow!("a number is out of range at line {line} column {column}: write one of at most 1.8e308")
        } else {
            anyhow!("the rows are not valid JSON: {error}")
        }
    })
}

fn score_csv(bundle: &Bundle, path: &Path, spec: Option<&Path>, limit: u64) -> anyhow::Result<Vec<Line>> {
    let format = match spec {
        Some(spec) => spec::read(spec)?.training.dataset.csv,
        None => CsvFormat::default(),
    };
    let content = source::open_file_within(path, limit)?;
    let read = file::read_content(&content, &format, table::Quote::Yes, limit);
    let Parsed {
        table, violations, ..
    } = read.with_context(|| format!("cannot read {}", path.display()))?;
    if let Some(found) = violations.first() {
        // Without columns it is not a table, and no format helps.
        let hint = if !table.columns.is_empty() && spec.is_none() {
            "; fields of csv are in the dataset of a ModelVersion, which --spec names"
        } else {
            ""
        };
        bail!("{}: {}{hint}", path.display(), sentence(found));
    }
    ensure!(!table.columns.is_empty(), "{}: the file is empty", path.display());
    let schema = bundle.schema();
    let places = find_columns(schema, &table.columns).with_context(|| path.display().to_string())?;
    ensure!(
        !table.rows.is_empty(),
        "{}: the file has a header and no rows",
        path.display()
    );
    let notation = Notation::of(&format);
    let missing = notation.missing(&format.missing);
    let score = |row: RowCells<'_>| {
        let found: Vec<FileCell<'_>> = schema
            .features
            .iter()
            .zip(&places)
            .map(|(feature, place)| {
                let text = row.get(*place).unwrap_or_default();
                read_cell(&feature.kind, text, notation, &missing)
            })
            .collect();
        let cells: Vec<Cell<'_>> = found.iter().map(FileCell::as_cell).collect();
        match schema.read_cells(&cells) {
            Ok((row, warnings)) => line(bundle, &row, &warnings),
            Err(errors) => Line::Refused {
                errors: errors
                    .iter()
                    .map(|error| format!("row {}: {error}", row.number()))
                    .collect(),
            },
        }
    };
    Ok(table.rows.iter().map(score).collect())
}

/// The index of each feature's column. All must exist: a misspelled name would be a feature that is missing in every row.
fn find_columns(schema: &FeatureSchema, columns: &[String]) -> anyhow::Result<Vec<usize>> {
    let place = |name: &str| {
        let name = normalize_name(name);
        columns.iter().position(|column| *column == name)
    };
    let absent: Vec<&str> = schema.names().filter(|name| place(name).is_none()).collect();
    if let [first, others @ ..] = absent.as_slice() {
        let more = match others.len() {
            0 => String::new(),
            1 => " nor one of 1 more feature".to_owned(),
            count => format!(" nor those of {count} more features"),
        };
        let is_feature = |column: &&str| schema.names().any(|name| normalize_name(name) == *column);
        let others = columns
            .iter()
            .map(String::as_str)
            .filter(|column| !is_feature(column));
        bail!(
            "the file has no column {first:?}{more} (the model takes {}); a feature that is missing in every row needs a column of empty cells{}",
            schema.list_names(),
            did_you_mean(first, others)
        );
    }
    Ok(schema.names().filter_map(place).collect())
}

fn line(bundle: &Bundle, row: &Row, warnings: &[Warning]) -> Line {
    let probability = bundle.score(row);
    let class = u8::from(probability >= bundle.threshold());
    Line::Scored {
        class,
        probability,
        warnings: warnings
            .iter()
            .map(|warning| bundle.schema().describe_warning(warning))
            .collect(),
    }
}
