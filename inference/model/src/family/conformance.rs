//! Checks of the requirements of every family, for its tests.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::contract::{Family, FamilyError, FamilyFiles, Scorer};
use crate::{
    bundle::file,
    schema::{Feature, FeatureKind, FeatureSchema, Row, Value},
};

/// Rows with mixed values, in addition to those in which one feature has a value.
const MIXED_ROWS: u64 = 64;

/// Evenly spread positions at which a file is cut or a bit is flipped.
const PLACES: usize = 256;

/// Files of a family, by name.
type Files = Vec<(&'static str, Vec<u8>)>;

/// Checks a family with the files of one valid model for `schema`. The error says what is wrong.
///
/// * The files are those that the family names, including the required ones, and no name is one of the common files.
/// * They can be read. The same files give the same scores, within 0 and 1, for every kind of row, also of another schema.
/// * If a file is absent, empty or cut, the error names it.
/// * If a bit is flipped, the error names one of the files, or the model scores within 0 and 1.
/// * If a file has another `format` or `family`, the error names it. One file has both fields.
/// * A schema with one feature less is refused.
pub fn check(
    family: &dyn Family,
    schema: &FeatureSchema,
    files: &[(&'static str, Vec<u8>)],
) -> Result<(), String> {
    let case = Case {
        family,
        schema,
        files,
    };
    case.check_names()?;
    case.check_scores()?;
    case.check_damage()?;
    case.check_statements()?;
    case.check_schema()
}

struct Case<'a> {
    family: &'a dyn Family,
    schema: &'a FeatureSchema,
    files: &'a [(&'static str, Vec<u8>)],
}

// === impl Case ===

impl Case<'_> {
    fn load(&self, files: &Files) -> Result<Arc<dyn Scorer>, FamilyError> {
        self.family
            .load(&FamilyFiles::of_bytes(self.family, files), self.schema)
    }

    /// The files, with other bytes for one of them.
    fn replace_file(&self, name: &str, bytes: Vec<u8>) -> Files {
        let mut files = self.files.to_vec();
        if let Some((_, place)) = files.iter_mut().find(|(of, _)| *of == name) {
            *place = bytes;
        }
        files
    }

    fn expect_refusal(&self, name: &str, files: &Files, what: &str) -> Result<(), String> {
        match self.load(files) {
            Ok(_) => Err(format!("{name} {what} is read")),
            Err(error) if error.file() == Some(name) => Ok(()),
            Err(error) => Err(format!(
                "{name} {what} is refused without its name: {error} ({:?})",
                error.file()
            )),
        }
    }

    fn check_names(&self) -> Result<(), String> {
        let given: Vec<&str> = self.files.iter().map(|(name, _)| *name).collect();
        let named = self.family.files();
        let lacking = self
            .family
            .needed_files()
            .iter()
            .find(|name| !given.contains(name));
        let ordered: Vec<&str> = named
            .iter()
            .copied()
            .filter(|name| given.contains(name))
            .collect();
        if given.is_empty() || given != ordered || lacking.is_some() {
            return Err(format!("the files are {given:?}, the family names {named:?}"));
        }
        match named.iter().find(|name| file::COMMON.contains(name)) {
            Some(name) => Err(format!("every bundle has a file {name}")),
            None => Ok(()),
        }
    }

    fn check_scores(&self) -> Result<(), String> {
        let files = self.files.to_vec();
        let read = || {
            self.load(&files)
                .map_err(|error| format!("the good files are refused: {error}"))
        };
        let (one, other) = (read()?, read()?);
        for row in make_rows(self.schema) {
            let scores = (score_row(&*one, &row)?, score_row(&*other, &row)?);
            if scores.0.to_bits() != scores.1.to_bits() {
                return Err(format!("{row:?} scores {scores:?} with the same files"));
            }
        }
        Ok(())
    }

    fn check_damage(&self) -> Result<(), String> {
        let rows = make_rows(self.schema);
        for (name, bytes) in self.files {
            let mut absent = self.files.to_vec();
            absent.retain(|(of, _)| of != name);
            self.expect_refusal(name, &absent, "that is absent")?;
            // White space at the end of a text has no meaning.
            let length = bytes.trim_ascii_end().len();
            for at in spread_places(length) {
                self.expect_refusal(
                    name,
                    &self.replace_file(name, bytes[..at].to_vec()),
                    &format!("cut at {at}"),
                )?;
            }
            for (index, at) in spread_places(bytes.len()).enumerate() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (index % 8);
                match self.load(&self.replace_file(name, flipped)) {
                    Ok(scorer) => {
                        for row in &rows {
                            score_row(&*scorer, row)
                                .map_err(|error| format!("{name} with a bit flipped at {at}: {error}"))?;
                        }
                    }
                    Err(error) if error.file().is_some_and(|of| self.is_own(of)) => {}
                    Err(error) => {
                        return Err(format!(
                            "{name} with a bit flipped at {at} is refused without a name: {error}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn is_own(&self, name: &str) -> bool {
        self.family.files().contains(&name)
    }

    fn check_statements(&self) -> Result<(), String> {
        let mut both = false;
        for (name, bytes) in self.files {
            let Ok(Json::Object(content)) = serde_json::from_slice(bytes) else {
                continue;
            };
            let stated = |key: &str| content.contains_key(key);
            both |= stated("format") && stated("family");
            for (key, other) in [("format", json!(u32::MAX)), ("family", json!("another"))] {
                if stated(key) {
                    let mut content = content.clone();
                    content.insert(key.to_owned(), other);
                    let bytes = Json::Object(content).to_string().into_bytes();
                    self.expect_refusal(
                        name,
                        &self.replace_file(name, bytes),
                        &format!("of another {key}"),
                    )?;
                }
            }
        }
        if both {
            Ok(())
        } else {
            Err("no file is a JSON object with `format` and `family`".to_owned())
        }
    }

    fn check_schema(&self) -> Result<(), String> {
        let mut schema = self.schema.clone();
        schema.features.pop();
        let files = self.files.to_vec();
        let read = self
            .family
            .load(&FamilyFiles::of_bytes(self.family, &files), &schema);
        if read.is_ok() {
            return Err("the files are read with a schema that has one feature less".to_owned());
        }
        Ok(())
    }
}

fn score_row(scorer: &dyn Scorer, row: &Row) -> Result<f64, String> {
    let score = scorer.score(row);
    if (0.0..=1.0).contains(&score) {
        Ok(score)
    } else {
        Err(format!("{row:?} scores {score:e}"))
    }
}

/// At most [`PLACES`] positions below `length`, including the first and the last.
fn spread_places(length: usize) -> impl Iterator<Item = usize> {
    let count = length.min(PLACES);
    (0..count).map(move |at| at * (length - 1) / (count - 1).max(1))
}

/// Rows with the values of every feature, alone and mixed, and rows of other schemas.
fn make_rows(schema: &FeatureSchema) -> Vec<Row> {
    let choices: Vec<Vec<Value>> = schema.features.iter().map(list_values).collect();
    let missing = vec![Value::Missing; choices.len()];
    let mut rows = vec![Row::new(Vec::new()), Row::new(missing.clone())];
    rows.push(Row::new(vec![Value::Category(0); choices.len() + 1]));
    for (feature, values) in choices.iter().enumerate() {
        for value in values {
            let mut row = missing.clone();
            row[feature] = *value;
            rows.push(Row::new(row));
        }
    }
    let mut state = 0_u64;
    let mut pick = |values: &[Value]| {
        // Knuth's linear congruential generator. Only its high bits are used, because they are more random.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        values[(state >> 33) as usize % values.len()]
    };
    rows.extend((0..MIXED_ROWS).map(|_| Row::new(choices.iter().map(|values| pick(values)).collect())));
    rows
}

/// Values of a feature, its limits, and values of another kind.
fn list_values(feature: &Feature) -> Vec<Value> {
    let mut values = vec![
        Value::Missing,
        Value::Unknown,
        Value::Category(0),
        Value::Category(u32::MAX),
    ];
    let number = |number| Value::Number(number);
    values.extend([0.0, -0.0, 1.0, f32::MIN_POSITIVE, f32::MIN, f32::MAX].map(number));
    match &feature.kind {
        FeatureKind::Numeric { min, max } => {
            values.extend(min.iter().chain(max).map(|end| number(*end as f32)));
        }
        FeatureKind::Categorical { categories } => {
            values.extend((1..=categories.len()).map(|at| Value::Category(at as u32)));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::files::json;

    const FILE: &str = "rate.json";

    /// One probability for every row.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rate {
        format: u32,
        family: String,
        features: usize,
        probability: f64,
    }

    /// A mistake of a family.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        Nothing,
        NamesOther,
        NamesCommon,
        ScoresByRow,
        Panics,
        BelievesAnyNumber,
        BelievesAnyFormat,
        BelievesAnyFamily,
        BelievesAnySchema,
        FillsInWhatIsCut,
        BlamesAnother,
    }

    #[derive(Clone, Copy, Debug)]
    struct Faulty(Fault);

    #[derive(Debug)]
    struct Constant(Fault, f64);

    impl Family for Faulty {
        fn name(&self) -> &'static str {
            "Faulty"
        }

        fn files(&self) -> &'static [&'static str] {
            match self.0 {
                Fault::NamesOther => &[FILE, "more.json"],
                Fault::NamesCommon => &[file::CARD],
                _ => &[FILE],
            }
        }

        fn load(
            &self,
            files: &FamilyFiles<'_>,
            schema: &FeatureSchema,
        ) -> Result<Arc<dyn Scorer>, FamilyError> {
            let Self(fault) = self;
            let rate: Rate = match files.parse(FILE) {
                Err(FamilyError::Parse { .. }) if *fault == Fault::FillsInWhatIsCut => Rate {
                    format: 1,
                    family: self.name().to_owned(),
                    features: schema.features.len(),
                    probability: 0.5,
                },
                Err(FamilyError::Parse { source, .. }) if *fault == Fault::BlamesAnother => {
                    return Err(FamilyError::invalid(file::INFO, source));
                }
                rate => rate?,
            };
            let wrong = [
                (rate.format != 1, Fault::BelievesAnyFormat),
                (rate.family != self.name(), Fault::BelievesAnyFamily),
                (rate.features != schema.features.len(), Fault::BelievesAnySchema),
                (!(0.0..=1.0).contains(&rate.probability), Fault::BelievesAnyNumber),
            ];
            match wrong.iter().find(|(wrong, unseen)| *wrong && unseen != fault) {
                Some((_, unseen)) => Err(FamilyError::invalid(FILE, format!("{unseen:?}"))),
                None => Ok(Arc::new(Constant(*fault, rate.probability))),
            }
        }
    }

    impl Scorer for Constant {
        fn score(&self, row: &Row) -> f64 {
            match (self.0, row.values()) {
                (Fault::ScoresByRow, [Value::Number(number), ..]) => f64::from(*number),
                (Fault::Panics, []) => panic!("no first value"),
                _ => self.1,
            }
        }
    }

    fn checked(fault: Fault) -> Result<(), String> {
        let schema = FeatureSchema::new(vec![Feature::numeric("x")]).unwrap();
        let family = Faulty(fault);
        let rate = Rate {
            format: 1,
            family: family.name().to_owned(),
            features: 1,
            probability: 0.125,
        };
        check(&family, &schema, &[(family.files()[0], json(&rate).unwrap())])
    }

    #[test]
    fn each_fault_of_a_family_is_found() {
        checked(Fault::Nothing).unwrap();
        for (fault, found) in [
            (Fault::NamesOther, "the family names"),
            (Fault::NamesCommon, "every bundle has a file model-card.html"),
            (Fault::ScoresByRow, "scores -3.4"),
            (Fault::BelievesAnyNumber, "with a bit flipped at"),
            (Fault::BelievesAnyFormat, "rate.json of another format is read"),
            (Fault::BelievesAnyFamily, "rate.json of another family is read"),
            (Fault::BelievesAnySchema, "one feature less"),
            (Fault::FillsInWhatIsCut, "rate.json cut at 0 is read"),
            (
                Fault::BlamesAnother,
                "rate.json cut at 0 is refused without its name",
            ),
        ] {
            let error = checked(fault).unwrap_err();
            assert!(error.contains(found), "{fault:?}: {error}");
        }
    }

    #[test]
    #[should_panic(expected = "no first value")]
    fn a_panic_of_a_family_is_one_of_the_check() {
        drop(checked(Fault::Panics));
    }
}
