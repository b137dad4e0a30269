//! Models of LightGBM, XGBoost and scikit-learn become bundles by the command `import`, which score as the libraries do; and what is
//! refused gets one sentence.
//!
//! The models are those of `inference/model/tests`, with rows and scores that the libraries gave.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use modelward_crds::Champion;
use modelward_model::{Bundle, FeatureKind, Row, Value as Cell, family::tree_case};
use modelward_trainer::{data::dataset::Dataset, fit::compare::Opponent};
use serde_json::{Value, json};
use tempfile::TempDir;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/model/tests")
}

fn read_case(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path.with_extension("case.json")).unwrap()).unwrap()
}

fn single(bits: &str) -> f32 {
    f32::from_bits(u32::from_str_radix(bits, 16).unwrap())
}

/// The rows of a case of trees as a CSV file.
fn tree_sample(case: &Value) -> String {
    tree_case::to_csv(case).unwrap()
}

/// The rows of a case of ONNX as a CSV file.
fn onnx_sample(case: &Value, names: &[&str]) -> String {
    let mut csv = format!("{},expected\n", names.join(","));
    for (at, row) in case["rows"].as_array().unwrap().iter().enumerate() {
        let cell = |cell: &Value| {
            cell.as_str()
                .map_or(String::new(), |bits| single(bits).to_string())
        };
        let cells: Vec<String> = row.as_array().unwrap().iter().map(cell).collect();
        writeln!(csv, "{},{}", cells.join(","), case["probability"][at]).unwrap();
    }
    csv
}

struct Import {
    temp: TempDir,
}

impl Import {
    fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn run(&self, model: &Path, sample: &str, more: &[&str]) -> Output {
        fs::write(self.path("sample.csv"), sample).unwrap();
        Command::new(env!("CARGO_BIN_EXE_modelward-trainer"))
            .arg("import")
            .arg("--model")
            .arg(model)
            .arg("--sample")
            .arg(self.path("sample.csv"))
            .arg("--out")
            .arg(self.path("bundle"))
            .args(more)
            .env("RUST_LOG", "error")
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    }

    fn succeed(&self, model: &Path, sample: &str, more: &[&str]) -> Value {
        let output = self.run(model, sample, more);
        assert!(output.status.success(), "{}: {output:?}", model.display());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The sentence of a refusal.
    fn refuse(&self, model: &Path, sample: &str, more: &[&str]) -> String {
        let output = self.run(model, sample, more);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(!self.path("bundle").exists(), "a refused model leaves no bundle");
        text
    }
}

const NAME: [&str; 2] = ["--name", "heart"];

#[test]
fn models_of_both_libraries_become_bundles_whose_raw_scores_are_equal_bit_for_bit() {
    let mut count = 0;
    for entry in fs::read_dir(models().join("trees")).unwrap() {
        let model = entry.unwrap().path();
        let name = model.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".case.json") || name.starts_with("forest") {
            continue;
        }
        count += 1;
        let case = read_case(&model);
        let import = Import::new();
        let report = import.succeed(&model, &tree_sample(&case), &NAME);
        assert_eq!(report["compared"]["rawScores"], true, "{name}");
        assert_eq!(report["compared"]["rows"], 48, "{name}");
        let bundle = Bundle::open_any(&import.path("bundle")).unwrap();
        bundle.verify_warm_up().unwrap();
        assert_eq!(bundle.digest().to_string(), report["digest"].as_str().unwrap());
        let family = if name.starts_with("lightgbm") {
            "LightGBM"
        } else {
            "XGBoost"
        };
        assert_eq!(bundle.info().family, family);
        let features = &bundle.schema().features;
        let categorical = |at: usize| matches!(features[at].kind, FeatureKind::Categorical { .. });
        assert!(!categorical(0) && features[0].name == "age");
        if name.starts_with("xgboost") {
            assert!(categorical(2) && categorical(4), "{name}");
        }
    }
    assert_eq!(count, 12);
}

#[test]
fn models_of_scikit_learn_become_bundles_within_a_millionth() {
    let mut count = 0;
    for entry in fs::read_dir(models().join("onnx")).unwrap() {
        let model = entry.unwrap().path();
        if model.extension().is_none_or(|end| end != "onnx") {
            continue;
        }
        count += 1;
        let case = read_case(&model);
        let import = Import::new();
        let sample = onnx_sample(&case, &["age", "chol", "old peak", "marker"]);
        let report = import.succeed(&model, &sample, &NAME);
        assert_eq!(report["format"], "ONNX");
        assert!(report["compared"]["largestDifference"].as_f64().unwrap() <= 1e-6);
        let bundle = Bundle::open_any(&import.path("bundle")).unwrap();
        // The model has "old_peak": the exporter writes names so.
        assert_eq!(bundle.schema().features[2].name, "old peak");
        let positive = &bundle.info().target.positive_when;
        assert_eq!(
            *positive,
            format!("class is {}", case["labels"][1].as_str().unwrap())
        );
    }
    assert_eq!(count, 13);
}

#[test]
fn every_row_is_new_to_an_imported_champion() {
    let model = models().join("trees/lightgbm.txt");
    let import = Import::new();
    import.succeed(&model, &tree_sample(&read_case(&model)), &NAME);
    let bundle = Bundle::open_any(&import.path("bundle")).unwrap();
    let values = bundle
        .schema()
        .features
        .iter()
        .map(|feature| match &feature.kind {
            FeatureKind::Numeric { min, .. } => Cell::Number(min.unwrap_or(1.0) as f32),
            FeatureKind::Categorical { .. } => Cell::Category(0),
        });
    let row = Row::new(values.collect());
    let data = Dataset::from_rows(
        bundle.schema().clone(),
        &[row.clone(), row.clone(), row],
        vec![true, false, true],
    );
    let champion = Champion {
        version: "heart-1".to_owned(),
        bundle: bundle.digest(),
        margin: "0.03".parse().unwrap(),
    };
    let opened = Opponent::open(
        &import.path("bundle"),
        &champion,
        &bundle.info().target,
        &data,
        [3],
    );
    assert_eq!(opened.unwrap().new_rows(), [0, 1, 2]);
}

#[test]
fn an_imported_bundle_says_where_it_is_from_and_is_the_same_again() {
    let model = models().join("trees/lightgbm.txt");
    let case = read_case(&model);
    let mut lines = tree_sample(&case).lines().map(str::to_owned).collect::<Vec<_>>();
    for (at, line) in lines.iter_mut().enumerate() {
        let label = if at == 0 {
            "num".to_owned()
        } else {
            (at % 2 * 2).to_string()
        };
        write!(line, ",{label},note {at}").unwrap();
    }
    let sample = lines.join("\n").replace("note 0", "note");
    let spec = json!({
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": "heart-1"},
        "spec": {"model": "heart", "serving": {"access": "Open"}, "source": {"training": {
            "dataset": {"configMap": {"name": "d", "key": "d.csv"}},
            "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
            "exclude": ["note"],
            "features": [{"name": "thal", "kind": "Categorical", "categories": ["0", "1", "2"], "required": false}],
            "threshold": {"value": "0.4"},
            "validation": {"folds": 2, "repeats": 1, "seed": 1},
        }}},
    });
    let import = Import::new();
    let path = import.path("heart-1.yaml");
    fs::write(&path, spec.to_string()).unwrap();
    let more = ["--spec", path.to_str().unwrap()];
    let report = import.succeed(&model, &sample, &more);
    assert_eq!(report["threshold"], "0.4");
    assert_eq!(report["sample"]["rows"], 48);
    assert_eq!(report["sample"]["positiveRows"], 24);
    let bundle = Bundle::open_any(&import.path("bundle")).unwrap();
    let info = bundle.info();
    assert_eq!(info.imported.as_ref().unwrap().format, "LightGBM text");
    assert_eq!(
        (info.snapshot, info.target.positive_when.as_str()),
        (None, "num > 0")
    );
    assert!(info.metrics.is_empty(), "metrics of a bundle are out of fold");
    let read = |name: &str| fs::read_to_string(import.path("bundle").join(name)).unwrap();
    let card = read("model-card.html");
    assert!(
        card.contains("Raw scores are equal bit for bit")
            && card.contains("may have been trained on these rows")
    );
    let metrics: Value = serde_json::from_str(&read("metrics.json")).unwrap();
    assert_eq!(
        metrics["sample"]["metrics"]["F1"],
        report["sample"]["metrics"]["F1"]
    );
    let reference: Value = serde_json::from_str(&read("reference.json")).unwrap();
    assert_eq!(reference["counts"]["features"]["rows"], 48);
    // LightGBM reads the text that is in the bundle; pandas' line behind the trees is in the schema.
    assert!(read("lightgbm.txt").ends_with("end of trees\n"));

    let again = Import::new();
    assert_eq!(again.succeed(&model, &sample, &more)["digest"], report["digest"]);
    let copied = Import::new();
    let excluded = ["--exclude", "note,num"];
    let found = copied.refuse(&import.path("bundle"), &sample, &excluded);
    assert!(
        found.contains("a bundle have no raw scores to compare"),
        "{found}"
    );
    let excluded = ["--exclude", "note,num,expected_raw"];
    let copy = copied.succeed(&import.path("bundle"), &sample, &excluded);
    assert_eq!(copy["digest"], report["digest"]);
    assert_eq!(copy["format"], "Modelward bundle");
}

#[test]
fn words_of_a_data_frame_are_the_categories_of_the_bundle() {
    let model = models().join("trees/lightgbm.txt");
    let case = read_case(&model);
    let towns: Vec<String> = (0..30).map(|town| format!("town {town}")).collect();
    let words = json!([["low", "middle", "high"], towns]);
    let import = Import::new();
    let text = format!(
        "{}\npandas_categorical:{words}\n",
        fs::read_to_string(&model).unwrap()
    );
    fs::write(import.path("model.txt"), text).unwrap();
    let mut lines = tree_sample(&case).lines().map(str::to_owned).collect::<Vec<_>>();
    for line in &mut lines[1..] {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        if let Ok(code) = cells[2].parse::<usize>() {
            cells[2] = ["low", "middle", "high"]
                .get(code)
                .map_or("none of them", |word| word)
                .to_owned();
        }
        if !cells[4].is_empty() {
            cells[4] = format!("town {}", cells[4]);
        }
        *line = cells.join(",");
    }
    import.succeed(&import.path("model.txt"), &lines.join("\n"), &NAME);
    let bundle = Bundle::open_any(&import.path("bundle")).unwrap();
    let object = json!({"thal": "middle"});
    let (row, warnings) = bundle.schema().read_json(object.as_object().unwrap()).unwrap();
    assert_eq!((row.values()[2], warnings.len()), (Cell::Category(1), 0));
}

#[test]
fn a_score_that_differs_is_refused_with_row_and_both_numbers() {
    let model = models().join("trees/xgboost.json");
    let case = read_case(&model);
    let sample = tree_sample(&case);
    let first = sample.lines().nth(1).unwrap();
    let expected = first.rsplit(',').nth(1).unwrap();
    let other = sample.replacen(&format!(",{expected},"), ",0.25,", 1);
    let found = Import::new().refuse(&model, &other, &NAME);
    assert!(
        found.contains(&format!(
            "row 1 of the sample: 0.25 is expected, the model scores {expected}"
        )),
        "{found}"
    );
    assert!(found.contains("1 of 48 rows differ by more than one unit in the last place of a 32-bit float"));
    let raw = first.rsplit(',').next().unwrap();
    let other = sample.replacen(&format!(",{raw}\n"), ",0.125\n", 1);
    let found = Import::new().refuse(&model, &other, &NAME);
    assert!(
        found.contains("row 1 of the sample: the raw score 1.25e-1 is expected"),
        "{found}"
    );

    let onnx = models().join("onnx/logistic.onnx");
    let case = read_case(&onnx);
    let names = ["age", "chol", "peak", "marker"];
    let mut flipped = case.clone();
    for score in flipped["probability"].as_array_mut().unwrap() {
        *score = (1.0 - score.as_f64().unwrap()).into();
    }
    let found = Import::new().refuse(&onnx, &onnx_sample(&flipped, &names), &NAME);
    assert!(
        found.contains("the expected scores are those of class 0"),
        "{found}"
    );
    let gap = onnx_sample(&case, &names).replacen("\n5", "\n,5", 1);
    let found = Import::new().refuse(&onnx, &gap, &NAME);
    assert!(found.contains("the sample"), "{found}");
}

#[test]
fn names_that_differ_are_refused_with_both() {
    let import = Import::new();
    let source = models().join("trees/xgboost.json");
    let case = read_case(&source);
    let text = fs::read_to_string(&source).unwrap();
    let names = r#""feature_names":["age","chol","thal","old_peak","town","marker"]"#;
    let model = import.path("model.json");
    fs::write(&model, text.replace(r#""feature_names":[]"#, names)).unwrap();
    let sample = tree_sample(&case);
    let found = import.refuse(&model, &sample, &NAME);
    assert!(
        found.contains(
            "the model has the feature \"old_peak\", the sample has no such column; did you mean \"oldpeak\"?; it has age, chol, \
             thal, oldpeak, town, marker"
        ),
        "{found}"
    );
    let renamed = sample.replacen("oldpeak", "old peak", 1);
    let more = renamed
        .lines()
        .map(|line| format!("{line},1"))
        .collect::<Vec<_>>()
        .join("\n");
    let more = more.replacen("expected_raw,1", "expected_raw,ward", 1);
    let found = import.refuse(&model, &more, &NAME);
    assert!(
        found.contains("the sample has the column \"ward\", which is not a feature of the model"),
        "{found}"
    );
    import.succeed(&model, &more, &["--name", "heart", "--exclude", "ward"]);

    let unnamed = Import::new();
    let fewer = sample.replacen("marker,expected,", "expected,", 1);
    let found = unnamed.refuse(&source, &fewer, &NAME);
    assert!(found.contains("the sample: "), "{found}");
    let found = unnamed.refuse(&source, &more, &NAME);
    assert!(
        found.contains("the model has 6 features without names, the sample has 7 columns"),
        "{found}"
    );
    let found = unnamed.refuse(&source, &sample.replace("expected", "score"), &NAME);
    assert!(
        found.contains("the sample has no column of expected scores"),
        "{found}"
    );
    let found = unnamed.refuse(&source, &sample, &["--name", "heart", "--expected", "expectd"]);
    assert!(
        found.contains("the sample has no column \"expectd\"; did you mean \"expected\"?"),
        "{found}"
    );
    let few = sample.lines().take(6).collect::<Vec<_>>().join("\n");
    let found = unnamed.refuse(&source, &few, &NAME);
    assert!(
        found.contains("the sample has 5 rows; give from 10 to 100000"),
        "{found}"
    );
}

#[test]
fn what_is_not_a_classifier_of_two_classes_is_refused_by_a_sentence() {
    let import = Import::new();
    let trees = models().join("trees");
    let forest = trees.join("forest.json");
    let sample = tree_sample(&read_case(&forest));
    let found = import.refuse(&forest, &sample, &NAME);
    assert!(
        found.contains("objective reg:squarederror is a regression"),
        "{found}"
    );

    let changed = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(trees.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        let path = import.path("changed");
        fs::write(&path, text.replace(from, to)).unwrap();
        import.refuse(&path, &sample, &NAME)
    };
    for (file, from, to, words) in [
        (
            "lightgbm.txt",
            "objective=binary sigmoid:1",
            "objective=multiclass num_class:3",
            "objective: ",
        ),
        ("lightgbm.txt", "num_class=1", "num_class=3", "num_class: "),
        (
            "lightgbm.txt",
            "is_linear=0",
            "is_linear=1",
            "linear trees are not supported",
        ),
        (
            "xgboost.json",
            "binary:logistic",
            "multi:softprob",
            "objective: \"multi:softprob\" is not supported",
        ),
        (
            "xgboost.json",
            "\"base_score\"",
            "\"base_scores\"",
            "missing field `base_score`",
        ),
        (
            "xgboost.json",
            "\"name\":\"gbtree\"",
            "\"name\":\"dart\"",
            "booster \"dart\" is not supported",
        ),
    ] {
        let found = changed(file, from, to);
        assert!(found.contains(words), "{file} with {to}: {found}");
    }

    let file = import.path("model.pkl");
    fs::write(&file, b"\x80\x04\x95\x00\x00").unwrap();
    let found = import.refuse(&file, &sample, &NAME);
    assert!(
        found.contains("the model file is a Python pickle (also of joblib): it runs code when it is read"),
        "{found}"
    );
    let saved = import.path("saved");
    fs::create_dir(&saved).unwrap();
    fs::write(saved.join("saved_model.pb"), b"x").unwrap();
    let found = import.refuse(&saved, &sample, &[]);
    assert!(
        found.contains("the model is a SavedModel of TensorFlow"),
        "{found}"
    );
    let empty = import.path("empty");
    fs::create_dir(&empty).unwrap();
    let found = import.refuse(&empty, &sample, &[]);
    assert!(found.contains("is not a bundle that can be served"), "{found}");
    for refused in fs::read_dir(models().join("onnx/refused")).unwrap() {
        let path = refused.unwrap().path();
        let found = import.refuse(&path, &sample, &NAME);
        assert!(
            found.contains("the model cannot be read as ONNX: "),
            "{}: {found}",
            path.display()
        );
    }
}
