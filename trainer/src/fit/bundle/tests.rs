use modelward_crds::{CalibrationMethod, Family, MetricName, ThresholdMetric};
use modelward_model::{
    Bundle, Feature, FeatureSchema, TargetInfo, encode::TRANSFORMS_FILE, family::columns::MODEL_FILE, sha256,
};

use serde_json::Value as Json;

use super::*;
use crate::{
    data::{check::Checked, dataset::Dataset, row_columns::RowColumnsInfo, snapshot},
    family::{self, Settings},
    fit::{
        plan::SearchPlan,
        threshold::ThresholdRule,
        train::{
            tests::{data, plan},
            train,
        },
    },
};

pub(super) fn frozen(data: Dataset) -> Snapshot {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("snapshot");
    let target = TargetInfo {
        column: "y".into(),
        positive_when: "y is 1".into(),
    };
    let checked = Checked {
        dataset: data,
        columns: Vec::new(),
    };
    snapshot::build(&checked, vec![], target, vec![])
        .unwrap()
        .write(&dir)
        .unwrap();
    snapshot::open(&dir, None).unwrap()
}

fn built(threads: usize) -> DirBuilder {
    let snapshot = frozen(data());
    let trained = train(&snapshot.data, &plan(), threads, &|_| ()).unwrap();
    build("heart", &snapshot, &plan(), &[], &trained, Extras::default()).unwrap()
}

#[test]
fn the_server_opens_it_and_scores_as_the_trainer_did() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bundle");
    let (_, digest) = built(1).write(&dir).unwrap();
    let bundle = Bundle::open(&dir, &digest).unwrap();
    assert_eq!(bundle.verify_warm_up().unwrap(), WARM_UP_ROWS + 1);
    let trained = train(&data(), &plan(), 1, &|_| ()).unwrap();
    for row in &data().rows().collect::<Vec<_>>() {
        assert_eq!(
            bundle.score(row).to_bits(),
            trained.fitted.scorer().score(row).to_bits()
        );
    }
}

#[test]
fn the_same_snapshot_and_plan_have_the_same_digest_whatever_the_threads() {
    let digest = |threads| built(threads).manifest().unwrap().2;
    assert_eq!(digest(1), digest(1));
    assert_eq!(digest(1), digest(4));
}

/// Files of a bundle have these digests, the snapshot's being fixed.
fn assert_digests<const N: usize>(expected: [(&str, &str); N]) {
    let snapshot = Snapshot {
        digest: sha256(b"snapshot"),
        ..frozen(data())
    };
    let trained = train(&snapshot.data, &plan(), 1, &|_| ()).unwrap();
    let files = build("heart", &snapshot, &plan(), &[], &trained, Extras::default()).unwrap();
    let (manifest, ..) = files.manifest().unwrap();
    let found = expected.map(|(name, _)| (name, manifest.file(name).unwrap().sha256.to_string()));
    assert_eq!(found, expected.map(|(name, hex)| (name, format!("sha256:{hex}"))));
}

#[test]
fn files_without_the_last_digits_of_the_solver_are_pinned() {
    assert_digests([
        (
            file::INFO,
            "086e18faf63382ed3bce11ab6a241915ccbfc5d430a1ddb38141d6598fb9f5c1",
        ),
        (
            file::SCHEMA,
            "d1cc66db079384587d7309bca313acc04fdfeb56f1e7535458b2f4df0e8853d0",
        ),
        (
            TRANSFORMS_FILE,
            "b13f41865793862432286333b1db1b185d00570c33d743649e9d818d93a5cab1",
        ),
        (
            file::CARD,
            "4ec1328f114080bbf81aa1e21696e22cf785ff7edb4e07d3210d8c59684630c1",
        ),
        (
            file::MLMODEL,
            "9830392b8f3f7fd301efc58bdbebe2222fd701e53655581641605a0f4fa0990f",
        ),
    ]);
}

/// The solver uses the C library's `exp`, whose last bits differ between libraries and between processors.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
#[test]
fn files_with_the_last_digits_of_the_solver_are_pinned_on_one_platform() {
    if !std::arch::is_x86_feature_detected!("fma") {
        return;
    }
    assert_digests([
        (
            MODEL_FILE,
            "68f4290e90afbfe264200fa33581cf853afabdb057eb0da0e9dab6614d7c7ae6",
        ),
        (
            file::WARM_UP,
            "a286faa2d115e551551261917df8d31707f6d6c47a0b4a8d2a3e1a5fc08a26ea",
        ),
        (
            file::METRICS,
            "b4fb231a5750201a6dffe7f245552c399cb1cabb9fadebb909da9ecfa01b3542",
        ),
        (
            file::OUT_OF_FOLD,
            "f835d680460f2cc24523fb86ba01d2a12a6305ce1b30339bd9c8580830415b97",
        ),
        (
            file::REFERENCE,
            "7cae208b25a2619a9b2fb59059365e434a4f6eb309c2e93c37d74a3fb17aa0f3",
        ),
    ]);
}

#[test]
fn out_of_fold_scores_read_back_to_the_same_bits() {
    let snapshot = frozen(data());
    let trained = train(&snapshot.data, &plan(), 1, &|_| ()).unwrap();
    let text = out_of_fold(&snapshot, &trained.candidates[0]);
    assert_eq!(text.lines().count(), 1 + 3 * 60);
    let line: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    let fold = trained.candidates[0]
        .folds
        .iter()
        .find(|fold| fold.rows.contains(&0))
        .unwrap();
    let at = fold.rows.iter().position(|row| *row == 0).unwrap();
    assert_eq!(
        line[5].parse::<f64>().unwrap().to_bits(),
        fold.scores[at].to_bits()
    );
}

#[test]
fn names_from_the_data_cannot_break_out_of_the_card_or_the_yaml() {
    let mut evil = data();
    evil.schema.features[0].name = "<script>alert(1)</script>\"\n- x: 'y".into();
    let snapshot = frozen(evil);
    let trained = train(&snapshot.data, &plan(), 1, &|_| ()).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("bundle");
    build("heart", &snapshot, &plan(), &[], &trained, Extras::default())
        .unwrap()
        .write(&dir)
        .unwrap();
    let card = std::fs::read_to_string(dir.join(file::CARD)).unwrap();
    assert!(!card.contains("<script"), "{card}");
    // In the tables, and in the figure of the importance.
    assert!(
        card.contains("&#60;script&#62;alert(1)") && card.contains("&lt;script&gt;"),
        "{card}"
    );
    let yaml = std::fs::read_to_string(dir.join(file::MLMODEL)).unwrap();
    let parsed: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    let inputs: serde_json::Value =
        serde_json::from_str(parsed["signature"]["inputs"].as_str().unwrap()).unwrap();
    assert_eq!(inputs[0]["name"], snapshot.data.schema.features[0].name);
    for word in ["utc_time", "run_id", "uuid"] {
        assert!(!yaml.contains(word));
    }
}

/// A candidate for each family, a search, and everything that is learnt.
fn plan_of_everything() -> Plan {
    Plan {
        families: Family::ALL.map(|of| family::of(of, &Settings::default())).into(),
        repeats: 2,
        calibration: CalibrationMethod::Platt,
        threshold: ThresholdRule::Maximise(ThresholdMetric::F1),
        search: Some(SearchPlan {
            trials: 8,
            seed: 3,
            time_limit: None,
        }),
        ..plan()
    }
}

#[test]
fn every_candidate_is_in_the_metrics_with_all_metrics_folds_and_parameters() {
    let (snapshot, plan) = (frozen(data()), plan_of_everything());
    let trained = train(&snapshot.data, &plan, 2, &|_| ()).unwrap();
    let columns = RowColumnsInfo::default();
    let file = metrics_file(
        &plan,
        columns,
        &[],
        &trained,
        &snapshot.data.labels,
        Extras::default(),
    );
    let file = serde_json::to_value(file).unwrap();
    let names = |metrics: &Json| metrics.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut sorted = MetricName::NAMES.to_vec();
    sorted.sort_unstable();
    let candidates = file["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 4);
    for candidate in candidates {
        assert!(!candidate["parameters"].as_object().unwrap().is_empty());
        assert!(candidate["threshold"].is_string() && candidate["calibration"].is_object());
        assert_eq!(
            candidate["metrics"].as_array().unwrap().len(),
            MetricName::ALL.len()
        );
        let folds = candidate["folds"].as_array().unwrap();
        assert_eq!(folds.len(), 2 * 4);
        for fold in folds {
            assert_eq!(names(&fold["metrics"]), sorted);
            let answers = fold["confusion"].as_object().unwrap().values();
            assert_eq!(
                answers.map(|count| count.as_u64().unwrap()).sum::<u64>(),
                fold["rows"]
            );
        }
    }
    let complete = file["trials"].as_array().unwrap().iter();
    let complete: Vec<&Json> = complete.filter(|trial| !trial["value"].is_null()).collect();
    assert!(complete.len() >= 4);
    for trial in complete {
        assert_eq!(names(&trial["metrics"]), sorted);
        assert_eq!(trial["metrics"]["F1"], trial["value"]);
    }
    assert_eq!(file["importance"]["features"].as_array().unwrap().len(), 2);
}

#[test]
fn the_card_of_a_search_is_the_same_for_any_threads_and_has_every_part() {
    let (snapshot, plan) = (frozen(data()), plan_of_everything());
    let gates: Vec<Gate> = [r#"{"metric": "F1", "atLeast": "0.99", "standardErrors": "1"}"#]
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let card = |threads| {
        let trained = train(&snapshot.data, &plan, threads, &|_| ()).unwrap();
        let files = build("heart", &snapshot, &plan, &gates, &trained, Extras::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        files.write(&dir.path().join("bundle")).unwrap();
        std::fs::read_to_string(dir.path().join("bundle").join(file::CARD)).unwrap()
    };
    let found = card(1);
    assert_eq!(found, card(3));
    for part in [
        "<figcaption>Receiver operating characteristic</figcaption><svg",
        "<figcaption>Precision and recall</figcaption><svg",
        "<figcaption>Calibration</figcaption><svg",
        "<figcaption>Predictions at the threshold</figcaption><svg",
        "<title id=\"importance-t\">Importance of the features</title>",
        "<title id=\"metric-0-t\">Accuracy, higher is better</title>",
        "8 of 8 trials were evaluated on the folds of the first repeat",
        "<td>at least 0.99</td><td>mean of 8 folds minus 1 standard error</td>",
        "where F1 is greatest",
        "by the method Platt",
        "after correction for the selection",
        "learning_rate",
        "Limits of use",
    ] {
        assert!(found.contains(part), "{part} is not in {found}");
    }
    for part in [
        "<script", "http:", "https:", "src=", "href=", "NaN", "inf ", "url(",
    ] {
        assert!(!found.contains(part), "{part} is in {found}");
    }
}

#[test]
fn a_card_of_many_features_shows_the_most_important_ones_alone() {
    let features: Vec<Feature> = (0..40)
        .map(|at| Feature::numeric(&format!("measurement_of_something_with_a_long_name_{at}")))
        .collect();
    let value = |row: u32, feature: u32| Value::Number((row * (feature + 3) * 37 % 60) as f32);
    let rows = (0..60).map(|row| Row::new((0..40).map(|feature| value(row, feature)).collect()));
    let labels = data().labels;
    let schema = FeatureSchema::new(features).unwrap();
    let snapshot = frozen(Dataset::from_rows(schema, &rows.collect::<Vec<_>>(), labels));
    let plan = Plan { repeats: 1, ..plan() };
    let trained = train(&snapshot.data, &plan, 2, &|_| ()).unwrap();
    let files = build("heart", &snapshot, &plan, &[], &trained, Extras::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    files.write(&dir.path().join("bundle")).unwrap();
    let card = std::fs::read_to_string(dir.path().join("bundle").join(file::CARD)).unwrap();
    assert!(card.contains("The 20 most important of 40 features are shown"));
    assert_eq!(card.matches("class=\"whisker\"").count(), 20);
}
