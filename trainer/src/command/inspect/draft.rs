//! A `ModelVersion` to start from. It is valid as it is; comments say what to decide.

use std::io::{self, Write};

use crate::{
    command::inspect::report::{Inspection, TargetGuess},
    data::{
        check::{Inspected, Refusal, WarningRule},
        violation::cut,
    },
};

/// Texts that `csv.missing` takes.
const MAX_MISSING: usize = 16;

/// What becomes of a column.
enum Fate<'a> {
    Feature,
    /// It is left out, for this reason.
    Excluded(&'a str),
    /// It mixes numbers and words.
    Mixed(&'a str),
}

pub(super) fn write_draft(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let missing = missing_texts(inspection);
    let name = model_name(&inspection.file);
    let guess = inspection.target.as_ref();
    let last = inspection
        .columns
        .last()
        .map_or("target", |column| column.report.name.as_str());
    let target = guess.map_or(last, |target| target.column.as_str());
    writeln!(
        out,
        "# A start for {}, made by modelward-trainer inspect. Lines with DECIDE want an answer.",
        one_line(&inspection.file)
    )?;
    writeln!(
        out,
        "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {{name: {name}-1}}\nspec:\n  model: {name}\n  source:\n    \
         training:\n      dataset:\n        # DECIDE: where the file is: a ConfigMap, a persistentVolumeClaim or a uri.\n        configMap: \
         {{name: {name}, key: {name}.csv}}"
    )?;
    write_format(out, inspection, &missing)?;
    write_target(out, guess, target)?;
    let others = || {
        inspection
            .columns
            .iter()
            .filter(|column| column.report.name != target)
    };
    let fates: Vec<(&Inspected, Fate<'_>)> =
        others().map(|column| (column, fate(column, &missing))).collect();
    write_features(out, &fates)?;
    write_excluded(out, &fates)?;
    writeln!(
        out,
        "      validation: {{folds: 5, repeats: 10, seed: 1}}\n      # DECIDE: gates on metrics, such as gates: [{{metric: RocAuc, atLeast: \
         \"0.75\"}}]\n  serving: {{access: Open}}"
    )
}

fn write_format(out: &mut impl Write, inspection: &Inspection, missing: &[String]) -> io::Result<()> {
    let csv = &inspection.csv;
    writeln!(
        out,
        "        csv:\n          delimiter: {}",
        quoted(&csv.delimiter)
    )?;
    if !csv.header {
        let names: Vec<String> = csv.columns.iter().map(|name| quoted(name)).collect();
        writeln!(
            out,
            "          header: false\n          columns: [{}]",
            names.join(", ")
        )?;
    }
    if csv.decimal != "." {
        writeln!(out, "          decimal: {}", quoted(&csv.decimal))?;
    }
    if let Some(thousands) = &csv.thousands {
        writeln!(out, "          thousands: {}", quoted(thousands))?;
    }
    if !missing.is_empty() {
        let texts: Vec<String> = missing.iter().map(|text| quoted(text)).collect();
        writeln!(
            out,
            "          # DECIDE: whether each of these means \"missing\".\n          missing: [{}]",
            texts.join(", ")
        )?;
    }
    if !csv.rename.is_empty() {
        writeln!(out, "          # DECIDE: better names.\n          rename:")?;
    }
    for rename in &csv.rename {
        let position = rename.position.unwrap_or_default();
        writeln!(
            out,
            "            - {{position: {position}, to: {}}}",
            quoted(&rename.to)
        )?;
    }
    Ok(())
}

fn write_target(out: &mut impl Write, guess: Option<&TargetGuess>, column: &str) -> io::Result<()> {
    writeln!(out, "      target:")?;
    if !guess.is_some_and(|target| target.named) {
        writeln!(out, "        # DECIDE: the column to predict.")?;
    }
    writeln!(out, "        column: {}", quoted(column))?;
    let values = guess.map_or(&[][..], |target| target.values.as_slice());
    let is_number = |(value, _): &(String, u64)| crate::data::number::number(value).is_some();
    let zero_or_one = values.iter().all(|(value, _)| value == "0" || value == "1");
    match values {
        [] => writeln!(
            out,
            "        # DECIDE: when a row is of class 1; without positiveWhen the column must hold 0 and 1.\n        # positiveWhen: \
             {{equals: \"yes\"}}"
        ),
        _ if zero_or_one => Ok(()),
        values if values.len() > 2 && values.iter().all(is_number) => writeln!(
            out,
            "        # DECIDE: from which value on a row is of class 1.\n        positiveWhen: {{greaterThan: \"0\"}}"
        ),
        // The rarer one of two, mostly what is looked for.
        [.., (positive, _)] => {
            let counts: Vec<String> = values
                .iter()
                .take(10)
                .map(|(value, rows)| format!("{} ({rows} rows)", quoted(&cut(value, 40))))
                .collect();
            writeln!(
                out,
                "        # DECIDE: which value is class 1, of {}.\n        positiveWhen: {{equals: {}}}",
                counts.join(", "),
                quoted(positive)
            )?;
            if values.len() <= 2 {
                return Ok(());
            }
            let negative = values.iter().filter(|(value, _)| value != positive);
            let negative: Vec<String> = negative.map(|(value, _)| quoted(value)).collect();
            writeln!(
                out,
                "        # DECIDE: whether each of these is class 0. Other spellings of one value belong corrected in the source.\n        \
                 negativeValues: [{}]",
                negative.join(", ")
            )
        }
    }
}

fn write_features(out: &mut impl Write, fates: &[(&Inspected, Fate<'_>)]) -> io::Result<()> {
    let remarked = |(column, fate): &&(&Inspected, Fate<'_>)| match fate {
        Fate::Feature => !column.report.warnings.is_empty(),
        Fate::Mixed(_) => true,
        Fate::Excluded(_) => false,
    };
    for (column, fate) in fates.iter().filter(remarked) {
        let name = one_line(&column.report.name);
        for warning in &column.report.warnings {
            writeln!(out, "      # {name}: {}", one_line(&warning.message))?;
        }
        if let Fate::Mixed(why) = fate {
            writeln!(out, "      # DECIDE, {name}: {}", one_line(why))?;
        }
    }
    let mixed: Vec<&str> = fates
        .iter()
        .filter(|(_, fate)| matches!(fate, Fate::Mixed(_)))
        .map(|(column, _)| column.report.name.as_str())
        .collect();
    if mixed.is_empty() {
        return writeln!(
            out,
            "      # DECIDE: which columns of numbers are codes, such as features: [{{name: …, kind: Categorical}}]"
        );
    }
    writeln!(out, "      features:")?;
    for name in mixed {
        writeln!(out, "        - {{name: {}, kind: Categorical}}", quoted(name))?;
    }
    Ok(())
}

fn write_excluded(out: &mut impl Write, fates: &[(&Inspected, Fate<'_>)]) -> io::Result<()> {
    let mut first = true;
    for (column, fate) in fates {
        let Fate::Excluded(why) = fate else { continue };
        if std::mem::take(&mut first) {
            writeln!(out, "      exclude:")?;
        }
        writeln!(out, "        # {}", one_line(why))?;
        writeln!(out, "        - {}", quoted(&column.report.name))?;
    }
    Ok(())
}

fn fate<'a>(column: &'a Inspected, missing: &[String]) -> Fate<'a> {
    let Some(refused) = column.refusals.first() else {
        let useless = |rule| matches!(rule, WarningRule::RowNumber | WarningRule::Constant);
        let warning = column
            .report
            .warnings
            .iter()
            .find(|warning| useless(warning.rule));
        return warning.map_or(Fate::Feature, |warning| Fate::Excluded(&warning.message));
    };
    match column.refusal {
        // The words are in csv.missing now.
        Some(Refusal::MissingWords) if column.missing_words.iter().all(|word| missing.contains(word)) => {
            Fate::Feature
        }
        Some(Refusal::Mixed) => Fate::Mixed(&refused.message),
        _ => Fate::Excluded(&refused.message),
    }
}

/// What `csv.missing` says, and words beside numbers that usually mean it.
fn missing_texts(inspection: &Inspection) -> Vec<String> {
    let mut texts = inspection.csv.missing.clone();
    for word in inspection.columns.iter().flat_map(|column| &column.missing_words) {
        if !texts.contains(word) && texts.len() < MAX_MISSING {
            texts.push(word.clone());
        }
    }
    texts
}

/// A name that Kubernetes takes, from that of the file.
fn model_name(file: &str) -> String {
    let stem = std::path::Path::new(file)
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let letters = stem.chars().map(|letter| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9') => letter,
        _ => '-',
    });
    let name: String = letters.take(38).collect();
    match name.trim_matches('-') {
        "" => "model".to_owned(),
        name if name.starts_with(|letter: char| letter.is_ascii_digit()) => format!("m{name}"),
        name => name.to_owned(),
    }
}

/// A text as YAML reads it back, whatever is in it: JSON is YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text within a comment.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}
