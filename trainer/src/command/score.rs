//! `score`: rows are scored with a bundle.

use std::{
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use modelward_crds::CsvFormat;
use modelward_model::{Bundle, Cell, Missing, Row, Warning, normalize_name};
use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    command::arguments::ScoreArgs,
    data::{
        file,
        number::{Notation, read_cell},
        rows::RowCells,
        source,
        table::{self, Parsed},
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
        // The reader of the output has seen enough.
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

/// A number that no double holds is valid JSON, and no row of a model.
fn read_json(text: &str) -> anyhow::Result<Json> {
    serde_json::from_str(text).map_err(|error| {
        // serde_json has no category of its own for it, and does not compute a number that is ignored.
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
    if let Some(violation) = violations.first() {
        bail!("{}: {}", path.display(), violation.message);
    }
    let schema = bundle.schema();
    let places: Vec<Option<usize>> = schema
        .names()
        .map(normalize_name)
        .map(|name| table.columns.iter().position(|column| *column == name))
        .collect();
    ensure!(
        places.iter().any(Option::is_some),
        "{} has no column of a feature; the model takes {}",
        path.display(),
        schema.names().collect::<Vec<_>>().join(", ")
    );
    let (notation, missing) = (Notation::of(&format), Missing::new(&format.missing));
    let score = |row: RowCells<'_>| {
        let cells: Vec<Cell<'_>> = schema
            .features
            .iter()
            .zip(&places)
            .map(|(feature, place)| {
                let text = place.and_then(|place| row.get(place)).unwrap_or_default();
                read_cell(&feature.kind, text, notation, &missing)
            })
            .collect();
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
