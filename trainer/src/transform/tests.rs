use std::sync::Arc;

use modelward_crds::{CalibrationMethod, Family, MetricName, TransformSpec};
use modelward_model::{
    Bundle, BundleError, Derivation, DirBuilder, Feature, FeatureSchema, Row, Scorer as _, TargetInfo,
    TransformFile, Value,
    bundle::file,
    encode::TRANSFORMS_FILE,
    files::json as bytes_of,
    transform::{Bins, ByCategory, Clip, Filling, Fitted, Impute, Ordinal, Standardize},
};
use modelward_wire::ManifestKind;
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    data::{
        check::Checked,
        dataset::{Dataset, Sample, Values},
        row_columns::Groups,
        snapshot::{self, Snapshot},
    },
    family::{self, Settings, TrainableFamily},
    fit::{
        bundle::{self, Extras},
        folds::{SplitMix64, mix},
        metrics::position,
        plan::{Plan, SearchPlan},
        train::{Trained, tests::plan, train},
    },
    ranking::Ranking,
};

fn specs(list: Json) -> Vec<TransformSpec> {
    let specs: Vec<TransformSpec> = serde_json::from_value(list).unwrap();
    for spec in &specs {
        assert_eq!(spec.problems(), [""; 0], "{}", spec.name);
    }
    specs
}

fn schema() -> FeatureSchema {
    FeatureSchema::new(vec![
        Feature::numeric("x"),
        Feature::numeric("y"),
        Feature::categorical("c", &["a", "b", "d"]),
    ])
    .unwrap()
}

/// Rows of `x` and `c`, with classes; `y` is 1, 2, 3 and so on.
fn rows(xs: &[Option<f32>], cs: &[Option<u32>], labels: &[bool]) -> Dataset {
    let rows: Vec<Row> = xs
        .iter()
        .zip(cs)
        .enumerate()
        .map(|(at, (x, c))| {
            Row::new(vec![
                x.map_or(Value::Missing, Value::Number),
                Value::Number(at as f32 + 1.0),
                c.map_or(Value::Missing, Value::Category),
            ])
        })
        .collect();
    Dataset::from_rows(schema(), &rows, labels.to_vec())
}

fn fit(data: &Dataset, list: Json, weights: Option<&[f32]>) -> FittedRows {
    let all: Vec<usize> = (0..data.len()).collect();
    let sample = Sample {
        weights,
        ..Sample::of(data, &all)
    };
    Transforms::new(&specs(list), 7).fit(sample).unwrap()
}

/// What one transform learns from numbers, some of them missing.
#[expect(clippy::needless_pass_by_value, reason = "literals")]
fn of_numbers(xs: &[Option<f32>], spec: Json) -> Fitted {
    let data = rows(xs, &vec![Some(0); xs.len()], &vec![true; xs.len()]);
    fit(&data, json!([spec]), None).file.transforms.remove(0).fitted
}

/// What one transform learns from categories, some of them missing.
#[expect(clippy::needless_pass_by_value, reason = "literals")]
fn of_categories(cs: &[Option<u32>], labels: &[bool], weights: Option<&[f32]>, spec: Json) -> Fitted {
    let data = rows(&vec![None; cs.len()], cs, labels);
    fit(&data, json!([spec]), weights)
        .file
        .transforms
        .remove(0)
        .fitted
}

const NUMBERS: [Option<f32>; 6] = [Some(8.0), None, Some(1.0), Some(3.0), Some(1.0), Some(7.0)];

#[test]
fn a_number_is_imputed_by_the_median_mean_mode_or_constant_of_the_training_rows() {
    let imputed = |strategy: &str, value: Json| {
        let mut spec = json!({"name": "t", "type": "Impute", "column": "x", "strategy": strategy});
        if value != Json::Null {
            spec["value"] = value;
        }
        match of_numbers(&NUMBERS, spec) {
            Fitted::Impute(Impute {
                value: Filling::Number(number),
                indicator: false,
            }) => number,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(imputed("Median", Json::Null), 3.0);
    assert_eq!(imputed("Mean", Json::Null), 4.0);
    assert_eq!(imputed("Mode", Json::Null), 1.0);
    assert_eq!(imputed("Constant", json!("-9.5")), -9.5);
    // Nothing to learn from.
    let spec = json!({"name": "t", "type": "Impute", "column": "x", "strategy": "Mean"});
    let absent = of_numbers(&[None, None], spec);
    assert!(matches!(absent, Fitted::Impute(Impute { value: Filling::Number(n), .. }) if n == 0.0));
}

#[test]
fn a_category_is_imputed_by_the_most_frequent_one_or_by_a_new_one() {
    let cs = [Some(2), Some(1), Some(1), Some(2), None];
    let imputed = |spec: Json| match of_categories(&cs, &[true; 5], None, spec) {
        Fitted::Impute(Impute {
            value: Filling::Category { name, index },
            ..
        }) => (name, index),
        other => panic!("{other:?}"),
    };
    let spec = json!({"name": "t", "type": "Impute", "column": "c", "strategy": "Mode"});
    assert_eq!(imputed(spec), ("b".to_owned(), 1));
    let constant = |value: &str| json!({"name": "t", "type": "Impute", "column": "c", "strategy": "Constant", "value": value});
    assert_eq!(imputed(constant("none")), ("none".to_owned(), 3));
    assert_eq!(imputed(constant("a")), ("a".to_owned(), 0));
}

#[test]
fn moments_are_those_of_the_numbers_that_are_there() {
    let spec = || json!({"name": "t", "type": "Standardize", "column": "x"});
    // 8, 1, 3, 1, 7: mean 4, population variance 8.8.
    assert_eq!(
        of_numbers(&NUMBERS, spec()),
        Fitted::Standardize(Standardize {
            mean: 4.0,
            scale: 8.8_f64.sqrt()
        })
    );
    let equal = of_numbers(&[Some(0.1), Some(0.1), None], spec());
    assert!(matches!(equal, Fitted::Standardize(Standardize { scale, .. }) if scale == 1.0));
}

#[test]
fn categories_have_a_column_each_and_places_by_the_order_of_the_spec() {
    let cs = [Some(1), Some(1), None];
    let one_hot = of_categories(
        &cs,
        &[true; 3],
        None,
        json!({"name": "t", "type": "OneHot", "column": "c"}),
    );
    assert!(
        matches!(&one_hot, Fitted::OneHot(of) if of.categories == ["a", "b", "d"]),
        "also those that these rows lack: {one_hot:?}"
    );
    let ordinal = |spec: Json| of_categories(&cs, &[true; 3], None, spec);
    assert_eq!(
        ordinal(json!({"name": "t", "type": "Ordinal", "column": "c"})),
        Fitted::Ordinal(Ordinal { ranks: vec![0, 1, 2] })
    );
    let ordered = json!({"name": "t", "type": "Ordinal", "column": "c", "order": ["d", "b", "z", "a"]});
    assert_eq!(
        ordinal(ordered),
        Fitted::Ordinal(Ordinal { ranks: vec![3, 1, 0] })
    );
}

#[test]
fn a_frequency_is_the_share_of_all_training_rows() {
    let cs = [Some(1), Some(1), None, Some(0)];
    let found = of_categories(
        &cs,
        &[true; 4],
        None,
        json!({"name": "t", "type": "FrequencyEncode", "column": "c"}),
    );
    assert_eq!(
        found,
        Fitted::FrequencyEncode(ByCategory {
            values: vec![0.25, 0.5, 0.0],
            missing: 0.25,
            unknown: 0.0
        })
    );
}

#[test]
fn a_target_encoding_is_smoothed_towards_the_overall_rate_and_weights_count() {
    let cs = [Some(0), Some(0), Some(0), Some(1), None, None];
    let labels = [true, true, false, false, true, false];
    let learnt = |weights: Option<&[f32]>, smoothing: Option<&str>| {
        let mut spec = json!({"name": "t", "type": "TargetEncode", "column": "c"});
        if let Some(smoothing) = smoothing {
            spec["smoothing"] = json!(smoothing);
        }
        match of_categories(&cs, &labels, weights, spec) {
            Fitted::TargetEncode(by) => by,
            other => panic!("{other:?}"),
        }
    };
    let by = learnt(None, Some("2"));
    // (2 * 0.5 + positives) / (2 + rows)
    assert_eq!(by.values, [3.0 / 5.0, 1.0 / 3.0, 0.5]);
    assert_eq!((by.missing, by.unknown), (0.5, 0.5));
    // Variance of all 0.25; of a: 3 rows, rate 2/3, sum of squares 2/3: 0.75 / (0.75 + 2/9).
    let by = learnt(None, None);
    let own = 0.75 / (0.75 + 2.0 / 9.0);
    assert!((by.values[0] - (own * 2.0 / 3.0 + (1.0 - own) * 0.5)).abs() < 1e-15);
    assert_eq!(
        by.values[1..],
        [0.0, 0.5],
        "one row varies in nothing; no row is the overall rate"
    );
    // A row of weight 0 says nothing.
    let by = learnt(Some(&[1.0, 0.0, 1.0, 1.0, 1.0, 0.0]), Some("0"));
    assert_eq!(by.values, [0.5, 0.0, 0.5]);
    assert_eq!((by.missing, by.unknown), (1.0, 0.5));
}

#[test]
fn bounds_of_clip_and_bins_are_quantiles_of_the_training_rows_or_given() {
    let numbers: Vec<Option<f32>> = (1..=100_u8).map(|at| Some(f32::from(at))).chain([None]).collect();
    let clip = json!({"name": "t", "type": "Clip", "column": "x", "minQuantile": "0.05", "maxValue": "90"});
    assert_eq!(
        of_numbers(&numbers, clip),
        Fitted::Clip(Clip {
            min: Some(5.5),
            max: Some(90.0)
        })
    );
    let edges = |spec: Json| match of_numbers(&numbers, spec) {
        Fitted::Bins(Bins { edges }) => edges,
        other => panic!("{other:?}"),
    };
    let bins =
        |binning: &str| json!({"name": "t", "type": "Bins", "column": "x", "bins": 4, "binning": binning});
    assert_eq!(edges(bins("Quantile")), [25.5, 50.5, 75.5]);
    assert_eq!(edges(bins("Uniform")), [25.75, 50.5, 75.25]);
    let given = json!({"name": "t", "type": "Bins", "column": "x", "edges": ["-1.5", "40"]});
    assert_eq!(edges(given), [-1.5, 40.0]);
    // Equal bounds are one, and equal numbers have none.
    let spec = || json!({"name": "t", "type": "Bins", "column": "x", "bins": 4});
    let few = [Some(1.0), Some(1.0), Some(1.0), Some(2.0)];
    assert_eq!(of_numbers(&few, spec()), Fitted::Bins(Bins { edges: vec![1.5] }));
    assert_eq!(
        of_numbers(&[Some(1.0), Some(1.0)], spec()),
        Fitted::Bins(Bins { edges: vec![] })
    );
}

#[test]
fn bins_of_equal_width_may_be_narrow_and_those_by_quantiles_may_not() {
    let numbers: Vec<Option<f32>> = (0..5_u8).map(|at| Some(f32::from(at) * 1e-9)).collect();
    let edges = |binning: &str| {
        let spec = json!({"name": "t", "type": "Bins", "column": "x", "bins": 5, "binning": binning});
        match of_numbers(&numbers, spec) {
            Fitted::Bins(Bins { edges }) => edges.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((edges("Uniform"), edges("Quantile")), (4, 0));
}

#[test]
fn a_value_that_equals_a_given_bound_or_offset_is_on_its_side_although_values_are_32_bit_floats() {
    let data = rows(
        &[Some(0.7), Some(0.3), Some(-0.7), Some(-0.3)],
        &[None; 4],
        &[true, false, true, false],
    );
    let list = json!([
        {"name": "bin", "type": "Bins", "column": "x", "edges": ["-0.7", "-0.3", "0.3", "0.7"], "keep": true},
        {"name": "log", "type": "Log", "column": "x", "offset": "0.7"},
    ]);
    let fitted = fit(&data, list, None);
    let names: Vec<&str> = fitted.derivation.schema().names().collect();
    assert_eq!(names, ["y", "c", "bin", "log"]);
    let of = |column: usize| -> Vec<Value> {
        let column = &fitted.data.columns[column];
        (0..4).map(|row| column.value(row)).collect()
    };
    let bins = of(2);
    assert_eq!(bins, [4, 3, 1, 2].map(Value::Category));
    // -0.7 + 0.7 is not above 0.
    let is_missing = of(3).into_iter().map(|value| value == Value::Missing);
    assert_eq!(is_missing.collect::<Vec<_>>(), [false, false, true, false]);
    // A server has the same values.
    let served: Vec<Value> = data
        .rows()
        .map(|row| fitted.derivation.derive(&row).values()[2])
        .collect();
    assert_eq!(served, bins);
}

#[test]
fn a_given_bound_of_clip_may_equal_a_quantile() {
    let clipped = |number: f32, spec: Json| match of_numbers(&[Some(number), Some(number)], spec) {
        Fitted::Clip(Clip { min, max }) => (min, max),
        other => panic!("{other:?}"),
    };
    // As a 32-bit float, 0.7 is less than 0.7, and 0.3 is more than 0.3.
    let least = json!({"name": "t", "type": "Clip", "column": "x", "minValue": "0.7", "maxQuantile": "0.5"});
    assert_eq!(clipped(0.7, least), (Some(0.7), Some(0.7)));
    let greatest =
        json!({"name": "t", "type": "Clip", "column": "x", "minQuantile": "0.5", "maxValue": "0.3"});
    let (min, max) = clipped(0.3, greatest);
    assert_eq!((min, max), (Some(f64::from(0.3_f32)), min));
}

#[test]
fn what_does_not_fit_the_features_is_a_sentence() {
    let found = |list: Json| -> Vec<String> {
        let problems = find_problems(&specs(list), &schema());
        problems
            .into_iter()
            .map(|problem| format!("{} {}", problem.transform, problem.message))
            .collect()
    };
    let one = |spec: Json| found(json!([spec])).concat();
    for (spec, part) in [
        (
            json!({"name": "x", "type": "Log", "column": "y"}),
            "x makes the column \"x\", and there is one of this name",
        ),
        (
            json!({"name": "t", "type": "Log", "column": "X"}),
            "did you mean \"x\"? The features are x, y, c",
        ),
        (
            json!({"name": "t", "type": "Log", "column": "c"}),
            "takes numbers, and \"c\" is Categorical",
        ),
        (
            json!({"name": "t", "type": "OneHot", "column": "x"}),
            "takes categories, and \"x\" is Numeric",
        ),
        (
            json!({"name": "t", "type": "Ratio", "columnA": "x", "columnB": "x"}),
            "divides \"x\" by itself",
        ),
        (
            json!({"name": "t", "type": "Ordinal", "column": "c", "order": ["a"]}),
            "has an order without 2 of the categories",
        ),
        (
            json!({"name": "t", "type": "Impute", "column": "c", "strategy": "Median"}),
            "has the strategy Median, and \"c\" is Categorical: it takes Mode or Constant",
        ),
        (
            json!({"name": "t", "type": "Impute", "column": "x", "strategy": "Constant", "value": "none"}),
            "has the value \"none\", and \"x\" is Numeric: write a number",
        ),
    ] {
        assert!(one(spec).contains(part), "{part}");
    }
    let replaced = found(json!([
        {"name": "a", "type": "Log", "column": "x"},
        {"name": "b", "type": "Log", "column": "x"},
        {"name": "d", "type": "Log", "column": "e"},
        {"name": "e", "type": "Log", "column": "y"},
    ]));
    assert_eq!(
        replaced,
        [
            "b reads \"x\", which the transform \"a\" replaced; set keep: true there, or move this one before it",
            "d reads \"e\", which no earlier transform makes; change their order"
        ]
    );
}

// === whole trainings ===

/// Every kind of transform, some of them of columns that others made.
fn every_kind() -> Json {
    json!([
        {"name": "filled", "type": "Impute", "column": "x", "strategy": "Median", "indicator": true, "keep": true},
        {"name": "scaled", "type": "Standardize", "column": "filled", "keep": true},
        {"name": "log", "type": "Log", "column": "filled", "offset": "1", "keep": true},
        {"name": "short", "type": "Clip", "column": "filled", "minQuantile": "0.1", "maxQuantile": "0.9", "keep": true},
        {"name": "decade", "type": "Bins", "column": "filled", "bins": 4, "keep": true},
        {"name": "decade-rate", "type": "TargetEncode", "column": "decade", "keep": true},
        {"name": "share", "type": "Ratio", "columnA": "filled", "columnB": "y", "keep": true},
        {"name": "area", "type": "Product", "columnA": "filled", "columnB": "y"},
        {"name": "known", "type": "Impute", "column": "c", "strategy": "Constant", "value": "none", "keep": true},
        {"name": "is", "type": "OneHot", "column": "known", "keep": true},
        {"name": "place", "type": "Ordinal", "column": "c", "keep": true},
        {"name": "rate", "type": "TargetEncode", "column": "c", "smoothing": "5", "keep": true},
        {"name": "often", "type": "FrequencyEncode", "column": "known"},
    ])
}

/// Rows of the schema whose class follows `x` and `c`, some of them missing.
fn many(count: u32) -> Dataset {
    let row = |at: u32| {
        let missing = |value, every| {
            if at.is_multiple_of(every) {
                Value::Missing
            } else {
                value
            }
        };
        Row::new(vec![
            missing(Value::Number((at * 37 % 101) as f32 / 3.0), 7),
            missing(Value::Number((at * 53 % 89) as f32), 17),
            missing(Value::Category(at % 3), 11),
        ])
    };
    let label = |at: u32| at * 37 % 101 + 30 * u32::from(at % 3 == 1) + at * 13 % 29 > 75;
    let table: Vec<Row> = (0..count).map(row).collect();
    Dataset::from_rows(schema(), &table, (0..count).map(label).collect())
}

fn plan_of(families: &[Family], list: Json) -> Plan {
    let transforms = Arc::new(Transforms::new(&specs(list), 7));
    let families = families.iter().map(|of| {
        let family = family::of(*of, &Settings::default());
        Arc::new(TransformedFamily::new(family, Arc::clone(&transforms))) as Arc<dyn TrainableFamily>
    });
    Plan {
        families: families.collect(),
        repeats: 1,
        ..plan()
    }
}

fn frozen(dataset: Dataset) -> Snapshot {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("snapshot");
    let target = TargetInfo {
        column: "class".into(),
        positive_when: "class is 1".into(),
    };
    let checked = Checked {
        dataset,
        columns: Vec::new(),
    };
    let files = snapshot::build(&checked, vec![], target, vec![]).unwrap();
    files.write(&dir).unwrap();
    snapshot::open(&dir, None).unwrap()
}

fn built(snapshot: &Snapshot, plan: &Plan, threads: usize) -> (Trained, DirBuilder) {
    let trained = train(&snapshot.data, plan, threads, &|_| ()).unwrap();
    let files = bundle::build("heart", snapshot, plan, &[], &trained, Extras::default()).unwrap();
    (trained, files)
}

#[test]
fn a_served_row_scores_bit_for_bit_as_in_training_in_every_family() {
    let snapshot = frozen(many(160));
    for of in Family::ALL {
        let plan = Plan {
            calibration: CalibrationMethod::Platt,
            ..plan_of(&[of], every_kind())
        };
        let (trained, files) = built(&snapshot, &plan, 2);
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let (_, digest) = files.write(&dir).unwrap();
        let bundle = Bundle::open(&dir, &digest).unwrap();
        bundle.verify_warm_up().unwrap();
        // Requests, warm-up and reference have the features as they come.
        assert_eq!(bundle.schema(), &schema());
        let mut rows: Vec<Row> = snapshot.data.rows().collect();
        rows.push(Row::new(vec![Value::Missing; 3]));
        rows.push(Row::new(vec![
            Value::Number(f32::MAX),
            Value::Number(0.0),
            Value::Unknown,
        ]));
        let (mut one_by_one, mut together) = (Vec::new(), Vec::new());
        for row in &rows {
            one_by_one.push(bundle.score(row).to_bits());
            assert_eq!(
                bundle.score(row).to_bits(),
                trained.scorer().score(row).to_bits(),
                "{of}"
            );
        }
        bundle.score_into(&rows, &mut together);
        let together: Vec<u64> = together.into_iter().map(f64::to_bits).collect();
        assert_eq!(one_by_one, together, "{of}");
        // So has the importance: the transforms go with the model.
        let importance = trained.importance.as_ref().unwrap().features.iter();
        let names: Vec<&str> = importance.map(|feature| feature.name.as_str()).collect();
        assert_eq!(names, ["x", "y", "c"]);
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        let card = read(file::CARD);
        assert!(
            card.contains("<td class=\"name\">decade-rate</td><td>TargetEncode</td>"),
            "{card}"
        );
        assert!(read(file::MLMODEL).contains("declared-transforms: \"declared-transforms.json\""));
    }
}

#[test]
fn a_search_with_transforms_has_the_same_bytes_with_any_number_of_threads() {
    let snapshot = frozen(many(120));
    let digest = |threads| {
        let plan = Plan {
            select_by: MetricName::LogLoss,
            search: Some(SearchPlan {
                trials: 9,
                seed: 3,
                time_limit: None,
            }),
            ..plan_of(&Family::ALL, every_kind())
        };
        built(&snapshot, &plan, threads).1.manifest().unwrap().2
    };
    assert_eq!(digest(1), digest(2));
}

#[test]
fn nothing_of_other_rows_gets_into_what_is_fitted_on_some() {
    let (data, mut other) = (many(120), many(120));
    let kept: Vec<usize> = (0..80).collect();
    for row in 80..120 {
        other.labels[row] = !other.labels[row];
        if let Values::Numbers(numbers) = &mut other.columns[0] {
            numbers[row] = 1e6;
        }
        if let Values::Categories(categories) = &mut other.columns[2] {
            categories[row] = 0;
        }
    }
    let transforms = Transforms::new(&specs(every_kind()), 7);
    let of = |data: &Dataset| transforms.fit(Sample::of(data, &kept)).unwrap();
    let (one, another) = (of(&data), of(&other));
    assert_eq!(one.file, another.file);
    assert_eq!(one.data, another.data);
}

/// A category of 200 that says nothing of the class, and a number of noise.
fn noise() -> Dataset {
    let words: Vec<String> = (0..200).map(|at| format!("k{at}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let schema = FeatureSchema::new(vec![Feature::numeric("x"), Feature::categorical("k", &words)]).unwrap();
    let mut random = SplitMix64::new(mix(5));
    let mut draw = |n: u64| random.below(n) as u32;
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        let x = Value::Number(draw(1_000_000) as f32);
        rows.push(Row::new(vec![x, Value::Category(draw(200))]));
        labels.push(draw(2) == 1);
    }
    Dataset::from_rows(schema, &rows, labels)
}

fn area(plan: &Plan, data: &Dataset) -> f64 {
    let trained = train(data, plan, 2, &|_| ()).unwrap();
    trained.candidates[0].estimates[position(MetricName::RocAuc)].mean
}

fn area_of_column(data: &Dataset, column: &Values) -> f64 {
    let value = |row| match column.value(row) {
        Value::Number(number) => f64::from(number),
        _ => f64::NAN,
    };
    let scores: Vec<f64> = (0..data.len()).map(value).collect();
    Ranking::new(&scores).roc_auc(&data.labels, |_| 1)
}

#[test]
fn a_target_encoding_of_noise_says_nothing_out_of_fold_where_a_naive_one_would() {
    let data = noise();
    let encode = json!([{"name": "rate", "type": "TargetEncode", "column": "k"}]);
    for of in [Family::LogisticRegression, Family::LightGBM] {
        let found = area(&plan_of(&[of], encode.clone()), &data);
        assert!((0.44..0.56).contains(&found), "{of}: {found}");
    }

    // Encoded once, before the folds: the class of each tested row is in its own encoding.
    let fitted = fit(&data, encode, None);
    let naive: Vec<Row> = data.rows().map(|row| fitted.derivation.derive(&row)).collect();
    let naive = Dataset::from_rows(fitted.derivation.schema().clone(), &naive, data.labels.clone());
    let leaking = area(&plan_of(&[Family::LogisticRegression], json!([])), &naive);
    assert!(leaking > 0.65, "{leaking}");

    // In the training rows of one fit the family sees noise too, so that it does not trust the column.
    let own = area_of_column(&data, &fitted.data.columns[1]);
    let served = area_of_column(&data, &naive.columns[1]);
    assert!((0.4..0.56).contains(&own) && served > 0.65, "{own}, {served}");
}

#[test]
fn a_group_is_not_encoded_by_its_own_rows() {
    let mut data = noise();
    // Each category is a group whose rows are all of one class: the rate says everything, and nothing of another group.
    let Values::Categories(categories) = &data.columns[1] else {
        panic!("categories")
    };
    data.labels = categories.iter().map(|category| category % 2 == 0).collect();
    let names = categories.iter().map(|category| format!("g{category}").into());
    data.row_columns.groups = Some(Groups::of_values("patient", names));
    let encode = json!([{"name": "rate", "type": "TargetEncode", "column": "k"}]);
    let grouped = fit(&data, encode.clone(), None);
    let own = area_of_column(&data, &grouped.data.columns[1]);
    assert!(own < 0.6, "each is the overall rate of other groups: {own}");
    data.row_columns.groups = None;
    let apart = fit(&data, encode, None);
    assert!(area_of_column(&data, &apart.data.columns[1]) > 0.9);
}

#[test]
fn a_group_is_not_encoded_by_its_own_rows_if_there_are_few_groups() {
    let words = ["a", "b", "d", "e", "f", "g"];
    let schema = FeatureSchema::new(vec![Feature::categorical("ward", &words)]).unwrap();
    let encode = json!([{"name": "rate", "type": "TargetEncode", "column": "ward"}]);
    // Each has a category of its own, of which the others say nothing: it has the rate of all rows.
    for wards in [1, 2, 6] {
        let table: Vec<Row> = (0..60)
            .map(|row| Row::new(vec![Value::Category(row % wards)]))
            .collect();
        let labels = (0..60).map(|row| row % 5 < 2).collect();
        let mut data = Dataset::from_rows(schema.clone(), &table, labels);
        let names = (0..60).map(|row: u32| format!("w{}", row % wards).into());
        data.row_columns.groups = Some(Groups::of_values("ward", names));
        let fitted = fit(&data, encode.clone(), None);
        assert_eq!(fitted.data.columns, [Values::Numbers(vec![0.4; 60])], "{wards}");
    }
}

#[test]
fn a_bundle_with_damaged_transforms_is_refused_with_the_name_of_the_file() {
    let snapshot = frozen(many(120));
    let plan = plan_of(&[Family::LogisticRegression], every_kind());
    let (trained, files) = built(&snapshot, &plan, 2);
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bundle");
    files.write(&dir).unwrap();
    let names: Vec<String> = files
        .manifest()
        .unwrap()
        .0
        .files
        .into_iter()
        .map(|file| file.path)
        .collect();
    let change = |change: &dyn Fn(&mut Json)| {
        let mut changed = DirBuilder::new(ManifestKind::Bundle);
        for name in &names {
            let mut content = std::fs::read(dir.join(name)).unwrap();
            if name == file::TRANSFORMS {
                let mut value: Json = serde_json::from_slice(&content).unwrap();
                change(&mut value);
                content = bytes_of(&value).unwrap();
            }
            changed = changed.with(name, content);
        }
        let other = temp.path().join("changed");
        let digest = changed.write(&other).unwrap().1;
        Bundle::open(&other, &digest)
    };
    change(&|_| ()).unwrap();
    let damages: [&dyn Fn(&mut Json); 6] = [
        &|file| file["format"] = json!(2),
        &|file| file["transforms"][0]["fitted"]["value"]["number"] = json!(1e60),
        &|file| file["transforms"][11]["fitted"]["values"] = json!([0.5]),
        &|file| file["transforms"][1]["fitted"]["scale"] = json!(0.0),
        &|file| file["transforms"][2]["columns"] = json!(["nowhere"]),
        &|file| drop(file["transforms"].as_array_mut().unwrap().pop()),
    ];
    for (at, damage) in damages.iter().enumerate() {
        let error = change(damage).unwrap_err();
        // Without the last one the columns are not those of the model, which its own preparation finds first.
        let blamed = if at == 5 {
            TRANSFORMS_FILE
        } else {
            file::TRANSFORMS
        };
        assert_eq!(error.file(), Some(blamed), "{at}: {error}");
    }
    let value = change(&|file| file["transforms"][0]["fitted"]["value"]["number"] = json!(3.5));
    assert!(matches!(
        value.unwrap().verify_warm_up(),
        Err(BundleError::Score { .. })
    ));

    // The file says the same as the model that was fitted.
    let read: TransformFile =
        serde_json::from_slice(&std::fs::read(dir.join(file::TRANSFORMS)).unwrap()).unwrap();
    assert_eq!(Some(&read), trained.fitted.transforms());
    Derivation::new(&snapshot.data.schema, &read).unwrap();
}
