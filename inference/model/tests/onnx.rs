//! Models of scikit-learn, exported by skl2onnx, get the scores of scikit-learn. Unsupported files are refused with a reason.
//!
//! `tests/differential/make_onnx_models.py` writes them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed read of a fixture is a failed test"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use modelward_model::{
    Feature, FeatureSchema, Row, Value,
    family::{
        columns::MODEL_FILE,
        onnx::{ONNX_FILE, Onnx, OnnxFile, OnnxModel},
    },
    files::json,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    operators: Vec<String>,
    labels: [String; 2],
    rows: Vec<Vec<Option<String>>>,
    probability: Vec<f64>,
    class: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx")
}

fn names(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let models = paths.filter(|path| path.extension().is_some_and(|end| end == "onnx"));
    let mut names: Vec<String> = models
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn read(name: &str) -> (OnnxModel, Vec<u8>, Case) {
    let bytes = fs::read(folder().join(format!("{name}.onnx"))).unwrap();
    let case = fs::read(folder().join(format!("{name}.case.json"))).unwrap();
    let model = OnnxModel::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    (model, bytes, serde_json::from_slice(&case).unwrap())
}

fn read_row(cells: &[Option<String>]) -> Row {
    let value = |cell: &Option<String>| match cell {
        Some(bits) => Value::Number(f32::from_bits(u32::from_str_radix(bits, 16).unwrap())),
        None => Value::Missing,
    };
    Row::new(cells.iter().map(value).collect())
}

fn schema_of(model: &OnnxModel) -> FeatureSchema {
    let features = model.features().iter().enumerate().map(|(at, feature)| Feature {
        required: feature.required,
        ..Feature::numeric(feature.name.as_deref().unwrap_or(&format!("x{at}")))
    });
    FeatureSchema::new(features.collect()).unwrap()
}

#[test]
fn probabilities_are_within_a_millionth_of_scikit_learn_and_classes_are_equal() {
    let names = names(&folder());
    assert_eq!(names.len(), 13);
    let mut operators = Vec::new();
    for name in names {
        let (model, _, case) = read(&name);
        assert_eq!(*model.labels(), case.labels, "{name}");
        assert_eq!(case.rows.len(), 40, "{name}");
        for (at, cells) in case.rows.iter().enumerate() {
            let score = model.probability(&read_row(cells));
            let expected = case.probability[at];
            assert!(
                (score - expected).abs() <= 1e-6,
                "{name} row {at}: {score}, expected {expected}"
            );
            assert_eq!(u8::from(score > 0.5), case.class[at], "{name} row {at}: {score}");
        }
        assert!(case.class.contains(&0) && case.class.contains(&1), "{name}");
        operators.extend(case.operators);
    }
    for operator in [
        "Imputer",
        "ArrayFeatureExtractor",
        "FeatureVectorizer",
        "Concat",
        "Identity",
    ] {
        assert!(
            operators.iter().any(|of| of == operator),
            "{operator} is not tested"
        );
    }
}

#[test]
fn the_names_of_separate_inputs_are_those_of_the_features() {
    let (model, ..) = read("named");
    let names: Vec<&str> = model
        .features()
        .iter()
        .filter_map(|feature| feature.name.as_deref())
        .collect();
    assert_eq!(names, ["age", "chol", "old_peak", "marker"]);
    let (model, ..) = read("logistic");
    assert!(
        model
            .features()
            .iter()
            .all(|feature| feature.name.is_none() && feature.required)
    );
    let (model, ..) = read("imputed-logistic");
    assert!(model.features().iter().all(|feature| !feature.required));
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let refused = folder().join("refused");
    let mut found = Vec::new();
    for name in names(&refused) {
        let bytes = fs::read(refused.join(format!("{name}.onnx"))).unwrap();
        let error = OnnxModel::read(&bytes).unwrap_err().to_string();
        found.push((name, error));
    }
    let expected = [
        (
            "ada-boost",
            "it is the second classifier of the graph; ensembles of models are not supported",
        ),
        (
            "custom-domain",
            "operator com.example.LinearClassifier is not supported: only TreeEnsembleClassifier",
        ),
        (
            "double-logistic",
            "operator MatMul is not supported: only TreeEnsembleClassifier",
        ),
        (
            "external-data",
            "a constant is in another file (external data), which is not supported",
        ),
        ("normalised-rows", "it normalises rows; only L1 after"),
        (
            "raw-scores",
            "it gives raw scores and no probabilities; export it without the option raw_scores",
        ),
        ("three-classes", "it has 3 classes, only 2 are supported"),
    ];
    assert_eq!(found.len(), expected.len());
    for ((name, error), (of, words)) in found.iter().zip(expected) {
        assert_eq!(name, of);
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn a_schema_that_does_not_fit_is_refused() {
    let (model, bytes, _) = read("logistic");
    let schema = schema_of(&model);
    let refuse = |change: &dyn Fn(&mut FeatureSchema)| {
        let mut schema = schema.clone();
        change(&mut schema);
        let file = OnnxFile::new(&schema, &model, &bytes);
        let files = [(MODEL_FILE, json(&file).unwrap()), (ONNX_FILE, bytes.clone())];
        let files = modelward_model::FamilyFiles::of_bytes(&Onnx, &files);
        let error = modelward_model::Family::load(&Onnx, &files, &schema).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    assert_eq!(
        refuse(&|schema| schema.features[1].required = false),
        "feature \"x1\" is not required, but the model has no replacement for a missing value"
    );
    assert_eq!(
        refuse(&|schema| schema.features[0] = Feature::categorical("x0", &["1"])),
        "feature \"x0\" is not numeric, but the model takes numbers"
    );
    assert_eq!(
        refuse(&|schema| schema.features.truncate(3)),
        "the model has 4 features, but the schema has 3"
    );
}
