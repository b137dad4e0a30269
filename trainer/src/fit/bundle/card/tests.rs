use modelward_crds::{CalibrationMethod, EnsembleUse, Family, ThresholdMetric};
use modelward_model::{BUNDLE_FORMAT, sha256};

use super::{words::describe_platt, *};
use crate::{
    data::{
        dataset::Dataset,
        row_columns::{Groups, TimeFormat, Times},
    },
    family::{self, Settings},
    fit::{
        bundle::{outcomes, tests::frozen},
        given::measure_model,
        plan::{EnsemblePlan, SplitBy},
        splits::Splits,
        threshold::ThresholdRule,
        train::{
            tests::{data, plan},
            train,
        },
    },
};

/// The rows with a time and a group each.
fn with_columns() -> Dataset {
    let mut data = data();
    data.row_columns.times = Some(Times {
        column: "admitted".into(),
        format: TimeFormat::EpochSeconds,
        of_row: (0..60).map(|row| row * 1_000_000).collect(),
    });
    data.row_columns.groups = Some(Groups {
        column: "patient".into(),
        names: (0..30).map(|group| format!("p{group}")).collect(),
        of_row: (0..60).map(|row| row / 2).collect(),
    });
    data
}

/// A snapshot as it is read back, with the times and groups that only the data has.
fn frozen_with_columns(data: Dataset) -> Snapshot {
    let row_columns = data.row_columns.clone();
    let mut snapshot = frozen(data);
    snapshot.data.row_columns = row_columns;
    snapshot
}

/// The card of what was trained, with a gate on F1, in lines that are joined.
fn render(snapshot: &Snapshot, plan: &Plan, trained: &Trained, image: Option<&CustomTrainerInfo>) -> String {
    let gates: Vec<Gate> = vec![serde_json::from_str(r#"{"metric": "F1", "atLeast": "0.1"}"#).unwrap()];
    let candidate = trained.candidate();
    let info = BundleInfo {
        format: BUNDLE_FORMAT,
        model: "heart".to_owned(),
        family: candidate.family.to_owned(),
        threshold: candidate.threshold.clone(),
        snapshot: Some(snapshot.digest),
        rows: snapshot.info.rows,
        positive_rows: snapshot.info.positive_rows,
        target: snapshot.info.target.clone(),
        selected_by: plan.select_by.as_str().to_owned(),
        metrics: candidate.reported.clone(),
        gates: outcomes(candidate, &gates, None),
        training: None,
        reproducible: trained.reproducible,
        imported: None,
        custom_trainer: image.cloned(),
        members: Vec::new(),
    };
    let extras = Extras {
        custom_trainer: image,
        ..Extras::default()
    };
    let card = card(snapshot, plan, &gates, trained, &info, extras).unwrap();
    card.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn card_of(plan: &Plan) -> String {
    let snapshot = frozen_with_columns(with_columns());
    let trained = train(&snapshot.data, plan, 2, &|_| ()).unwrap();
    render(&snapshot, plan, &trained, None)
}

/// The card of a model that counts as one that an image left.
fn card_of_image(change: impl FnOnce(&mut Plan)) -> String {
    let mut of_image = Plan {
        families: Vec::new(),
        held_out: Some(0.4),
        repeats: 1,
        ..plan()
    };
    change(&mut of_image);
    let snapshot = frozen_with_columns(with_columns());
    let fitted = train(&snapshot.data, &plan(), 1, &|_| ()).unwrap().fitted;
    let splits = Splits::new(&snapshot.data, &of_image).unwrap();
    let trained = measure_model(&snapshot.data, &of_image, &splits, fitted, "LightGBM").unwrap();
    let image = CustomTrainerInfo {
        image: "registry.example/trainer:1".to_owned(),
        format: "LightGBM text".to_owned(),
        file: sha256(b"model"),
        rows: 36,
        compared_rows: 36,
    };
    render(&snapshot, &of_image, &trained, Some(&image))
}

fn assert_words(card: &str, with: &[&str], without: &[&str]) {
    for part in with {
        assert!(card.contains(part), "{part} is not in {card}");
    }
    for part in without {
        assert!(!card.contains(part), "{part} is in {card}");
    }
}

#[test]
fn a_default_threshold_is_called_the_default_and_the_only_candidate_was_not_selected_by_a_metric() {
    let card = card_of(&plan());
    assert_words(
        &card,
        &[
            "<dt>F1, out of fold</dt>",
            "The values are means over 3 × 4 stratified folds (seed 7), each scored by a model that was not fitted on its rows.",
            "LogisticRegression is the only candidate.",
            "The threshold is 0.5, the default: the spec sets none.",
            "does not weigh that cost: it is the default.",
            "in each of 4 folds of the first repeat.",
            "All rows have the same weight in the fits.",
            "The class is 1 if it is at least 0.5.",
            "<td>mean of 12 folds</td>",
        ],
        &["selected by", "given", "(selects)", "At 0.5"],
    );
    let given = card_of(&Plan {
        threshold: ThresholdRule::Value("0.5".parse().unwrap()),
        ..plan()
    });
    assert_words(
        &given,
        &[
            "The threshold is 0.5, as the spec sets it.",
            "does not weigh that cost: the spec sets it.",
        ],
        &["the default"],
    );
}

#[test]
fn a_threshold_that_leaves_one_class_is_named() {
    for (threshold, class) in [("1", 0), ("0", 1)] {
        let card = card_of(&Plan {
            threshold: ThresholdRule::Value(threshold.parse().unwrap()),
            ..plan()
        });
        let words = format!("At {threshold} every measured row gets class {class}.");
        assert_words(&card, &[&words], &[]);
    }
}

#[test]
fn a_split_in_time_names_its_column_and_what_was_tested_on_later_rows() {
    let card = card_of(&Plan {
        repeats: 1,
        split_by: SplitBy::Time { gap: 2_000_000 },
        threshold: ThresholdRule::Maximise(ThresholdMetric::F1),
        ..plan()
    });
    assert_words(
        &card,
        &[
            "<dt>F1, on later rows</dt>",
            "The values are means over the last 3 of 5 blocks of rows in the order of the column &#34;admitted&#34;, each scored by a model that \
             was fitted on the blocks before it, with at least 2 seconds between the two.",
            "The threshold of each block is learnt from the scores of earlier blocks;",
            "The rows that were measured are later than those that the scoring model was fitted on.",
            "does not weigh that cost: it is where F1 is greatest.",
            "in each of 4 blocks.",
        ],
        &["later times", "of the first repeat", "stratified"],
    );
}

#[test]
fn a_split_by_groups_names_its_column() {
    let card = card_of(&Plan {
        repeats: 1,
        split_by: SplitBy::Groups,
        ..plan()
    });
    assert_words(
        &card,
        &["all rows of a group, by the column &#34;patient&#34;, are in one fold."],
        &["1 × 4"],
    );
}

#[test]
fn a_model_of_an_image_has_no_folds_no_selection_and_no_hyper_parameters() {
    let card = card_of_image(|_| ());
    assert_words(
        &card,
        &[
            "<dt>F1, on held-out rows</dt>",
            "<h2>Metrics</h2>",
            "The values are means over 4 stratified parts (seed 7) of 24 held-out rows, with their standard errors. The image did not get these \
             rows.",
            "<td>mean of 4 parts of the held-out rows</td>",
            "The image registry.example/trainer:1 fitted the model. Its hyper-parameters, and how much each row counted, are not known here.",
            "The figures show the 24 held-out rows, each scored by the model that serves.",
            "in each of 4 parts.",
        ],
        &[
            "fold",
            "(selects)",
            "selected",
            "only candidate",
            "All rows have the same weight",
            "<th>Parameter</th>",
        ],
    );
    let in_time = card_of_image(|plan| {
        plan.split_by = SplitBy::Time { gap: 0 };
        plan.threshold = ThresholdRule::Maximise(ThresholdMetric::F1);
    });
    assert_words(
        &in_time,
        &[
            "the last 3 of 4 blocks of the held-out rows, which are the latest by the column &#34;admitted&#34;",
        ],
        &["fold"],
    );
}

#[test]
fn an_ensemble_that_is_always_used_was_not_selected_by_a_metric() {
    let of = |use_when| {
        card_of(&Plan {
            families: [Family::LogisticRegression, Family::RandomForest]
                .map(|of| family::of(of, &Settings::default()))
                .into(),
            repeats: 1,
            ensemble: Some(EnsemblePlan {
                max_members: 4,
                use_when,
            }),
            ..plan()
        })
    };
    assert_words(
        &of(EnsembleUse::IfBetter),
        &["The candidate was selected by F1: ", "F1 (selects)"],
        &[],
    );
    assert_words(&of(EnsembleUse::Always), &[], &["selected by F1", "(selects)"]);
}

#[test]
fn a_negative_intercept_is_subtracted() {
    assert_eq!(
        describe_platt(0.877_94, -0.0446),
        "the log-odds times 0.8779 minus 0.0446"
    );
    assert_eq!(describe_platt(1.0, 0.25), "the log-odds times 1.0000 plus 0.2500");
    assert_eq!(
        describe_platt(1.0, -0.000_01),
        "the log-odds times 1.0000 plus 0.0000"
    );
    let card = card_of(&Plan {
        calibration: CalibrationMethod::Platt,
        ..plan()
    });
    assert_words(&card, &["by the method Platt: the log-odds times "], &["plus -"]);
}
