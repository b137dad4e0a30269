//! A model with everything that serving needs, in a directory with one digest.
//!
//! | file | content |
//! |---|---|
//! | `bundle.json` | [`BundleInfo`]: family, threshold, target, snapshot, training, the selected candidate's metrics, gates |
//! | `schema.json` | [`FeatureSchema`] |
//! | `warm-up.json` | [`WarmUp`]: rows and their scores, bit for bit |
//! | `metrics.json` | every candidate with every metric, and the parameters of the folds |
//! | `out-of-fold.csv` | each row's score by a model that was not fitted on it |
//! | `reference.json` | the bins that traffic is counted in, and the counts that it is compared with |
//! | `calibration.json` | the calibration function, if scores are calibrated |
//! | `declared-transforms.json` | the parameters that each declared transform learned, if the spec declares some |
//! | `accepted-window.json` | the window of traffic, if the feature counts of the reference are those of a window |
//! | `model-card.html` | a page for users |
//! | `MLmodel` | for tools that know `MLflow` |
//!
//! A bundle also has the [files](Family::files) of its family. This module reads those, the first three,
//! `calibration.json` and `declared-transforms.json`, and verifies all files.

use std::{path::Path, sync::Arc};

use modelward_wire::{Decimal, Digest, GateResult, Manifest, ManifestKind, MetricValue};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};

use crate::{
    calibration::{CalibratedScorer, CalibrationError, CalibrationFile},
    family::{
        BUILT_IN, Families, Family, FamilyError, FamilyFiles, Scorer,
        ensemble::{ENSEMBLE, ENSEMBLE_FILE, EnsembleFile},
    },
    files::{FilesError, VerifiedDir},
    schema::{FeatureSchema, Row, SchemaError},
    transform::{Derivation, DerivationError, DerivedScorer, TransformFile},
};

/// The format that this code writes and reads.
pub const BUNDLE_FORMAT: u32 = 1;

/// Names of the files of a bundle, except for those of its family.
pub mod file {
    /// [`super::BundleInfo`].
    pub const INFO: &str = "bundle.json";
    /// [`super::FeatureSchema`].
    pub const SCHEMA: &str = "schema.json";
    /// [`super::WarmUp`].
    pub const WARM_UP: &str = "warm-up.json";
    /// Every candidate with every metric.
    pub const METRICS: &str = "metrics.json";
    /// Scores of rows by models that were not fitted on them.
    pub const OUT_OF_FOLD: &str = "out-of-fold.csv";
    /// Bins of every feature and of the score, with the counts of the training data: the reference for drift.
    pub const REFERENCE: &str = "reference.json";
    /// The window of traffic whose feature counts are in [`REFERENCE`], if they are not those of the training data.
    pub const ACCEPTED_WINDOW: &str = "accepted-window.json";
    /// [`crate::CalibrationFile`], if scores are calibrated.
    pub const CALIBRATION: &str = "calibration.json";
    /// [`crate::TransformFile`], if the spec declares transforms.
    pub const TRANSFORMS: &str = "declared-transforms.json";
    /// A page for users.
    pub const CARD: &str = "model-card.html";
    /// The description for `MLflow`.
    pub const MLMODEL: &str = "MLmodel";

    /// All of these names. No family has a file with one of them.
    pub const COMMON: [&str; 11] = [
        INFO,
        SCHEMA,
        WARM_UP,
        METRICS,
        OUT_OF_FOLD,
        REFERENCE,
        ACCEPTED_WINDOW,
        CALIBRATION,
        TRANSFORMS,
        CARD,
        MLMODEL,
    ];
}

/// The description of a bundle. It has no time, run or host, so equal data, spec and program give equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleInfo {
    /// [`BUNDLE_FORMAT`].
    pub format: u32,
    /// Name of the model.
    pub model: String,
    /// Family of the selected candidate, such as `LogisticRegression`.
    pub family: String,
    /// Probability from which the class is 1.
    pub threshold: Decimal,
    /// The data that it was trained on. Unknown for an imported model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Digest>,
    /// Rows of that data, or of the sample of an imported model.
    pub rows: u64,
    /// Rows of class 1 among them. 0 if the sample of an imported model has no target.
    pub positive_rows: u64,
    /// What is predicted.
    pub target: TargetInfo,
    /// Name of the metric that selected the candidate. Empty if there was no selection.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selected_by: String,
    /// Out-of-fold metrics of the selected candidate.
    pub metrics: Vec<MetricValue>,
    /// Every gate of the spec with its outcome, and the comparison with the champion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
    /// The sha256 of the JSON of the training in the spec, to check that this is what was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Digest>,
    /// Whether the same data, spec and program give the same bundle. False if a time limit ended a search.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub reproducible: bool,
    /// The origin of the model, if it was trained elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportInfo>,
    /// The image that trained it, if it was not the trainer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_trainer: Option<CustomTrainerInfo>,
    /// The members of an ensemble, as in `ensemble.json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberInfo>,
}

/// A model that an image trained. The trainer measured it on rows that the image did not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomTrainerInfo {
    /// The image, as the spec names it.
    pub image: String,
    /// The format of the file that the image left, such as `XGBoost JSON`.
    pub format: String,
    /// The sha256 of that file.
    pub file: Digest,
    /// Rows that the image got.
    pub rows: u64,
    /// How many of them have the score that the image stated. 0 if it left no scores.
    pub compared_rows: u64,
}

/// A member of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberInfo {
    /// Its family.
    pub family: String,
    /// Its weight. Its share of the vote is this divided by the sum of all weights.
    pub weight: u32,
}

/// A model that was trained elsewhere, and the sample that it was checked with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportInfo {
    /// The format of its file, such as `XGBoost JSON`.
    pub format: String,
    /// The sha256 of the original file.
    pub file: Digest,
    /// The sha256 of the sample.
    pub sample: Digest,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// What a bundle predicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetInfo {
    /// Column of the data.
    pub column: String,
    /// When a row has class 1, as text: `num > 0`.
    pub positive_when: String,
}

/// Rows with their expected scores. A server is ready only if its scores are equal bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WarmUp {
    /// [`BUNDLE_FORMAT`].
    pub format: u32,
    /// The rows.
    pub rows: Vec<WarmUpRow>,
}

/// One row of a warm-up sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WarmUpRow {
    /// The row as a request would send it.
    pub features: Map<String, Json>,
    /// Its probability of class 1, for readers.
    pub probability: f64,
    /// The bits of that number as 16 hexadecimal digits.
    pub bits: String,
}

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A file is absent, damaged or unreadable.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file does not parse.
    #[error("{file} does not parse")]
    Parse {
        /// Its name.
        file: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// `bundle.json` describes a model that this program cannot serve.
    #[error("bundle.json: {0}")]
    Info(String),
    /// This program does not have the family of the model.
    #[error(
        "bundle.json: unknown family {found:?}, this program has {}; serve the bundle with a release that has its family",
        known.join(", ")
    )]
    UnknownFamily {
        /// Its name.
        found: String,
        /// Names of the families of this program.
        known: Vec<&'static str>,
    },
    /// The calibration cannot be used.
    #[error("{} is not valid", file::CALIBRATION)]
    Calibration(#[from] CalibrationError),
    /// The schema contradicts itself.
    #[error("schema.json is not valid")]
    Schema(#[from] SchemaError),
    /// The declared transforms cannot be used.
    #[error("{} is not valid", file::TRANSFORMS)]
    Transforms(#[from] DerivationError),
    /// A file of the family is absent or does not fit.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// The warm-up sample has no rows, or a row that the schema refuses.
    #[error("warm-up.json: {0}")]
    WarmUp(String),
    /// A row of the warm-up sample has another score here than in the trainer.
    #[error(
        "warm-up.json row {row} scores {found:e} ({found_bits:016x}), expected {expected:e} ({expected_bits:016x}); \
         trainer and server do not compute the same, do not serve this bundle",
        found_bits = found.to_bits(), expected_bits = expected.to_bits()
    )]
    Score {
        /// The row, from 1.
        row: usize,
        /// The score here.
        found: f64,
        /// The score in the file.
        expected: f64,
    },
}

/// A verified bundle, immutable and ready to score from any number of threads.
#[derive(Clone, Debug)]
pub struct Bundle {
    digest: Digest,
    manifest: Manifest,
    info: BundleInfo,
    schema: FeatureSchema,
    scorer: Arc<dyn Scorer>,
    threshold: f64,
    warm_up: Vec<(Row, f64)>,
}

// === impl Bundle ===

impl Bundle {
    /// Opens the bundle in `dir`, which must have this digest. Verifies every file of the manifest, parses what serving
    /// needs and checks every index and number, so that scoring cannot fail.
    pub fn open(dir: &Path, digest: &Digest) -> Result<Self, BundleError> {
        Self::open_with(BUILT_IN, dir, digest)
    }

    /// Like [`Self::open`], with these families.
    pub fn open_with(families: Families, dir: &Path, digest: &Digest) -> Result<Self, BundleError> {
        Self::load(
            families,
            &VerifiedDir::open(dir, Some(digest), ManifestKind::Bundle)?,
        )
    }

    /// Opens a bundle in a user's directory with any digest. Everything else is verified as in [`Self::open`].
    pub fn open_any(dir: &Path) -> Result<Self, BundleError> {
        Self::load(BUILT_IN, &VerifiedDir::open(dir, None, ManifestKind::Bundle)?)
    }

    fn load(families: Families, dir: &VerifiedDir) -> Result<Self, BundleError> {
        dir.verify_all()?;
        let info: BundleInfo = parse(dir, file::INFO)?;
        let threshold = info.check()?;
        let family = info.find_family(families)?;
        let schema: FeatureSchema = parse(dir, file::SCHEMA)?;
        schema.check()?;
        let files = FamilyFiles::of_bundle(family, dir);
        info.check_members(dir)?;
        let scorer = match read_transforms(dir, &schema)? {
            Some(derivation) => {
                let scorer = family.load(&files, derivation.schema())?;
                Arc::new(DerivedScorer::new(derivation, scorer))
            }
            None => family.load(&files, &schema)?,
        };
        let scorer = calibrate(dir, scorer)?;
        let warm_up: WarmUp = parse(dir, file::WARM_UP)?;
        let warm_up = warm_up.read(&schema)?;
        Ok(Self {
            digest: dir.digest(),
            manifest: dir.manifest().clone(),
            info,
            schema,
            scorer,
            threshold,
            warm_up,
        })
    }

    /// Scores the warm-up sample and compares it with the recorded scores, bit for bit. Returns the number of rows.
    pub fn verify_warm_up(&self) -> Result<usize, BundleError> {
        for (index, (row, expected)) in self.warm_up.iter().enumerate() {
            let found = self.score(row);
            if found.to_bits() != expected.to_bits() {
                return Err(BundleError::Score {
                    row: index + 1,
                    found,
                    expected: *expected,
                });
            }
        }
        Ok(self.warm_up.len())
    }

    /// The digest of the bundle.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its files.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its description.
    pub fn info(&self) -> &BundleInfo {
        &self.info
    }

    /// Its inputs.
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// Probability from which the class is 1.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The probability of class 1 for a row that was read with the schema of this bundle. Never NaN. Allocates only the derived row of
    /// declared transforms.
    pub fn score(&self, row: &Row) -> f64 {
        self.scorer.score(row)
    }

    /// Appends the score of each row.
    pub fn score_into(&self, rows: &[Row], out: &mut Vec<f64>) {
        self.scorer.score_rows(rows, out);
    }
}

/// The declared transforms, if the bundle has some.
fn read_transforms(dir: &VerifiedDir, schema: &FeatureSchema) -> Result<Option<Derivation>, BundleError> {
    if dir.manifest().file(file::TRANSFORMS).is_none() {
        return Ok(None);
    }
    let file: TransformFile = parse(dir, file::TRANSFORMS)?;
    Ok(Some(Derivation::new(schema, &file)?))
}

impl Scorer for Bundle {
    fn score(&self, row: &Row) -> f64 {
        self.scorer.score(row)
    }

    fn score_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        self.scorer.score_rows(rows, out);
    }
}

/// The scorer with the bundle's calibration, if it has one.
fn calibrate(dir: &VerifiedDir, scorer: Arc<dyn Scorer>) -> Result<Arc<dyn Scorer>, BundleError> {
    let files = &dir.manifest().files;
    if !files.iter().any(|of| of.path == file::CALIBRATION) {
        return Ok(scorer);
    }
    let file: CalibrationFile = parse(dir, file::CALIBRATION)?;
    file.check()?;
    Ok(Arc::new(CalibratedScorer::new(scorer, file.calibration)))
}

fn parse<T: DeserializeOwned>(dir: &VerifiedDir, file: &'static str) -> Result<T, BundleError> {
    serde_json::from_slice(&dir.read(file)?).map_err(|source| BundleError::Parse { file, source })
}

// === impl BundleInfo ===

impl BundleInfo {
    fn check(&self) -> Result<f64, BundleError> {
        if self.format != BUNDLE_FORMAT {
            let message = format!(
                "format {}, this program reads format {BUNDLE_FORMAT}",
                self.format
            );
            return Err(BundleError::Info(message));
        }
        let threshold = self.threshold.to_f64();
        if !(0.0..=1.0).contains(&threshold) {
            return Err(BundleError::Info(format!(
                "threshold {} is not within 0 and 1",
                self.threshold
            )));
        }
        Ok(threshold)
    }

    /// Checks that the members are those of the ensemble, and that a single model has none.
    fn check_members(&self, dir: &VerifiedDir) -> Result<(), BundleError> {
        let members: Vec<MemberInfo> = if self.family == ENSEMBLE {
            let file: EnsembleFile = parse(dir, ENSEMBLE_FILE)?;
            let members = file.members.into_iter().map(|member| MemberInfo {
                family: member.family,
                weight: member.weight,
            });
            members.collect()
        } else {
            Vec::new()
        };
        if self.members == members {
            return Ok(());
        }
        let show = |members: &[MemberInfo]| match members {
            [] => "none".to_owned(),
            members => {
                let members = members
                    .iter()
                    .map(|member| format!("{} {}", member.family, member.weight));
                members.collect::<Vec<_>>().join(", ")
            }
        };
        Err(BundleError::Info(format!(
            "the members with their weights are {}, but the files have {}",
            show(&self.members),
            show(&members)
        )))
    }

    fn find_family(&self, families: Families) -> Result<&'static dyn Family, BundleError> {
        families
            .find(&self.family)
            .ok_or_else(|| BundleError::UnknownFamily {
                found: self.family.clone(),
                known: families.names(),
            })
    }
}

// === impl WarmUp ===

impl WarmUp {
    /// The rows with their scores by `scorer`. The rows are scored after they were read back from their JSON.
    pub fn record(schema: &FeatureSchema, scorer: &dyn Scorer, rows: &[Row]) -> Result<Self, BundleError> {
        let mut recorded = Vec::with_capacity(rows.len());
        for row in rows {
            let features = schema.write_json(row);
            let (row, _) = read_row(schema, &features, recorded.len())?;
            let probability = scorer.score(&row);
            let bits = format!("{:016x}", probability.to_bits());
            recorded.push(WarmUpRow {
                features,
                probability,
                bits,
            });
        }
        Ok(Self {
            format: BUNDLE_FORMAT,
            rows: recorded,
        })
    }

    fn read(&self, schema: &FeatureSchema) -> Result<Vec<(Row, f64)>, BundleError> {
        if self.format != BUNDLE_FORMAT || self.rows.is_empty() {
            let message = format!("format {} with {} rows", self.format, self.rows.len());
            return Err(BundleError::WarmUp(message));
        }
        let read = |(index, row): (usize, &WarmUpRow)| {
            let bits = u64::from_str_radix(&row.bits, 16)
                .map_err(|_| BundleError::WarmUp(format!("row {} has bits {:?}", index + 1, row.bits)))?;
            let (row, _) = read_row(schema, &row.features, index)?;
            Ok((row, f64::from_bits(bits)))
        };
        self.rows.iter().enumerate().map(read).collect()
    }
}

fn read_row(
    schema: &FeatureSchema,
    features: &Map<String, Json>,
    index: usize,
) -> Result<(Row, Vec<crate::Warning>), BundleError> {
    schema.read_json(features).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        BundleError::WarmUp(format!("row {}: {first}", index + 1))
    })
}

// === impl BundleError ===

impl BundleError {
    /// The file with the error, if it is about a file.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Files(error) => error.file(),
            Self::Parse { file, .. } => Some(file),
            Self::Info(_) | Self::UnknownFamily { .. } => Some(file::INFO),
            Self::Schema(_) => Some(file::SCHEMA),
            Self::Calibration(_) => Some(file::CALIBRATION),
            Self::Transforms(_) => Some(file::TRANSFORMS),
            Self::Family(error) => error.file(),
            Self::WarmUp(_) | Self::Score { .. } => Some(file::WARM_UP),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::{
        encode::{FeatureTransform, TRANSFORMS_FILE, TRANSFORMS_FORMAT, Transforms},
        family::{
            columns::MODEL_FILE,
            logistic::{LogisticModel, LogisticScorer},
        },
        files::{DirBuilder, MANIFEST, json, sha256, sha256_file},
        schema::{Feature, Value},
    };

    struct Parts {
        info: BundleInfo,
        schema: FeatureSchema,
        transforms: Transforms,
        model: LogisticModel,
        warm_up: WarmUp,
    }

    fn parts() -> Parts {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("age"),
            Feature::categorical("sex", &["0", "1"]),
        ])
        .unwrap();
        let transforms = Transforms {
            format: TRANSFORMS_FORMAT,
            features: vec![
                FeatureTransform::Standardise {
                    feature: "age".into(),
                    impute: 54.5,
                    mean: 54.4,
                    scale: 9.1,
                },
                FeatureTransform::OneHot {
                    feature: "sex".into(),
                    impute: "1".into(),
                },
            ],
        };
        let model = LogisticModel::new(&schema, vec![0.57, -0.61, 0.61], -0.3, 1.0);
        let scorer = LogisticScorer::new(&schema, &transforms, &model).unwrap();
        let rows = [
            Row::new(vec![Value::Number(63.1), Value::Category(1)]),
            Row::new(vec![Value::Missing, Value::Missing]),
        ];
        let warm_up = WarmUp::record(&schema, &scorer, &rows).unwrap();
        let info = BundleInfo {
            format: BUNDLE_FORMAT,
            model: "heart".into(),
            family: "LogisticRegression".into(),
            threshold: "0.5".parse().unwrap(),
            snapshot: Some(sha256(b"snapshot")),
            rows: 2,
            positive_rows: 1,
            target: TargetInfo {
                column: "num".into(),
                positive_when: "num > 0".into(),
            },
            selected_by: "F1".into(),
            metrics: Vec::new(),
            gates: Vec::new(),
            training: None,
            reproducible: true,
            imported: None,
            custom_trainer: None,
            members: Vec::new(),
        };
        Parts {
            info,
            schema,
            transforms,
            model,
            warm_up,
        }
    }

    fn write(dir: &Path, parts: &Parts) -> Digest {
        let files = DirBuilder::new(ManifestKind::Bundle)
            .with(file::INFO, json(&parts.info).unwrap())
            .with(file::SCHEMA, json(&parts.schema).unwrap())
            .with(TRANSFORMS_FILE, json(&parts.transforms).unwrap())
            .with(MODEL_FILE, json(&parts.model).unwrap())
            .with(file::WARM_UP, json(&parts.warm_up).unwrap())
            .with(file::CARD, "<p>card</p>");
        files.write(dir).unwrap().1
    }

    #[test]
    fn a_bundle_opens_scores_and_is_warmed_up() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let digest = write(&dir, &parts());
        let bundle = Bundle::open(&dir, &digest).unwrap();
        assert_eq!(bundle.verify_warm_up().unwrap(), 2);
        assert_eq!(bundle.digest(), digest);
        assert_eq!(bundle.threshold(), 0.5);
        let object = json!({"age": 63.1, "sex": 1.0});
        let (row, _) = bundle.schema().read_json(object.as_object().unwrap()).unwrap();
        let mut scores = Vec::new();
        bundle.score_into(&[row.clone(), row.clone()], &mut scores);
        assert_eq!(scores, [bundle.score(&row); 2]);
        let recorded: f64 = parts().warm_up.rows[0].probability;
        assert_eq!(scores[0].to_bits(), recorded.to_bits());
    }

    #[test]
    fn the_bytes_of_a_bundle_are_pinned() {
        let temp = tempfile::tempdir().unwrap();
        let digest = write(&temp.path().join("bundle"), &parts());
        let pinned = "sha256:01b9352a641c3cebd1801beefb58a6554e734e0676dc3f8a6bb811f1313c3c6a";
        assert_eq!(digest.to_string(), pinned);
    }

    #[test]
    fn a_flipped_byte_in_any_file_is_refused_with_its_name() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let digest = write(&dir, &parts());
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let original = fs::read(&path).unwrap();
            let mut bytes = original.clone();
            *bytes.last_mut().unwrap() ^= 0x20;
            fs::write(&path, bytes).unwrap();
            let error = Bundle::open(&dir, &digest).unwrap_err();
            assert_eq!(error.file(), Some(name.as_str()), "{error}");
            fs::write(&path, original).unwrap();
        }
        Bundle::open(&dir, &digest).unwrap();
    }

    #[test]
    fn the_digest_of_another_bundle_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        write(&dir, &parts());
        let error = Bundle::open(&dir, &sha256(b"another")).unwrap_err();
        assert_eq!(error.file(), Some(MANIFEST));
        Bundle::open_any(&dir).unwrap();
    }

    #[test]
    fn a_score_that_differs_in_its_last_bit_fails_the_warm_up() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let mut parts = parts();
        let bits = parts.warm_up.rows[1].probability.to_bits() ^ 1;
        parts.warm_up.rows[1].bits = format!("{bits:016x}");
        let digest = write(&dir, &parts);
        let error = Bundle::open(&dir, &digest).unwrap().verify_warm_up().unwrap_err();
        assert!(matches!(error, BundleError::Score { row: 2, .. }), "{error}");
    }

    #[test]
    fn contents_that_contradict_each_other_are_refused_with_the_file_at_fault() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let fault = |change: fn(&mut Parts)| {
            let mut parts = parts();
            change(&mut parts);
            let digest = write(&dir, &parts);
            Bundle::open(&dir, &digest)
                .unwrap_err()
                .file()
                .unwrap()
                .to_owned()
        };
        assert_eq!(fault(|p| p.info.format = 9), file::INFO);
        assert_eq!(fault(|p| p.info.threshold = "1.5".parse().unwrap()), file::INFO);
        assert_eq!(fault(|p| p.schema.features[1].name = "age".into()), file::SCHEMA);
        assert_eq!(fault(|p| p.transforms.features.reverse()), TRANSFORMS_FILE);
        assert_eq!(fault(|p| p.model.coef[0].push(1.0)), MODEL_FILE);
        assert_eq!(fault(|p| p.warm_up.rows.clear()), file::WARM_UP);
        assert_eq!(fault(|p| p.warm_up.rows[0].bits = "xyz".into()), file::WARM_UP);
        assert_eq!(
            fault(|p| {
                p.warm_up.rows[0].features.insert("tahl".into(), json!(3));
            }),
            file::WARM_UP
        );
    }

    #[test]
    fn a_family_that_is_unknown_or_not_that_of_the_files_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let refuse = |change: fn(&mut Parts)| {
            let mut parts = parts();
            change(&mut parts);
            let digest = write(&dir, &parts);
            Bundle::open(&dir, &digest).unwrap_err()
        };
        let unknown = refuse(|p| p.info.family = "Oracle".into());
        assert_eq!(unknown.file(), Some(file::INFO));
        assert_eq!(
            unknown.to_string(),
            format!(
                "bundle.json: unknown family \"Oracle\", this program has {}; serve the bundle with a release that has \
                 its family",
                BUILT_IN.names().join(", ")
            )
        );
        let mixed = refuse(|p| p.model.family = "Oracle".into());
        assert_eq!(mixed.file(), Some(MODEL_FILE));
        assert_eq!(
            std::error::Error::source(&mixed).unwrap().to_string(),
            "model has format 1 and family \"Oracle\", this program reads format 1 and \"LogisticRegression\""
        );
    }

    #[test]
    fn a_bundle_without_a_needed_file_is_refused_with_its_name() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let files = DirBuilder::new(ManifestKind::Bundle).with(file::INFO, json(&parts().info).unwrap());
        let (_, digest) = files.write(&dir).unwrap();
        let error = Bundle::open(&dir, &digest).unwrap_err();
        assert_eq!(error.file(), Some(file::SCHEMA), "{error}");
        assert_eq!(sha256_file(&dir.join(MANIFEST)).unwrap().0, digest);
    }
}
