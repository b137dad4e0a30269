//! A `ModelVersion` to start from. It is valid as it is; comments say what to decide.

use std::io::{self, Write};

use modelward_model::is_truth;

use crate::{
    command::inspect::report::{FileFormat, Inspection, TargetGuess},
    data::{
        check::{ColumnWarning, Inspected, Refusal, WarningRule},
        violation::{cut, visible},
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
        "# A draft for {}, written by modelward-trainer inspect. Lines with DECIDE need an answer.",
        visible(&inspection.file)
    )?;
    writeln!(
        out,
        "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {{name: {name}-1}}\nspec:\n  model: {name}\n  source:\n    \
         training:\n      dataset:\n        # DECIDE: where the file is: a ConfigMap, a persistentVolumeClaim or a uri.\n        configMap: \
         {{name: {name}, key: {name}.{}}}",
        match inspection.format {
            FileFormat::Csv => "csv",
            FileFormat::Parquet => "parquet",
        }
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
    let is_parquet = inspection.format == FileFormat::Parquet;
    let is_plain = csv.header && csv.decimal == "." && csv.thousands.is_none() && csv.rename.is_empty();
    if is_parquet && is_plain && missing.is_empty() {
        return Ok(());
    }
    writeln!(out, "        csv:")?;
    if !is_parquet {
        writeln!(out, "          delimiter: {}", quoted(&csv.delimiter))?;
    }
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
    match class_one(values) {
        ClassOne::Unknown => writeln!(
            out,
            "        # DECIDE: when a row is of class 1; without positiveWhen the column must hold 0 and 1.\n        # positiveWhen: \
             {{equals: \"yes\"}}"
        ),
        ClassOne::Stated => Ok(()),
        ClassOne::Above => writeln!(
            out,
            "        # DECIDE: above which number a row is of class 1; without positiveWhen the column must hold 0 and 1.\n        # \
             positiveWhen: {{greaterThan: \"NUMBER\"}}"
        ),
        ClassOne::Positive => writeln!(
            out,
            "        # DECIDE: above which number a row is of class 1.\n        positiveWhen: {{greaterThan: \"0\"}}"
        ),
        ClassOne::Equals(positive) => {
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
                "        # DECIDE: whether each of these is class 0. Correct other spellings of one value in the source.\n        \
                 negativeValues: [{}]",
                negative.join(", ")
            )
        }
    }
}

/// The most distinct numbers of a target that may be grades with 0 for "none", such as of a disease.
const MAX_GRADES: usize = 10;

/// Which rows the draft makes class 1.
pub(super) enum ClassOne<'a> {
    /// The values are not known, or there are too many.
    Unknown,
    /// The column holds 0 and 1.
    Stated,
    /// Those above a number that only the user knows.
    Above,
    /// Those above 0.
    Positive,
    /// Those with this value.
    Equals(&'a str),
}

/// Which rows of a target with these values, the commonest first, the draft makes class 1.
pub(super) fn class_one(values: &[(String, u64)]) -> ClassOne<'_> {
    let words = || values.iter().map(|(value, _)| value.as_str());
    let numbers: Option<Vec<f64>> = words().map(crate::data::number::number).collect();
    let is_grade = |number: &f64| *number >= 0.0 && number.fract() == 0.0;
    match (values, numbers) {
        ([], _) => ClassOne::Unknown,
        _ if words().all(|value| value == "0" || value == "1") => ClassOne::Stated,
        ([_, _, _, ..], Some(numbers)) => {
            let are_grades =
                numbers.len() <= MAX_GRADES && numbers.contains(&0.0) && numbers.iter().all(is_grade);
            if are_grades {
                ClassOne::Positive
            } else {
                ClassOne::Above
            }
        }
        // True, or the rarest value, which is usually the one to predict.
        ([.., (rarest, _)], _) => {
            let is_true = |value: &&str| value.eq_ignore_ascii_case("true");
            let positive = words().find(is_true).filter(|_| words().all(is_truth));
            ClassOne::Equals(positive.unwrap_or(rarest))
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
        let name = visible(&column.report.name);
        for warning in &column.report.warnings {
            writeln!(out, "      # {name}: {}", visible(&warning.message))?;
        }
        if let Fate::Mixed(why) = fate {
            writeln!(out, "      # DECIDE, {name}: {}", visible(why))?;
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
        writeln!(out, "        # {}", visible(why))?;
        writeln!(out, "        - {}", quoted(&column.report.name))?;
    }
    Ok(())
}

fn fate<'a>(column: &'a Inspected, missing: &[String]) -> Fate<'a> {
    let Some(refused) = column.refusals.first() else {
        let useless = |warning: &&ColumnWarning| match warning.rule {
            WarningRule::RowNumber | WarningRule::Constant => true,
            // All values are equal as 32-bit floats: the count is one less than the distinct values.
            WarningRule::FallTogether => warning.count + 1 == column.report.distinct,
            _ => false,
        };
        let warning = column.report.warnings.iter().find(useless);
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

/// The texts in `csv.missing`, and words among numbers that usually mean "missing".
fn missing_texts(inspection: &Inspection) -> Vec<String> {
    let mut texts = inspection.csv.missing.clone();
    for word in inspection.columns.iter().flat_map(|column| &column.missing_words) {
        if !texts.contains(word) && texts.len() < MAX_MISSING {
            texts.push(word.clone());
        }
    }
    texts
}

/// A name that Kubernetes accepts, from that of the file.
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

/// A text as a YAML scalar, for any content: JSON is YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
