//! The weighted vote of calibrated models of other families: `ensemble.json`, and the files of each member with a prefix.
//!
//! The file `model.json` of the first member is `member-1-model.json`, and so on. All members have the same schema and get the same row,
//! which each encodes as its family does. Weights are integers. The score is `(w1 p1 + w2 p2 + …) / (w1 + w2 + …)`, where `p` is the
//! calibrated probability of a member. The terms are added in the order of the members in double precision.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Families, Family, FamilyError, FamilyFiles, Scorer,
    columns::MODEL_FILE,
    contract::rename,
    forest::RandomForest,
    lightgbm::{LightGbm, TEXT_FILE},
    logistic::LogisticRegression,
    xgboost::{BOOSTER_FILE, Xgboost},
};
use crate::{
    calibration::{Calibration, CalibrationError, CalibrationFile},
    encode::TRANSFORMS_FILE,
    schema::{FeatureSchema, Row},
};

/// The family's name in the API, in `bundle.json` and in `ensemble.json`.
pub const ENSEMBLE: &str = "Ensemble";

/// The name of the file with members and weights.
pub const ENSEMBLE_FILE: &str = "ensemble.json";

/// The format that this code writes and reads.
pub const ENSEMBLE_FORMAT: u32 = 1;

/// The minimum and maximum number of members.
pub const MEMBERS: std::ops::RangeInclusive<usize> = 2..=8;

/// Maximum sum of all weights, so that products with a probability are exact to a few units in the last place.
pub const MAX_TOTAL_WEIGHT: u32 = 1000;

/// The families of members. An ensemble cannot be a member.
pub const MEMBER_FAMILIES: Families =
    Families::new(&[&LogisticRegression, &RandomForest, &Xgboost, &LightGbm]);

/// Number of rows that are scored by one member at a time.
const BLOCK: usize = 1 << 12;

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct Ensemble;

/// The content of `ensemble.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnsembleFile {
    /// [`ENSEMBLE_FORMAT`].
    pub format: u32,
    /// [`ENSEMBLE`].
    pub family: String,
    /// The sum of the weights of all members.
    pub total_weight: u32,
    /// The members, in the order in which their probabilities are added.
    pub members: Vec<EnsembleMember>,
}

/// One member of an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnsembleMember {
    /// Its family.
    pub family: String,
    /// Its share of the vote is this divided by the total weight.
    pub weight: u32,
    /// Its calibration, if its scores are calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// Why an ensemble cannot be used. Members are counted from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EnsembleError {
    /// The format or family is not the one that the reader knows.
    #[error(
        "ensemble has format {format} and family {family:?}, this program reads format {ENSEMBLE_FORMAT} and {ENSEMBLE:?}"
    )]
    Format {
        /// The format in the file.
        format: u32,
        /// The family in the file.
        family: String,
    },
    /// Too few or too many members.
    #[error("ensemble has {0} members, it must have {min} to {max}", min = MEMBERS.start(), max = MEMBERS.end())]
    Members(usize),
    /// A member is an ensemble.
    #[error("member {0} is an ensemble; a member must be a single model")]
    Nested(usize),
    /// A member has an unknown family.
    #[error("member {member} has family {family:?}, expected one of {}", MEMBER_FAMILIES.names().join(", "))]
    Family {
        /// Which.
        member: usize,
        /// The family in the file.
        family: String,
    },
    /// A member has no vote.
    #[error("member {0} has weight 0, a member must have at least 1")]
    Weight(usize),
    /// The weights do not add up to the total.
    #[error("the weights add up to {found}, totalWeight is {stated}")]
    Total {
        /// In the file.
        stated: u32,
        /// The sum of the weights.
        found: u64,
    },
    /// The total is too large.
    #[error("totalWeight is {0}, it must be at most {MAX_TOTAL_WEIGHT}")]
    TooHeavy(u32),
    /// A member's calibration cannot be used.
    #[error("the calibration of member {member} is not valid: {source}")]
    Calibration {
        /// Which.
        member: usize,
        /// Why.
        source: CalibrationError,
    },
}

/// A scorer that combines other scorers.
#[derive(Clone, Debug)]
pub struct EnsembleScorer {
    members: Vec<Voter>,
    total: f64,
}

#[derive(Clone, Debug)]
struct Voter {
    scorer: Arc<dyn Scorer>,
    calibration: Option<Calibration>,
    weight: f64,
}

/// The names of a member's files: the name of its family, then the name in the bundle.
macro_rules! name_members {
    ($($number:literal)*) => {
        [$([
            (TRANSFORMS_FILE, concat!("member-", $number, "-transforms.json")),
            (MODEL_FILE, concat!("member-", $number, "-model.json")),
            (BOOSTER_FILE, concat!("member-", $number, "-xgboost.json")),
            (TEXT_FILE, concat!("member-", $number, "-lightgbm.txt")),
        ]),*]
    };
}

const MEMBER_FILES: [[(&str, &str); 4]; *MEMBERS.end()] = name_members!(1 2 3 4 5 6 7 8);

/// [`ENSEMBLE_FILE`], then the names of all members.
const FILES: [&str; 1 + 4 * *MEMBERS.end()] = {
    let mut names = [ENSEMBLE_FILE; 1 + 4 * *MEMBERS.end()];
    let mut at = 1;
    while at < names.len() {
        names[at] = MEMBER_FILES[(at - 1) / 4][(at - 1) % 4].1;
        at += 1;
    }
    names
};

/// The name in a bundle of a file of the member with this index, from 0. `None` if no member has such a file.
pub fn member_file(member: usize, file: &str) -> Option<&'static str> {
    rename(MEMBER_FILES.get(member)?, file)
}

// === impl Ensemble ===

impl Family for Ensemble {
    fn name(&self) -> &'static str {
        ENSEMBLE
    }

    fn files(&self) -> &'static [&'static str] {
        &FILES
    }

    fn needed_files(&self) -> &'static [&'static str] {
        &[ENSEMBLE_FILE]
    }

    fn load(&self, files: &FamilyFiles<'_>, schema: &FeatureSchema) -> Result<Arc<dyn Scorer>, FamilyError> {
        let file: EnsembleFile = files.parse(ENSEMBLE_FILE)?;
        let families = file
            .check()
            .map_err(|error| FamilyError::invalid(ENSEMBLE_FILE, error))?;
        let mut scorers = Vec::with_capacity(families.len());
        for (family, names) in families.into_iter().zip(&MEMBER_FILES) {
            let of_member = files.of_member(family, names);
            let scorer = family.load(&of_member, schema);
            scorers.push(scorer.map_err(|error| error.of_member(names))?);
        }
        Ok(Arc::new(EnsembleScorer::new(&file, scorers)))
    }
}

// === impl EnsembleFile ===

impl EnsembleFile {
    /// The vote of these members.
    pub fn new(members: Vec<EnsembleMember>) -> Self {
        Self {
            format: ENSEMBLE_FORMAT,
            family: ENSEMBLE.into(),
            total_weight: members.iter().map(|member| member.weight).sum(),
            members,
        }
    }

    /// Checks everything that does not depend on the files of the members. Returns the family of each.
    pub fn check(&self) -> Result<Vec<&'static dyn Family>, EnsembleError> {
        if self.format != ENSEMBLE_FORMAT || self.family != ENSEMBLE {
            return Err(EnsembleError::Format {
                format: self.format,
                family: self.family.clone(),
            });
        }
        if !MEMBERS.contains(&self.members.len()) {
            return Err(EnsembleError::Members(self.members.len()));
        }
        if self.total_weight > MAX_TOTAL_WEIGHT {
            return Err(EnsembleError::TooHeavy(self.total_weight));
        }
        let members = self.members.iter().zip(1..);
        let families = members.map(|(member, number)| member.check(number));
        let families = families.collect::<Result<Vec<_>, _>>()?;
        let found = self.members.iter().map(|member| u64::from(member.weight)).sum();
        if found != u64::from(self.total_weight) {
            return Err(EnsembleError::Total {
                stated: self.total_weight,
                found,
            });
        }
        Ok(families)
    }
}

// === impl EnsembleMember ===

impl EnsembleMember {
    fn check(&self, member: usize) -> Result<&'static dyn Family, EnsembleError> {
        if self.family == ENSEMBLE {
            return Err(EnsembleError::Nested(member));
        }
        let family = MEMBER_FAMILIES
            .find(&self.family)
            .ok_or_else(|| EnsembleError::Family {
                member,
                family: self.family.clone(),
            })?;
        if self.weight == 0 {
            return Err(EnsembleError::Weight(member));
        }
        if let Some(calibration) = &self.calibration {
            let file = CalibrationFile::new(calibration.clone());
            file.check()
                .map_err(|source| EnsembleError::Calibration { member, source })?;
        }
        Ok(family)
    }
}

// === impl EnsembleScorer ===

impl EnsembleScorer {
    /// The vote of these scorers, one for each member of a checked file.
    fn new(file: &EnsembleFile, scorers: Vec<Arc<dyn Scorer>>) -> Self {
        let members = file.members.iter().zip(scorers).map(|(member, scorer)| Voter {
            scorer,
            calibration: member.calibration.clone(),
            weight: f64::from(member.weight),
        });
        Self {
            members: members.collect(),
            total: f64::from(file.total_weight),
        }
    }
}

impl Scorer for EnsembleScorer {
    fn score(&self, row: &Row) -> f64 {
        let mut sum = 0.0;
        for member in &self.members {
            sum += member.vote(member.scorer.score(row));
        }
        sum / self.total
    }

    fn score_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        for rows in rows.chunks(BLOCK) {
            let start = out.len();
            out.resize(start + rows.len(), 0.0);
            for member in &self.members {
                let end = out.len();
                member.scorer.score_rows(rows, out);
                let (sums, scores) = out.split_at_mut(end);
                for (sum, score) in sums[start..].iter_mut().zip(scores) {
                    *sum += member.vote(*score);
                }
                out.truncate(end);
            }
            for sum in &mut out[start..] {
                *sum /= self.total;
            }
        }
    }
}

// === impl Voter ===

impl Voter {
    fn vote(&self, score: f64) -> f64 {
        let probability = match &self.calibration {
            Some(calibration) => calibration.apply(score),
            None => score,
        };
        self.weight * probability
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::{
        family::{
            conformance,
            tree::{TreeFile, TreeModel, fixture, strip_lightgbm},
        },
        files::json,
        schema::Value,
    };

    fn member(family: &str, weight: u32) -> EnsembleMember {
        EnsembleMember {
            family: family.into(),
            weight,
            calibration: None,
        }
    }

    fn file() -> EnsembleFile {
        EnsembleFile::new(vec![
            EnsembleMember {
                calibration: Some(Calibration::Platt {
                    slope: 1.5,
                    intercept: -0.25,
                }),
                ..member("XGBoost", 7)
            },
            member("LightGBM", 13),
        ])
    }

    type Files = Vec<(&'static str, Vec<u8>)>;

    /// An ensemble of two models of the same features, and the files of each member by the names of its family.
    fn parts() -> (FeatureSchema, Files, [Files; 2]) {
        let (schema, xgboost) = fixture::read("xgboost-one-tree.json");
        let (of_lightgbm, lightgbm) = fixture::read("lightgbm-one-tree.txt");
        assert_eq!(schema, of_lightgbm);
        let lightgbm = strip_lightgbm(&lightgbm).to_vec();
        let one = TreeModel::from_xgboost(&xgboost, &schema).unwrap();
        let other = TreeModel::from_lightgbm(&lightgbm, &schema).unwrap();
        let one = json(&TreeFile::new("XGBoost", &schema, &one)).unwrap();
        let other = json(&TreeFile::new("LightGBM", &schema, &other)).unwrap();
        let members = [
            vec![(MODEL_FILE, one), (BOOSTER_FILE, xgboost)],
            vec![(MODEL_FILE, other), (TEXT_FILE, lightgbm)],
        ];
        let mut files = vec![(ENSEMBLE_FILE, json(&file()).unwrap())];
        for (at, of_member) in members.iter().enumerate() {
            let renamed = of_member.iter();
            files.extend(renamed.map(|(name, bytes)| (member_file(at, name).unwrap(), bytes.clone())));
        }
        (schema, files, members)
    }

    fn load(schema: &FeatureSchema, files: &Files) -> Result<Arc<dyn Scorer>, FamilyError> {
        Ensemble.load(&FamilyFiles::of_bytes(&Ensemble, files), schema)
    }

    #[test]
    fn the_family_does_what_is_asked_of_every_one() {
        let (schema, files, _) = parts();
        conformance::check(&Ensemble, &schema, &files).unwrap();
    }

    #[test]
    fn a_score_is_the_weighted_vote_of_the_calibrated_members_alone_and_with_others() {
        let (schema, files, [xgboost, lightgbm]) = parts();
        let ensemble = load(&schema, &files).unwrap();
        let one = Xgboost
            .load(&FamilyFiles::of_bytes(&Xgboost, &xgboost), &schema)
            .unwrap();
        let other = LightGbm
            .load(&FamilyFiles::of_bytes(&LightGbm, &lightgbm), &schema)
            .unwrap();
        let calibration = file().members[0].calibration.clone().unwrap();
        let row = |at: u16| {
            let values = (0..8_u16).map(|feature| match (at + feature) % 5 {
                0 => Value::Missing,
                1 => Value::Category(u32::from(at % 3)),
                _ => Value::Number(f32::from(at * 7 % 41)),
            });
            Row::new(values.collect())
        };
        let rows: Vec<Row> = (0..6000).map(row).collect();
        let mut together = vec![0.25];
        ensemble.score_rows(&rows, &mut together);
        assert_eq!(together.len(), 6001);
        assert_eq!(together.remove(0), 0.25, "what was there stays");
        for (row, found) in rows.iter().zip(together) {
            let expected = (7.0 * calibration.apply(one.score(row)) + 13.0 * other.score(row)) / 20.0;
            assert_eq!(found.to_bits(), expected.to_bits());
            assert_eq!(ensemble.score(row).to_bits(), found.to_bits());
        }
    }

    #[test]
    fn certain_members_are_certain_together() {
        #[derive(Debug)]
        struct Always(f64);
        impl Scorer for Always {
            fn score(&self, _: &Row) -> f64 {
                self.0
            }
        }
        for total in [3_u32, 7, 20, 1000] {
            let file = EnsembleFile::new(vec![member("XGBoost", 1), member("LightGBM", total - 1)]);
            for of_all in [0.0, 1.0] {
                let scorers: Vec<Arc<dyn Scorer>> = vec![Arc::new(Always(of_all)), Arc::new(Always(of_all))];
                let found = EnsembleScorer::new(&file, scorers).score(&Row::new(Vec::new()));
                assert_eq!(found, of_all);
            }
        }
    }

    #[test]
    fn an_ensemble_that_cannot_be_is_refused_with_a_sentence() {
        let (schema, files, _) = parts();
        let refuse = |change: fn(&mut EnsembleFile)| {
            let mut changed = file();
            change(&mut changed);
            let mut files = files.clone();
            files[0].1 = json(&changed).unwrap();
            let error = load(&schema, &files).unwrap_err();
            assert_eq!(error.file(), Some(ENSEMBLE_FILE), "{error}");
            error.source().unwrap().to_string()
        };
        for (change, sentence) in [
            (
                (|file| file.format = 2) as fn(&mut EnsembleFile),
                "ensemble has format 2 and family \"Ensemble\", this program reads format 1 and \"Ensemble\"",
            ),
            (
                |file| file.members.truncate(1),
                "ensemble has 1 members, it must have 2 to 8",
            ),
            (
                |file| file.members = vec![member("XGBoost", 1); 9],
                "ensemble has 9 members, it must have 2 to 8",
            ),
            (
                |file| file.members[1].family = "Ensemble".into(),
                "member 2 is an ensemble; a member must be a single model",
            ),
            (
                |file| file.members[1].family = "Onnx".into(),
                "member 2 has family \"Onnx\", expected one of LogisticRegression, RandomForest, XGBoost, LightGBM",
            ),
            (
                |file| file.members[0].weight = 0,
                "member 1 has weight 0, a member must have at least 1",
            ),
            (
                |file| file.members[0].weight = u32::MAX,
                "the weights add up to 4294967308, totalWeight is 20",
            ),
            (
                |file| file.total_weight = 1001,
                "totalWeight is 1001, it must be at most 1000",
            ),
            (
                |file| {
                    file.members[0].calibration = Some(Calibration::Platt {
                        slope: -1.0,
                        intercept: 0.0,
                    });
                },
                "the calibration of member 1 is not valid: the slope -1 or the intercept 0 is not finite, or the slope is \
                 not above 0",
            ),
        ] {
            assert_eq!(refuse(change), sentence);
        }
    }

    #[test]
    fn a_fault_in_a_file_of_a_member_is_refused_with_the_name_of_that_file() {
        let (schema, files, _) = parts();
        let refuse = |from: &str, to: &str| {
            let mut files = files.clone();
            let bytes = files.iter().find(|(name, _)| *name == from).unwrap().1.clone();
            files.iter_mut().find(|(name, _)| *name == to).unwrap().1 = bytes;
            load(&schema, &files).unwrap_err()
        };
        // Each is a valid file of the other member.
        let error = refuse("member-1-model.json", "member-2-model.json");
        assert_eq!(error.to_string(), "member-2-model.json is not valid");
        assert_eq!(
            error.source().unwrap().to_string(),
            "model has format 1 and family \"XGBoost\", this program reads format 1 and \"LightGBM\""
        );
        let error = refuse("member-1-model.json", "member-1-xgboost.json");
        assert_eq!(error.file(), Some("member-1-xgboost.json"));
        let error = refuse("member-1-xgboost.json", "member-2-lightgbm.txt");
        assert_eq!(error.file(), Some("member-2-lightgbm.txt"));
        let mut lacking = files.clone();
        lacking.retain(|(name, _)| *name != "member-2-lightgbm.txt");
        let error = load(&schema, &lacking).unwrap_err();
        assert_eq!(
            error.to_string(),
            "manifest.json does not name member-2-lightgbm.txt, which is needed"
        );
    }
}
