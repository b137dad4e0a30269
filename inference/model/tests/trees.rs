//! Models of LightGBM and XGBoost get scores with the same bits as in the libraries.
//!
//! `tests/differential/make_tree_models.py` writes them. The ignored tests read the models that it writes with `--large`:
//!
//! ```text
//! TREE_MODELS=FOLDER cargo test --release -p modelward-model --test trees -- --ignored --nocapture
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed read of a fixture is a failed test"
)]

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::Instant,
};

use modelward_model::{
    FeatureSchema, Row, Value,
    family::tree::{Output, TreeModel},
};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
struct CaseFile {
    model: String,
    schema: FeatureSchema,
    rows: Vec<Vec<Json>>,
    raw: Vec<String>,
    probability: Vec<String>,
}

struct Case {
    name: String,
    model: TreeModel,
    rows: Vec<Row>,
    file: CaseFile,
}

impl Case {
    fn read(path: &Path) -> Self {
        let file: CaseFile = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let bytes = fs::read(path.with_file_name(&file.model)).unwrap();
        let text = Path::new(&file.model).extension().is_some_and(|end| end == "txt");
        let read = if text {
            TreeModel::from_lightgbm
        } else {
            TreeModel::from_xgboost
        };
        Self {
            name: file.model.clone(),
            model: read(&bytes, &file.schema).unwrap(),
            rows: file.rows.iter().map(|row| read_row(row)).collect(),
            file,
        }
    }

    /// Checks that raw scores have the bits of the library and probabilities are close to its own. Returns how many probabilities have
    /// other bits.
    ///
    /// The tolerance is one unit in the last place in single precision and two in double precision: LightGBM uses `exp` of the C
    /// library, whose last bit depends on the processor, and near 1 one unit of the denominator is two units of the quotient.
    fn compare(&self) -> usize {
        let (mut raw, mut probabilities) = (Vec::new(), Vec::new());
        self.model.raw_rows(&self.rows, &mut raw);
        self.model.probabilities(&self.rows, &mut probabilities);
        let mut different = 0;
        for (index, row) in self.rows.iter().enumerate() {
            let name = format!("{} row {index}", self.name);
            assert_eq!(
                self.model.raw(row).to_bits(),
                raw[index].to_bits(),
                "{name}: alone"
            );
            let alone = self.model.probability(row);
            assert_eq!(alone.to_bits(), probabilities[index].to_bits(), "{name}: alone");
            assert_eq!(
                self.bits_of(raw[index]),
                self.bits(&self.file.raw[index]),
                "{name}: raw"
            );
            let (found, expected) = (self.bits_of(alone), self.bits(&self.file.probability[index]));
            let (distance, limit, single) = if self.is_double() {
                (found.abs_diff(expected), 2, f64::from_bits(expected) as f32)
            } else {
                (found.abs_diff(expected), 1, f32::from_bits(expected as u32))
            };
            assert!(distance <= limit, "{name}: probability {distance} places away");
            assert!(
                (alone as f32).to_bits().abs_diff(single.to_bits()) <= 1,
                "{name}: in single precision"
            );
            different += usize::from(distance > 0);
        }
        different
    }

    fn bits(&self, text: &str) -> u64 {
        assert_eq!(text.len(), if self.is_double() { 16 } else { 8 });
        u64::from_str_radix(text, 16).unwrap()
    }

    fn bits_of(&self, number: f64) -> u64 {
        if self.is_double() {
            return number.to_bits();
        }
        assert_eq!(
            f64::from(number as f32).to_bits(),
            number.to_bits(),
            "single precision"
        );
        (number as f32).to_bits().into()
    }

    fn is_double(&self) -> bool {
        matches!(self.model.output(), Output::Sigmoid(_))
    }
}

fn read_row(cells: &[Json]) -> Row {
    let value = |cell: &Json| match cell {
        Json::Null => Value::Missing,
        Json::String(text) if text == "?" => Value::Unknown,
        Json::String(bits) => Value::Number(f32::from_bits(u32::from_str_radix(bits, 16).unwrap())),
        number => Value::Category(u32::try_from(number.as_u64().unwrap()).unwrap()),
    };
    Row::new(cells.iter().map(value).collect())
}

fn read_cases(folder: &Path) -> Vec<Case> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of models")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".case.json"))
        .collect();
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}

#[test]
fn raw_scores_have_the_bits_of_the_library_and_probabilities_are_next_to_its_own() {
    let cases = read_cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees"));
    assert_eq!(cases.len(), 13);
    for case in cases {
        case.compare();
    }
}

fn read_large() -> Vec<Case> {
    read_cases(Path::new(
        &std::env::var("TREE_MODELS").expect("TREE_MODELS names a folder"),
    ))
}

#[test]
#[ignore = "needs models that make_tree_models.py writes with --large"]
fn large_models_have_the_bits_of_the_library() {
    for case in read_large() {
        let different = case.compare();
        println!(
            "{}: {} rows, {different} probabilities have other bits",
            case.name,
            case.rows.len()
        );
    }
}

#[test]
#[ignore = "needs models that make_tree_models.py writes with --large"]
fn time_of_large_models() {
    for case in read_large() {
        let time = |run: &dyn Fn()| {
            let mut times: Vec<f64> = (0..7)
                .map(|_| {
                    let start = Instant::now();
                    run();
                    start.elapsed().as_secs_f64() * 1e6 / case.rows.len() as f64
                })
                .collect();
            times.sort_by(f64::total_cmp);
            times[3]
        };
        let single = time(&|| {
            for row in &case.rows {
                black_box(case.model.probability(black_box(row)));
            }
        });
        let batch = time(&|| {
            let mut out = Vec::new();
            case.model.probabilities(black_box(&case.rows), &mut out);
            black_box(out);
        });
        println!("{}: {single:.2} us a row, {batch:.2} in a batch", case.name);
    }
}
