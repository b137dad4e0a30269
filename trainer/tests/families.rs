//! A family that the programs do not have, over the public API alone: what one has to write, and that it is enough.
#![expect(clippy::unwrap_used, reason = "what a test needs and cannot have ends it")]

use std::{collections::BTreeMap, error::Error as _, path::Path, sync::Arc};

use modelward_crds::{self as crds, MetricName};
use modelward_model::{
    Bundle, Families, Family, FamilyError, FamilyFiles, Feature, FeatureKind, FeatureSchema, Row, Scorer,
    TargetInfo, Value,
    bundle::file,
    family::{conformance, logistic},
    files::{DirBuilder, json},
};
use modelward_trainer::{
    data::{
        check::Checked,
        dataset::{Dataset, Sample},
        snapshot::{self, Snapshot},
    },
    engine::TrainingRows,
    family::{
        self, Complexity, FitError, FittedModel, ModelReport, Parameter, Parameters, Settings,
        TrainableFamily,
    },
    fit::{
        bundle::{self, Extras},
        plan::{Plan, SplitBy},
        threshold::ThresholdRule,
        train::{Trained, train},
        weights::Weighting,
    },
};
use modelward_wire::{Digest, ManifestKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

// === the family, in a server ===

const RATES_FILE: &str = "rates.json";

/// Rows that every rate starts with, one of each class.
const PRIOR: u32 = 2;

/// The probability is the rate of class 1 among training rows of the same category, in the first feature that has any.
#[derive(Clone, Copy, Debug)]
struct CategoryRate;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    format: u32,
    family: String,
    feature: String,
    categories: Vec<String>,
    by_category: Vec<f64>,
    overall: f64,
}

#[derive(Debug)]
struct RateScorer {
    position: usize,
    by_category: Vec<f64>,
    overall: f64,
}

impl Family for CategoryRate {
    fn name(&self) -> &'static str {
        "CategoryRate"
    }

    fn files(&self) -> &'static [&'static str] {
        &[RATES_FILE]
    }

    fn load(&self, files: &FamilyFiles<'_>, schema: &FeatureSchema) -> Result<Arc<dyn Scorer>, FamilyError> {
        let rates: Rates = files.parse(RATES_FILE)?;
        match RateScorer::new(&rates, schema) {
            Ok(scorer) => Ok(Arc::new(scorer)),
            Err(problem) => Err(FamilyError::invalid(RATES_FILE, problem)),
        }
    }
}

impl RateScorer {
    fn new(of: &Rates, schema: &FeatureSchema) -> Result<Self, String> {
        if of.format != 1 || of.family != CategoryRate.name() {
            return Err(format!("format {} of the family {:?}", of.format, of.family));
        }
        let (position, categories) =
            find_categories(schema).ok_or("the schema has no categorical feature")?;
        if schema.features[position].name != of.feature || *categories != of.categories {
            return Err(format!(
                "the schema has {categories:?} in place of {:?}",
                of.categories
            ));
        }
        if of.by_category.len() != categories.len() {
            return Err(format!(
                "{} rates of {} categories",
                of.by_category.len(),
                categories.len()
            ));
        }
        let mut all = of.by_category.iter().chain([&of.overall]);
        match all.find(|rate| !(0.0..=1.0).contains(*rate)) {
            Some(rate) => Err(format!("the rate {rate} is not within 0 and 1")),
            None => Ok(Self {
                position,
                by_category: of.by_category.clone(),
                overall: of.overall,
            }),
        }
    }
}

impl Scorer for RateScorer {
    fn score(&self, row: &Row) -> f64 {
        let rate = match row.values().get(self.position) {
            Some(Value::Category(category)) => self.by_category.get(*category as usize),
            _ => None,
        };
        *rate.unwrap_or(&self.overall)
    }
}

fn find_categories(schema: &FeatureSchema) -> Option<(usize, &Vec<String>)> {
    let mut features = schema.features.iter().enumerate();
    features.find_map(|(at, feature)| match &feature.kind {
        FeatureKind::Categorical { categories } => Some((at, categories)),
        FeatureKind::Numeric { .. } => None,
    })
}

// === the family, in the trainer ===

#[derive(Debug)]
struct FittedRates {
    rates: Rates,
    scorer: RateScorer,
}

impl TrainableFamily for CategoryRate {
    fn served(&self) -> &'static dyn Family {
        &Self
    }

    fn complexity(&self) -> Complexity {
        Complexity::Linear
    }

    fn parameters(&self) -> Parameters {
        Parameters::new([
            ("smoothing", Parameter::Text("Laplace")),
            ("priorRows", Parameter::Integer(i64::from(PRIOR))),
        ])
    }

    fn with(&self, _: &[(&'static str, Parameter)]) -> Arc<dyn TrainableFamily> {
        Arc::new(*self)
    }

    fn fit(&self, rows: TrainingRows<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        let sample = rows.sample;
        let schema = &sample.data.schema;
        let (position, categories) =
            find_categories(schema).ok_or("the schema has no categorical feature")?;
        let rate = |of: Option<Value>| {
            let column = &sample.data.columns[position];
            let is_meant = |row: &&usize| of.is_none_or(|of| column.value(**row) == of);
            let classes = sample.rows.iter().filter(is_meant);
            let classes = classes.map(|row| sample.data.labels[*row]);
            let (rows, positive) = classes.fold((PRIOR, 1), |(rows, positive), label| {
                (rows + 1, positive + u32::from(label))
            });
            f64::from(positive) / f64::from(rows)
        };
        let rates = Rates {
            format: 1,
            family: self.name().to_owned(),
            feature: schema.features[position].name.clone(),
            categories: categories.clone(),
            by_category: (0..categories.len())
                .map(|at| rate(Some(Value::Category(at as u32))))
                .collect(),
            overall: rate(None),
        };
        let scorer = RateScorer::new(&rates, schema)?;
        Ok(Box::new(FittedRates { rates, scorer }))
    }
}

impl FittedModel for FittedRates {
    fn scorer(&self) -> &dyn Scorer {
        &self.scorer
    }

    fn check_parity(&self, _: Sample<'_>) -> Result<(), FitError> {
        Ok(())
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
        Ok(vec![(RATES_FILE, json(&self.rates)?)])
    }

    fn report(&self) -> ModelReport {
        let rows = self.rates.categories.iter().zip(&self.rates.by_category);
        ModelReport {
            sentence: format!("Rates of class 1 by <{}>.", self.rates.feature),
            headings: vec!["Category", "Rate"],
            rows: rows
                .map(|(category, rate)| vec![category.clone(), format!("{rate:.3}")])
                .collect(),
            imputed: BTreeMap::new(),
        }
    }
}

// === what it is tried on ===

const FAMILIES: Families = Families::new(&[&CategoryRate, &logistic::LogisticRegression]);

/// What the class of a row depends on.
#[derive(Clone, Copy)]
enum By {
    Category,
    Number,
}

/// Rows of a number and a category, some of them missing, with classes that one of the two decides, a few excepted.
fn frozen(by: By) -> Snapshot {
    let schema = FeatureSchema::new(vec![
        Feature::numeric("x"),
        Feature::categorical("c", &["a", "b", "d"]),
    ])
    .unwrap();
    let row = |at: u32| {
        let present = |value, every| {
            if at.is_multiple_of(every) {
                Value::Missing
            } else {
                value
            }
        };
        Row::new(vec![
            present(Value::Number((at * 37 % 120) as f32), 17),
            present(Value::Category(at % 3), 19),
        ])
    };
    let label = |at: u32| {
        let decided = match by {
            By::Category => at % 3 == 1,
            By::Number => at * 37 % 120 > 60,
        };
        decided != (at % 10 == 3)
    };
    let rows: Vec<Row> = (0..120).map(row).collect();
    let dataset = Dataset::from_rows(schema, &rows, (0..120).map(label).collect());
    let target = TargetInfo {
        column: "y".into(),
        positive_when: "y is 1".into(),
    };
    let checked = Checked {
        dataset,
        columns: Vec::new(),
    };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("snapshot");
    let files = snapshot::build(&checked, vec![], target, vec![]).unwrap();
    files.write(&dir).unwrap();
    snapshot::open(&dir, None).unwrap()
}

fn plan() -> Plan {
    Plan {
        families: vec![
            Arc::new(CategoryRate),
            family::of(crds::Family::LogisticRegression, &Settings::default()),
        ],
        folds: 4,
        repeats: 2,
        seed: 7,
        split_by: SplitBy::Rows,
        held_out: None,
        select_by: MetricName::LogLoss,
        weighting: Weighting::Equal,
        calibration: crds::CalibrationMethod::None,
        threshold: ThresholdRule::default(),
        search: None,
        ensemble: None,
    }
}

fn trained(snapshot: &Snapshot) -> Trained {
    train(&snapshot.data, &plan(), 2, &|_| ()).unwrap()
}

fn write(snapshot: &Snapshot, trained: &Trained, dir: &Path) -> Digest {
    let files = bundle::build("heart", snapshot, &plan(), &[], trained, Extras::default()).unwrap();
    files.write(dir).unwrap().1
}

#[test]
fn another_family_is_trained_bundled_opened_and_scored_beside_logistic_regression() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bundle");
    let snapshot = frozen(By::Category);
    let trained = trained(&snapshot);
    let families: Vec<&str> = trained
        .candidates
        .iter()
        .map(|candidate| candidate.family)
        .collect();
    assert_eq!(families, ["CategoryRate", "LogisticRegression"]);
    assert_eq!(trained.selected, 0);
    let digest = write(&snapshot, &trained, &dir);

    let bundle = Bundle::open_with(FAMILIES, &dir, &digest).unwrap();
    assert_eq!(bundle.info().family, "CategoryRate");
    assert_eq!(bundle.verify_warm_up().unwrap(), 33);
    for row in &snapshot.data.rows().collect::<Vec<_>>() {
        let expected = trained.fitted.scorer().score(row);
        assert_eq!(bundle.score(row).to_bits(), expected.to_bits());
    }
    let b = Row::new(vec![Value::Missing, Value::Category(1)]);
    assert!(bundle.score(&b) > 0.8, "{}", bundle.score(&b));

    let names: Vec<&str> = bundle
        .manifest()
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert!(names.contains(&RATES_FILE), "{names:?}");
    for other in logistic::LogisticRegression.files() {
        assert!(!names.contains(other), "{names:?}");
    }
}

#[test]
fn what_a_bundle_says_of_a_model_is_what_its_family_says() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bundle");
    let snapshot = frozen(By::Category);
    write(&snapshot, &trained(&snapshot), &dir);
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();

    let metrics: serde_json::Value = serde_json::from_str(&read(file::METRICS)).unwrap();
    assert_eq!(metrics["selected"], "CategoryRate");
    let parameters = |at: usize| &metrics["candidates"][at]["parameters"];
    assert_eq!(*parameters(0), json!({"smoothing": "Laplace", "priorRows": 2}));
    assert_eq!(*parameters(1), json!({"penalty": "l2", "c": 1.0}));

    let card = read(file::CARD);
    for part in [
        "Rates of class 1 by &#60;c&#62;.",
        "<tr><th>Category</th><th>Rate</th></tr>\n<tr><td>a</td>",
        "A missing value is scored as missing unless",
        "<td class=\"n\">not imputed</td>",
    ] {
        assert!(card.contains(part), "{part} is not in {card}");
    }
    for part in ["Coefficient", "L2", "is imputed"] {
        assert!(!card.contains(part), "{part} is in {card}");
    }
    let described = read(file::MLMODEL);
    assert!(
        described.contains("schema: \"schema.json\"\n    rates: \"rates.json\"\n    threshold:"),
        "{described}"
    );
}

#[test]
fn the_better_family_is_selected_and_has_its_own_files() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bundle");
    let snapshot = frozen(By::Number);
    let trained = trained(&snapshot);
    assert_eq!(trained.candidates[trained.selected].family, "LogisticRegression");
    let digest = write(&snapshot, &trained, &dir);
    // The families of this release are enough for it.
    let bundle = Bundle::open(&dir, &digest).unwrap();
    for name in logistic::LogisticRegression.files() {
        assert!(bundle.manifest().file(name).is_some(), "{name}");
    }
    assert!(bundle.manifest().file(RATES_FILE).is_none());
}

#[test]
fn a_program_without_the_family_refuses_its_bundle_and_names_those_that_it_has() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bundle");
    let snapshot = frozen(By::Category);
    let digest = write(&snapshot, &trained(&snapshot), &dir);
    let error = Bundle::open(&dir, &digest).unwrap_err();
    assert_eq!(error.file(), Some(file::INFO));
    assert_eq!(
        error.to_string(),
        format!(
            "bundle.json: unknown family \"CategoryRate\", this program has {}; serve the bundle with a release that has \
             its family",
            modelward_model::family::BUILT_IN.names().join(", ")
        )
    );
}

#[test]
fn a_bundle_whose_files_are_of_another_family_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bundle");
    let snapshot = frozen(By::Category);
    write(&snapshot, &trained(&snapshot), &dir);
    let mixed = |change: &dyn Fn(&str, &mut serde_json::Value)| {
        let mut files = DirBuilder::new(ManifestKind::Bundle);
        for name in [file::INFO, file::SCHEMA, file::WARM_UP, RATES_FILE] {
            let mut content = serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap();
            change(name, &mut content);
            files = files.with(name, json(&content).unwrap());
        }
        let other = temp.path().join("mixed");
        let digest = files.write(&other).unwrap().1;
        Bundle::open_with(FAMILIES, &other, &digest)
    };
    mixed(&|_, _| ()).unwrap();
    let logistic = json!("LogisticRegression");
    let stated = mixed(&|name, content| {
        if name == file::INFO {
            content["family"] = logistic.clone();
        }
    });
    assert_eq!(
        stated.unwrap_err().to_string(),
        "manifest.json does not name transforms.json, which is needed"
    );
    let made = mixed(&|name, content| {
        if name == RATES_FILE {
            content["family"] = logistic.clone();
        }
    });
    let made = made.unwrap_err();
    assert_eq!(made.file(), Some(RATES_FILE));
    assert_eq!(
        made.source().unwrap().to_string(),
        "format 1 of the family \"LogisticRegression\""
    );
}

#[test]
fn every_family_does_what_is_asked_of_it() {
    let snapshot = frozen(By::Category);
    let rows: Vec<usize> = (0..snapshot.data.len()).collect();
    let built_in = crds::Family::ALL.map(|of| family::of(of, &Settings::default()));
    for family in built_in
        .into_iter()
        .chain([Arc::new(CategoryRate) as Arc<dyn TrainableFamily>])
    {
        let schema = &snapshot.data.schema;
        let sample = Sample::of(&snapshot.data, &rows);
        let fitted = family.fit(sample.into()).unwrap();
        conformance::check(family.served(), schema, &fitted.files().unwrap())
            .unwrap_or_else(|error| panic!("{family:?}: {error}"));
        let report = fitted.report();
        for row in &report.rows {
            assert_eq!(row.len(), report.headings.len(), "{family:?}: {row:?}");
        }
    }
}
