//! The weighted vote of families: each member is fitted on the same rows.

use std::{collections::BTreeMap, sync::Arc};

use modelward_model::{
    Calibration, Derivation, DerivedScorer, Family, FamilyFiles, FeatureSchema, Scorer, TransformFile,
    family::ensemble::{ENSEMBLE_FILE, Ensemble, EnsembleFile, EnsembleMember, member_file},
    files::json,
};

use super::{
    Complexity, Dimension, FitError, FittedModel, ModelReport, Parameter, Parameters, TrainableFamily,
};
use crate::{data::dataset::Sample, engine::TrainingRows};

/// The vote of these members, in this order.
#[derive(Clone, Debug)]
pub struct EnsembleFamily {
    members: Arc<[Member]>,
}

/// A family with its parameters, its calibration and its weight.
#[derive(Clone, Debug)]
pub struct Member {
    /// The family.
    pub family: Arc<dyn TrainableFamily>,
    /// Its part of the vote, of the sum of all weights.
    pub weight: u32,
    /// Its calibration. It is not fitted again.
    pub calibration: Option<Calibration>,
}

#[derive(Debug)]
struct FittedEnsemble {
    members: Arc<[Member]>,
    models: Vec<Box<dyn FittedModel>>,
    /// The transforms, the same for every member.
    transforms: Option<TransformFile>,
    files: Files,
    /// The scorer of these files.
    scorer: Arc<dyn Scorer>,
}

/// Files of a family, by name.
type Files = Vec<(&'static str, Vec<u8>)>;

// === impl EnsembleFamily ===

impl EnsembleFamily {
    /// The vote of these members.
    pub fn new(members: Vec<Member>) -> Self {
        Self {
            members: members.into(),
        }
    }

    fn total_weight(&self) -> u32 {
        self.members.iter().map(|member| member.weight).sum()
    }
}

impl TrainableFamily for EnsembleFamily {
    fn served(&self) -> &'static dyn Family {
        &Ensemble
    }

    fn complexity(&self) -> Complexity {
        Complexity::Ensemble
    }

    fn parameters(&self) -> Parameters {
        let members = i64::try_from(self.members.len()).unwrap_or(i64::MAX);
        Parameters::new([
            ("members", Parameter::Integer(members)),
            ("total_weight", Parameter::Integer(i64::from(self.total_weight()))),
        ])
    }

    fn space(&self) -> Vec<Dimension> {
        Vec::new()
    }

    fn with(&self, _: &[(&'static str, Parameter)]) -> Arc<dyn TrainableFamily> {
        // A search varies its members, not the vote.
        Arc::new(self.clone())
    }

    fn fit(&self, rows: TrainingRows<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        let mut models = Vec::with_capacity(self.members.len());
        for (member, number) in self.members.iter().zip(1..) {
            let model = member.family.fit(rows);
            models.push(model.map_err(|error| of_member(number, member, &error))?);
        }
        let fitted = FittedEnsemble::new(&self.members, models, &rows.sample.data.schema)?;
        Ok(Box::new(fitted))
    }
}

/// What is wrong with a member, counted from 1.
fn of_member(number: usize, member: &Member, error: &FitError) -> FitError {
    format!("member {number}, {}: {error}", member.family.served().name()).into()
}

// === impl FittedEnsemble ===

impl FittedEnsemble {
    fn new(
        members: &Arc<[Member]>,
        models: Vec<Box<dyn FittedModel>>,
        schema: &FeatureSchema,
    ) -> Result<Self, FitError> {
        let transforms = models.first().and_then(|model| model.transforms()).cloned();
        // They are fitted on the same rows: the bundle has them once.
        if models
            .iter()
            .any(|model| model.transforms() != transforms.as_ref())
        {
            return Err("the members have different transforms".into());
        }
        let files = write_files(members, &models)?;
        let read = |schema: &FeatureSchema| Ensemble.load(&FamilyFiles::of_bytes(&Ensemble, &files), schema);
        let scorer = match &transforms {
            Some(transforms) => {
                let derivation = Derivation::new(schema, transforms)?;
                let scorer = read(derivation.schema())?;
                Arc::new(DerivedScorer::new(derivation, scorer))
            }
            None => read(schema)?,
        };
        Ok(Self {
            members: Arc::clone(members),
            models,
            transforms,
            files,
            scorer,
        })
    }
}

/// The files of the vote of these models, one per member.
fn write_files(members: &[Member], models: &[Box<dyn FittedModel>]) -> Result<Files, FitError> {
    let described = members.iter().map(|member| EnsembleMember {
        family: member.family.served().name().to_owned(),
        weight: member.weight,
        calibration: member.calibration.clone(),
    });
    let mut files = vec![(ENSEMBLE_FILE, json(&EnsembleFile::new(described.collect()))?)];
    for (at, (member, model)) in members.iter().zip(models).enumerate() {
        for (name, bytes) in model.files()? {
            let renamed = member_file(at, name).ok_or_else(|| {
                let family = member.family.served().name();
                format!("a model of {family} cannot be a member of an ensemble: no member has a file {name}")
            })?;
            files.push((renamed, bytes));
        }
    }
    Ok(files)
}

impl FittedModel for FittedEnsemble {
    fn scorer(&self) -> &dyn Scorer {
        &*self.scorer
    }

    fn check_parity(&self, sample: Sample<'_>) -> Result<(), FitError> {
        let members = self.members.iter().zip(&self.models);
        for ((member, model), number) in members.clone().zip(1..) {
            let parity = model.check_parity(sample);
            parity.map_err(|error| of_member(number, member, &error))?;
        }
        for row in sample.rows {
            let values = sample.data.row(*row);
            let (mut sum, mut total) = (0.0, 0);
            for (member, model) in members.clone() {
                let score = model.scorer().score(&values);
                let calibration = member.calibration.as_ref();
                sum += f64::from(member.weight) * calibration.map_or(score, |by| by.apply(score));
                total += member.weight;
            }
            let (found, expected) = (self.scorer.score(&values), sum / f64::from(total));
            if found.to_bits() != expected.to_bits() {
                return Err(format!(
                    "the vote on row {} is {expected:e}, and {found:e} by the files",
                    row + 1
                )
                .into());
            }
        }
        Ok(())
    }

    fn files(&self) -> Result<Files, serde_json::Error> {
        Ok(self.files.clone())
    }

    fn transforms(&self) -> Option<&TransformFile> {
        self.transforms.as_ref()
    }

    fn report(&self) -> ModelReport {
        let total: u32 = self.members.iter().map(|member| member.weight).sum();
        let rows = self.members.iter().map(|member| {
            let parameters = member.family.parameters();
            let parameters: Vec<String> = parameters
                .iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            vec![
                member.family.served().name().to_owned(),
                format!("{} of {total}", member.weight),
                describe_calibration(member.calibration.as_ref()).to_owned(),
                parameters.join(", "),
            ]
        });
        ModelReport {
            sentence: format!(
                "The score is the weighted mean of the probabilities of {} members. Each is fitted on all rows, prepares values as its family does, and \
                 has its own calibration. Every member is scored for every row.",
                self.members.len()
            ),
            headings: vec!["Member", "Weight", "Calibration", "Hyper-parameters"],
            rows: rows.collect(),
            imputed: BTreeMap::new(),
        }
    }
}

fn describe_calibration(calibration: Option<&Calibration>) -> &'static str {
    match calibration {
        None => "none",
        Some(Calibration::Platt { .. }) => "Platt",
        Some(Calibration::Isotonic { .. }) => "Isotonic",
    }
}
