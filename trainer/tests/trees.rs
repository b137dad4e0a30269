//! The families of trees: they learn, export what scores as their library does, and keep to what a spec says.
#![expect(clippy::unwrap_used, reason = "what a test needs and cannot have ends it")]

use std::{collections::BTreeMap, sync::Arc};

use modelward_crds::{Family, Hyperparameters, Monotone};
use modelward_model::{
    Families, FamilyFiles, Feature, FeatureSchema, Row, Scorer, Value, family::BUILT_IN, math::ln,
};
use modelward_trainer::{
    data::dataset::{Dataset, Sample},
    family::{self, FittedModel, Parameter, Settings, TrainableFamily},
};

const TREES: [Family; 3] = [Family::RandomForest, Family::XGBoost, Family::LightGBM];

/// Rows whose class follows from a number, a category and a product of two numbers, some of them missing.
fn data(rows: u32) -> Dataset {
    let schema = FeatureSchema::new(vec![
        Feature::numeric("x"),
        Feature::categorical("c", &["a", "b", "d", "e"]),
        Feature::numeric("y"),
        Feature::numeric("constant"),
    ]);
    let row = |at: u32| {
        let present = |value, every| {
            if at.is_multiple_of(every) {
                Value::Missing
            } else {
                value
            }
        };
        Row::new(vec![
            present(Value::Number(x(at)), 17),
            present(Value::Category(at % 4), 13),
            present(Value::Number(y(at)), 7),
            Value::Number(3.0),
        ])
    };
    let label = |at: u32| {
        let score = x(at) * y(at) + 2.0 * f32::from(u8::from(at % 4 == 2));
        (score > 1.0) != (at % 23 == 5)
    };
    let table: Vec<Row> = (0..rows).map(row).collect();
    Dataset::from_rows(schema.unwrap(), &table, (0..rows).map(label).collect())
}

fn x(at: u32) -> f32 {
    (at * 37 % 101) as f32 / 33.0 - 1.5
}

fn y(at: u32) -> f32 {
    (at * 53 % 97) as f32 / 32.0 - 1.5
}

fn settings(hyperparameters: &str) -> Settings {
    Settings {
        hyperparameters: serde_json::from_str::<Hyperparameters>(hyperparameters).unwrap(),
        seed: 7,
        ..Settings::default()
    }
}

fn fit(family: &dyn TrainableFamily, data: &Dataset, weights: Option<&[f32]>) -> Box<dyn FittedModel> {
    let rows: Vec<usize> = (0..data.len()).collect();
    let sample = Sample {
        data,
        rows: &rows,
        weights,
    };
    family.fit(sample.into()).unwrap()
}

fn share_of_right_classes(model: &dyn Scorer, data: &Dataset) -> f64 {
    let right = data
        .rows()
        .zip(&data.labels)
        .filter(|(row, label)| (model.score(row) >= 0.5) == **label);
    right.count() as f64 / data.len() as f64
}

#[test]
fn each_family_learns_and_its_exported_model_scores_as_the_library() {
    let data = data(1500);
    for family in TREES {
        let family = family::of(family, &settings("{}"));
        let fitted = fit(&*family, &data, None);
        let right = share_of_right_classes(fitted.scorer(), &data);
        assert!(right > 0.93, "{family:?}: {right}");
        let rows: Vec<usize> = (0..data.len()).collect();
        let sample = Sample::of(&data, &rows);
        fitted.check_parity(sample).unwrap();

        let report = fitted.report();
        assert_eq!(report.rows.len(), 4);
        assert_eq!(
            report.rows[3][0], "constant",
            "it gains nothing: {:?}",
            report.rows
        );
        assert!(
            report
                .rows
                .iter()
                .take(3)
                .all(|row| row[2].parse::<u64>().unwrap() > 0)
        );
    }
}

#[test]
fn files_of_a_bundle_are_read_to_the_same_scores_and_equal_fits_have_equal_files() {
    let data = data(700);
    for family in TREES {
        let family = family::of(family, &settings("{}"));
        let (one, other) = (fit(&*family, &data, None), fit(&*family, &data, None));
        let files = one.files().unwrap();
        assert_eq!(files, other.files().unwrap(), "{family:?}");
        let families: Families = BUILT_IN;
        let served = families.find(family.served().name()).unwrap();
        let read = served
            .load(&FamilyFiles::of_bytes(served, &files), &data.schema)
            .unwrap();
        let rows: Vec<Row> = data.rows().collect();
        let (mut batch, mut single) = (Vec::new(), Vec::new());
        read.score_rows(&rows, &mut batch);
        single.extend(rows.iter().map(|row| one.scorer().score(row)));
        assert_eq!(batch, single, "{family:?}");
    }
}

#[test]
fn hyperparameters_reach_the_library() {
    let data = data(700);
    let few = r#"{"randomForest": {"nEstimators": 7, "maxDepth": 2, "colsampleBynode": "0.5"},
        "xgboost": {"nEstimators": 7, "maxDepth": 2, "learningRate": "0.05", "regLambda": "3"},
        "lightgbm": {"nEstimators": 7, "numLeaves": 4, "baggingFraction": "0.5", "extraTrees": true}}"#;
    for family in TREES {
        let (few, many) = (
            family::of(family, &settings(few)),
            family::of(family, &settings("{}")),
        );
        let (fitted, default) = (fit(&*few, &data, None), fit(&*many, &data, None));
        assert!(
            fitted.report().sentence.contains(" 7 "),
            "{}",
            fitted.report().sentence
        );
        let splits = |model: &dyn FittedModel| -> u64 {
            model
                .report()
                .rows
                .iter()
                .map(|row| row[2].parse::<u64>().unwrap())
                .sum()
        };
        assert!(splits(&*fitted) <= 7 * 3, "{few:?}: {}", splits(&*fitted));
        assert!(splits(&*default) > 100, "{many:?}: {}", splits(&*default));
    }
}

#[test]
fn a_monotone_feature_never_changes_the_score_the_other_way() {
    let data = data(1500);
    for family in TREES {
        for (direction, sign) in [(Monotone::Increasing, 1.0), (Monotone::Decreasing, -1.0)] {
            let mut settings = settings("{}");
            settings.monotone = BTreeMap::from([("x".to_owned(), direction)]);
            let family: Arc<dyn TrainableFamily> = family::of(family, &settings);
            let fitted = fit(&*family, &data, None);
            for at in 0..40 {
                let score = |step: u16| {
                    let x = f32::from(step) / 20.0 - 1.5;
                    let row = Row::new(vec![
                        Value::Number(x),
                        Value::Category(at % 4),
                        Value::Number(y(at)),
                        Value::Number(3.0),
                    ]);
                    sign * fitted.scorer().score(&row)
                };
                let scores: Vec<f64> = (0..60).map(score).collect();
                assert!(scores.is_sorted(), "{family:?} {direction:?}: {scores:?}");
            }
        }
    }
}

#[test]
fn rows_of_more_weight_move_the_scores() {
    let data = data(900);
    let weights: Vec<f32> = data
        .labels
        .iter()
        .map(|label| if *label { 5.0 } else { 1.0 })
        .collect();
    for family in Family::ALL {
        let family = family::of(family, &settings("{}"));
        let mean = |model: &dyn FittedModel| {
            let scores: f64 = data.rows().map(|row| model.scorer().score(&row)).sum();
            scores / data.len() as f64
        };
        let (equal, weighted) = (fit(&*family, &data, None), fit(&*family, &data, Some(&weights)));
        assert!(mean(&*weighted) > mean(&*equal) + 0.01, "{family:?}");
    }
}

#[test]
fn a_category_that_training_never_saw_is_scored_as_the_table_of_trees_says() {
    let data = data(700);
    for family in TREES {
        let fitted = fit(&*family::of(family, &settings("{}")), &data, None);
        let row = |category| {
            Row::new(vec![
                Value::Number(1.0),
                category,
                Value::Missing,
                Value::Number(3.0),
            ])
        };
        let score = fitted.scorer().score(&row(Value::Unknown));
        assert!((0.0..=1.0).contains(&score), "{score}");
    }
}

#[test]
fn a_model_that_stopped_finishes_as_a_fit_of_so_many_rounds_whatever_was_fitted_between() {
    let data = data(1500);
    let (learnt, tested): (Vec<usize>, Vec<usize>) = (0..data.len()).partition(|row| row % 5 != 0);
    let (learnt, tested) = (Sample::of(&data, &learnt), Sample::of(&data, &tested));
    let drawn = settings(
        r#"{"xgboost": {"nEstimators": 12, "subsample": "0.7", "colsampleBytree": "0.7"},
            "lightgbm": {"nEstimators": 12, "baggingFraction": "0.7", "featureFraction": "0.7"}}"#,
    );
    for of in [Family::XGBoost, Family::LightGBM] {
        let family = family::of(of, &drawn);
        let stopped = || family.fit_watched(learnt.into(), tested).unwrap().unwrap();
        for rounds in [5_u32, 12, 20] {
            let mut watched = stopped();
            assert_eq!(watched.curve.len(), 12);
            let first = watched.model.score(5, tested).unwrap();
            stopped();
            let finished = watched.model.finish(rounds).unwrap();
            finished.check_parity(tested).unwrap();
            let whole = family.with(&[("n_estimators", Parameter::Integer(i64::from(rounds)))]);
            let whole = whole.fit(learnt.into()).unwrap();
            for (at, row) in tested.rows.iter().map(|row| data.row(*row)).enumerate() {
                let score = finished.scorer().score(&row);
                assert_eq!(score, whole.scorer().score(&row), "{of:?} {rounds}");
                assert!(rounds != 5 || (score - first[at]).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn the_first_round_of_a_curve_has_a_split_also_if_the_library_found_none_at_first() {
    // Three columns say nothing of the class, and a round draws two of the four.
    let schema = FeatureSchema::new(["signal", "a", "b", "c"].map(Feature::numeric).to_vec()).unwrap();
    let row = |at: u32| {
        let bits = (0..4_u32).map(|bit| Value::Number(((at >> bit) & 1) as f32));
        Row::new(bits.collect())
    };
    let label = |at: u32| (at % 2 == 1) != (at < 16);
    let table: Vec<Row> = (0..160).map(row).collect();
    let data = Dataset::from_rows(schema, &table, (0..160).map(label).collect());
    let rows: Vec<usize> = (0..data.len()).collect();
    let sample = Sample::of(&data, &rows);
    let mut after_a_constant = 0;
    for seed in 0..20 {
        let settings = Settings {
            seed: 1 + 1013 * seed,
            ..settings(r#"{"lightgbm": {"nEstimators": 3, "featureFraction": "0.5"}}"#)
        };
        let family = family::of(Family::LightGBM, &settings);
        let mut watched = family.fit_watched(sample.into(), sample).unwrap().unwrap();
        let scores = watched.model.score(1, sample).unwrap();
        let mut loss = 0.0;
        for (score, label) in scores.iter().zip(&data.labels) {
            loss -= ln(if *label { *score } else { 1.0 - score });
        }
        let first = watched.curve[0];
        assert!((loss / 160.0 - first).abs() < 1e-6, "{seed}: {loss} {first}");
        let finished = watched.model.finish(1).unwrap();
        for (row, score) in data.rows().zip(&scores) {
            assert!((finished.scorer().score(&row) - score).abs() < 1e-6, "{seed}");
        }
        finished.check_parity(sample).unwrap();
        after_a_constant += u32::from(finished.report().sentence.contains(" 2 "));
    }
    assert!(after_a_constant > 0);
}
