//! Whether the result of a Job is accepted.
//!
//! A result is the termination message of a container, or what a Pod wrote to the ledger. Neither proves anything about the
//! artifact that it names. The artifact itself states what it was trained on or made of and its metrics, in bytes that its digest covers;
//! the ledger reads them. The operator uses that statement, and only if it matches the request:
//!
//! ```text
//! result ──names──► artifact ──states──► model, training, snapshot, metrics, gates
//!    └──────must agree──────────────────────┘   └── must match the request
//! ```

use modelward_crds::{ArtifactSource, Champion, Gate, TrainingSource};
use modelward_wire::{
    ArtifactStatement, Decimal, Digest, GateBound, GateResult, ImportRecord, JobResult, JobStage,
    ManifestKind, NewRows, SourceRecord, Stated, Verdict,
};
use sha2::{Digest as _, Sha256};

/// The request of a Job.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The model.
    pub model: &'a str,
    /// What it was asked to do.
    pub work: Work<'a>,
}

/// What a Job is asked to do.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// To read data, or to fit a model to them.
    Training {
        /// The training.
        training: &'a TrainingSource,
        /// The snapshot that a fit reads.
        snapshot: Option<Digest>,
    },
    /// To import a model.
    Import(&'a ArtifactSource),
}

/// The sha256 of the training as JSON, as the trainer computes it from the spec that it reads.
pub fn training_digest(training: &TrainingSource) -> Option<Digest> {
    let bytes = serde_json::to_vec(training).ok()?;
    Some(Digest::from_bytes(Sha256::digest(bytes).into()))
}

/// The result with everything that the artifact states, or why it is rejected, as text.
pub fn believe(
    asked: &Asked<'_>,
    reported: &JobResult,
    statement: &ArtifactStatement,
) -> Result<JobResult, String> {
    let stated = &statement.stated;
    match (reported.stage, statement.kind, asked.work) {
        (JobStage::Snapshot, ManifestKind::Snapshot, Work::Training { training, .. }) => {
            check_snapshot(training, reported, stated)
        }
        (JobStage::Fit, ManifestKind::Bundle, Work::Training { training, snapshot }) => {
            check_fit(asked.model, training, snapshot, reported, stated)
        }
        (JobStage::Import, ManifestKind::Bundle, Work::Import(artifact)) => {
            check_import(asked.model, artifact, reported, stated)
        }
        (stage, kind, _) => Err(format!("a {stage:?} names an artifact that is a {kind:?}")),
    }
}

fn check_snapshot(
    training: &TrainingSource,
    reported: &JobResult,
    stated: &Stated,
) -> Result<JobResult, String> {
    agree("rows", &reported.rows.unwrap_or_default(), &stated.rows)?;
    if !reports_sources(reported, &stated.sources) {
        return Err("the snapshot states other sources than the result".to_owned());
    }
    let wanted = training.datasets().count();
    if stated.sources.len() != wanted {
        return Err(format!(
            "the snapshot was read from {} sources, the spec names {wanted}",
            stated.sources.len()
        ));
    }
    if let Some(counted) = &reported.new_rows {
        check_new_rows(training, counted, stated)?;
    }
    Ok(JobResult {
        rows: Some(stated.rows),
        sources: stated.sources.clone(),
        ..reported.clone()
    })
}

/// A termination message that is cut has shorter names, and may leave out the last sources.
fn reports_sources(reported: &JobResult, stated: &[SourceRecord]) -> bool {
    if !reported.cut {
        return reported.sources == stated;
    }
    let is_same = |(one, other): (&SourceRecord, &SourceRecord)| {
        (one.sha256, one.rows, one.positive_rows) == (other.sha256, other.rows, other.positive_rows)
    };
    reported.sources.len() <= stated.len() && reported.sources.iter().zip(stated).all(is_same)
}

/// The snapshot does not state how many of its rows are new, so the count is only bounded by its rows.
fn check_new_rows(training: &TrainingSource, counted: &NewRows, stated: &Stated) -> Result<(), String> {
    if training.not_worse_than.is_none() {
        return Err(
            "the result counts new rows, but the spec names no version to count them against".to_owned(),
        );
    }
    let positive = stated
        .sources
        .iter()
        .map(|source| source.positive_rows)
        .sum::<Option<u64>>();
    let all = counted.rows.checked_add(counted.repeated_rows);
    let fits = all.is_some_and(|all| all <= stated.rows)
        && counted.positive_rows <= counted.rows
        && positive.is_none_or(|positive| counted.positive_rows <= positive);
    if fits {
        Ok(())
    } else {
        Err(format!(
            "the result counts {} new rows, {} of them of class 1, and {} repeated ones, which the snapshot of {} rows cannot have",
            counted.rows, counted.positive_rows, counted.repeated_rows, stated.rows
        ))
    }
}

fn check_fit(
    model: &str,
    training: &TrainingSource,
    snapshot: Option<Digest>,
    reported: &JobResult,
    stated: &Stated,
) -> Result<JobResult, String> {
    check_model(model, stated)?;
    if stated.snapshot != snapshot {
        let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
        let wanted = text(snapshot).unwrap_or_default();
        return Err(wrong("snapshot", &wanted, text(stated.snapshot).as_deref()));
    }
    let wanted = training_digest(training);
    if wanted.is_none() || stated.training != wanted {
        return Err(match stated.training {
            Some(_) => "the bundle was trained by another spec than this version's".to_owned(),
            None => "the bundle does not state the spec that it was trained by; use images of one release"
                .to_owned(),
        });
    }
    agree("family", &reported.family, &stated.family)?;
    agree("threshold", &reported.threshold, &stated.threshold)?;
    agree("metrics", &reported.metrics, &stated.metrics)?;
    agree("gates", &reported.gates, &stated.gates)?;
    for gate in &training.gates {
        check_gate(gate, stated)?;
    }
    if let Some(champion) = &training.not_worse_than {
        check_champion(champion, &stated.gates)?;
    }
    let failed = stated.gates.iter().any(|gate| !gate.passed);
    Ok(JobResult {
        verdict: if failed {
            Verdict::GatesFailed
        } else {
            Verdict::Succeeded
        },
        rows: Some(stated.rows),
        family: stated.family.clone(),
        threshold: stated.threshold.clone(),
        metrics: stated.metrics.clone(),
        gates: stated.gates.clone(),
        ..reported.clone()
    })
}

/// A bundle of another cluster has a name and a threshold of its own, and is recognised by its digest; what was made of a file states
/// that file.
fn check_import(
    model: &str,
    artifact: &ArtifactSource,
    reported: &JobResult,
    stated: &Stated,
) -> Result<JobResult, String> {
    let Some(imported) = &reported.imported else {
        return Err("the result does not say what was imported; use images of one release".to_owned());
    };
    agree("family", &reported.family, &stated.family)?;
    agree("threshold", &reported.threshold, &stated.threshold)?;
    agree("rows", &reported.rows.unwrap_or_default(), &stated.rows)?;
    // Only a folder or a registry can hold a bundle.
    let on_volume = (artifact.file.as_ref()).is_some_and(|file| file.persistent_volume_claim.is_some());
    let is_copied = (on_volume || artifact.mlflow.is_some()) && reported.digest == Some(imported.file);
    if !is_copied {
        check_model(model, stated)?;
        let of_file = |record: &ImportRecord| (record.format.clone(), record.file, record.sample);
        agree(
            "origins",
            &Some(of_file(imported)),
            &stated.imported.as_ref().map(of_file),
        )?;
    }
    let pinned = artifact.file.as_ref().and_then(|file| file.sha256);
    if let Some(pinned) = pinned.filter(|pinned| *pinned != imported.file) {
        return Err(wrong(
            "file",
            &pinned.to_string(),
            Some(&imported.file.to_string()),
        ));
    }
    let threshold = artifact.threshold.as_ref().filter(|_| !is_copied);
    if let Some(threshold) = threshold
        && stated.threshold.as_ref() != Some(threshold)
    {
        let found = stated.threshold.as_ref().map(Decimal::as_str);
        return Err(wrong("threshold", threshold.as_str(), found));
    }
    if artifact.mlflow.is_some() != imported.mlflow.is_some() {
        return Err("the result names another kind of origin than the spec".to_owned());
    }
    Ok(JobResult {
        verdict: Verdict::Succeeded,
        ..reported.clone()
    })
}

fn check_model(model: &str, stated: &Stated) -> Result<(), String> {
    if stated.model.as_deref() == Some(model) {
        Ok(())
    } else {
        Err(wrong("model", model, stated.model.as_deref()))
    }
}

/// A gate's outcome has to match the metric that the bundle states and the bound in the spec.
fn check_gate(gate: &Gate, stated: &Stated) -> Result<(), String> {
    let metric = gate.metric.as_str();
    let value = stated.metrics.iter().find(|found| found.name == metric);
    let Some(value) = value.map(|found| gate.compared_value(found)) else {
        return Err(format!("the bundle states no {metric}, which a gate asks for"));
    };
    let bound = GateBound::of_gate(gate.at_least.as_ref(), gate.at_most.as_ref());
    let Some((bound, passed)) = bound.and_then(|bound| bound.holds(&value).map(|passed| (bound, passed)))
    else {
        return Ok(());
    };
    let outcome = stated
        .gates
        .iter()
        .find(|found| found.metric == metric && found.bound == bound);
    match outcome {
        Some(outcome) if outcome.value == value && outcome.passed == passed => Ok(()),
        Some(_) => Err(format!(
            "the bundle states another outcome of the gate {metric} {bound} than its own {metric} {value} gives"
        )),
        None => Err(format!(
            "the bundle states no outcome of the gate {metric} {bound}"
        )),
    }
}

/// A comparison that passed has a lower bound at or above minus the margin. One that did not may lack evidence instead.
fn check_champion(champion: &Champion, gates: &[GateResult]) -> Result<(), String> {
    let compares = |gate: &&GateResult| match &gate.bound {
        GateBound::NotWorseThan { version, margin, .. } => {
            *version == champion.version && *margin == champion.margin
        }
        _ => false,
    };
    let of_champion: Vec<_> = gates.iter().filter(compares).collect();
    if of_champion.is_empty() {
        return Err(format!(
            "the bundle states no comparison with {} by {}",
            champion.version, champion.margin
        ));
    }
    let least: Option<Decimal> = format!("-{}", champion.margin).parse().ok();
    let right = |gate: &&GateResult| {
        least
            .as_ref()
            .is_some_and(|least| !gate.passed || gate.value >= *least)
    };
    if of_champion.iter().all(right) {
        Ok(())
    } else {
        Err(format!(
            "the bundle states another outcome of the comparison with {} than its own numbers give",
            champion.version
        ))
    }
}

fn agree<T: PartialEq>(what: &str, reported: &T, stated: &T) -> Result<(), String> {
    if reported == stated {
        Ok(())
    } else {
        Err(format!(
            "the result reports other {what} than the artifact states"
        ))
    }
}

fn wrong(what: &str, wanted: &str, found: Option<&str>) -> String {
    let found = found.unwrap_or("none");
    format!("the bundle states the {what} {found}, this version asked for {wanted}")
}

#[cfg(test)]
mod tests {
    use modelward_wire::MetricValue;
    use serde_json::json;

    use super::*;

    const SNAPSHOT: Digest = Digest::from_bytes([1; 32]);

    fn training() -> TrainingSource {
        serde_json::from_value(json!({
            "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}},
            "target": {"column": "num"},
            "gates": [{"metric": "F1", "atLeast": "0.75"}],
            "notWorseThan": {"version": "heart-0", "bundle": Digest::from_bytes([8; 32]), "margin": "0.03"},
        }))
        .unwrap()
    }

    fn gate(bound: &str, value: &str, passed: bool) -> GateResult {
        GateResult {
            metric: "F1".into(),
            bound: bound.into(),
            value: value.parse().unwrap(),
            passed,
        }
    }

    fn stated(f1: &str) -> Stated {
        Stated {
            rows: 303,
            model: Some("heart".into()),
            family: Some("LogisticRegression".into()),
            threshold: "0.5".parse().ok(),
            snapshot: Some(SNAPSHOT),
            training: training_digest(&training()),
            metrics: vec![MetricValue {
                name: "F1".into(),
                mean: f1.parse().unwrap(),
                standard_error: "0.01".parse().unwrap(),
            }],
            gates: vec![
                gate("atLeast 0.75", f1, f1 >= "0.75"),
                gate("notWorseThan heart-0 by 0.03 on all rows", "-0.01", true),
            ],
            ..Stated::default()
        }
    }

    fn reported(stated: &Stated) -> JobResult {
        let mut result = JobResult::new(JobStage::Fit, Verdict::Succeeded, "trained");
        result.digest = Some(Digest::from_bytes([2; 32]));
        result.family = stated.family.clone();
        result.threshold = stated.threshold.clone();
        result.metrics = stated.metrics.clone();
        result.gates = stated.gates.clone();
        result
    }

    fn judge(reported: &JobResult, stated: Stated) -> Result<JobResult, String> {
        let training = training();
        let asked = Asked {
            model: "heart",
            work: Work::Training {
                training: &training,
                snapshot: Some(SNAPSHOT),
            },
        };
        let kind = match reported.stage {
            JobStage::Fit | JobStage::Import => ManifestKind::Bundle,
            JobStage::Snapshot => ManifestKind::Snapshot,
        };
        believe(&asked, reported, &ArtifactStatement { kind, stated })
    }

    #[test]
    fn a_result_that_its_bundle_states_is_believed() {
        let stated = stated("0.8151");
        let believed = judge(&reported(&stated), stated).unwrap();
        assert_eq!((believed.verdict, believed.gates.len()), (Verdict::Succeeded, 2));
    }

    #[test]
    fn a_better_metric_than_the_bundle_states_is_not_believed() {
        let mut forged = reported(&stated("0.8151"));
        forged.metrics[0].mean = "0.999999".parse().unwrap();
        let words = judge(&forged, stated("0.8151")).unwrap_err();
        assert_eq!(words, "the result reports other metrics than the artifact states");
    }

    #[test]
    fn another_threshold_family_or_gate_than_the_bundle_states_is_not_believed() {
        let changes: [fn(&mut JobResult); 3] = [
            |result| result.threshold = "0.01".parse().ok(),
            |result| result.family = Some("Other".into()),
            |result| result.gates[0].passed = false,
        ];
        for change in changes {
            let mut forged = reported(&stated("0.8151"));
            change(&mut forged);
            assert!(judge(&forged, stated("0.8151")).is_err());
        }
    }

    #[test]
    fn a_bundle_of_another_snapshot_spec_or_model_is_not_believed() {
        type Change = fn(&mut Stated);
        let changes: [(&str, Change); 5] = [
            ("snapshot", |stated| {
                stated.snapshot = Some(Digest::from_bytes([9; 32]));
            }),
            ("snapshot", |stated| stated.snapshot = None),
            ("another spec", |stated| {
                stated.training = Some(Digest::from_bytes([9; 32]));
            }),
            ("images of one release", |stated| stated.training = None),
            ("model", |stated| stated.model = Some("lungs".into())),
        ];
        for (word, change) in changes {
            let mut other = stated("0.8151");
            change(&mut other);
            let words = judge(&reported(&other), other).unwrap_err();
            assert!(words.contains(word), "{words}");
        }
    }

    #[test]
    fn a_gate_that_asks_for_standard_errors_is_believed_by_the_mean_without_them() {
        let mut training = training();
        training.gates[0].standard_errors = "2".parse().ok();
        let mut stated = stated("0.7600");
        stated.training = training_digest(&training);
        let check = |stated: &Stated| check_gate(&training.gates[0], stated);
        // 0.76 less two errors of 0.01 is under 0.75.
        assert!(check(&stated).is_err(), "the outcome is that of the mean alone");
        stated.gates[0] = gate("atLeast 0.75", "0.740000", false);
        assert_eq!(check(&stated), Ok(()));
        stated.gates[0].passed = true;
        assert!(check(&stated).is_err());
    }

    #[test]
    fn a_gate_that_its_own_metric_does_not_pass_is_not_believed() {
        let mut lying = stated("0.7100");
        lying.gates[0].passed = true;
        let words = judge(&reported(&lying), lying).unwrap_err();
        assert!(
            words.contains("another outcome of the gate F1 atLeast 0.75"),
            "{words}"
        );
        let mut silent = stated("0.8151");
        silent.gates.remove(0);
        let words = judge(&reported(&silent), silent).unwrap_err();
        assert!(words.contains("no outcome of the gate"), "{words}");
    }

    #[test]
    fn a_comparison_that_its_own_numbers_do_not_pass_is_not_believed() {
        let mut lying = stated("0.8151");
        lying.gates[1].value = "-0.2".parse().unwrap();
        assert!(judge(&reported(&lying), lying).is_err());
        let mut silent = stated("0.8151");
        silent.gates.remove(1);
        assert!(
            judge(&reported(&silent), silent)
                .unwrap_err()
                .contains("no comparison with heart-0")
        );
    }

    #[test]
    fn a_result_that_says_success_where_a_gate_failed_is_a_failure_of_that_gate() {
        let stated = stated("0.7100");
        let believed = judge(&reported(&stated), stated).unwrap();
        assert_eq!(believed.verdict, Verdict::GatesFailed);
    }

    #[test]
    fn a_snapshot_of_other_sources_than_it_states_is_not_believed() {
        let source = SourceRecord {
            name: "cleveland.csv".into(),
            sha256: Digest::from_bytes([3; 32]),
            rows: 303,
            positive_rows: None,
        };
        let stated = Stated {
            rows: 303,
            sources: vec![source.clone()],
            ..Stated::default()
        };
        let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, "froze");
        result.rows = Some(303);
        result.sources = vec![source];
        assert!(judge(&result, stated.clone()).is_ok());
        let mut forged = result.clone();
        forged.sources[0].name = "approved.csv".into();
        assert!(judge(&forged, stated.clone()).is_err());
        let none = Stated {
            sources: Vec::new(),
            ..stated
        };
        result.sources.clear();
        assert!(judge(&result, none).unwrap_err().contains("the spec names 1"));
    }

    #[test]
    fn more_new_rows_than_the_snapshot_has_are_not_believed() {
        let stated = Stated {
            rows: 611,
            sources: vec![SourceRecord {
                name: "cleveland.csv".into(),
                sha256: Digest::from_bytes([3; 32]),
                rows: 611,
                positive_rows: Some(141),
            }],
            ..Stated::default()
        };
        let believed = |rows, positive_rows, repeated_rows| {
            let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, "froze");
            result.rows = Some(611);
            result.sources.clone_from(&stated.sources);
            result.new_rows = Some(NewRows {
                rows,
                positive_rows,
                repeated_rows,
            });
            judge(&result, stated.clone())
        };
        assert!(believed(5, 2, 303).unwrap().new_rows.is_some());
        for (rows, positive, repeated) in [
            (612, 5, 0),
            (5, 6, 0),
            (600, 142, 0),
            (308, 5, 304),
            (1, 1, u64::MAX),
        ] {
            let words = believed(rows, positive, repeated).unwrap_err();
            assert!(
                words.contains("which the snapshot of 611 rows cannot have"),
                "{words}"
            );
        }
    }

    #[test]
    fn new_rows_are_not_believed_where_no_version_was_named() {
        let mut training = training();
        training.not_worse_than = None;
        let stated = Stated {
            rows: 1,
            sources: vec![SourceRecord {
                name: "cleveland.csv".into(),
                sha256: Digest::from_bytes([3; 32]),
                rows: 1,
                positive_rows: None,
            }],
            ..Stated::default()
        };
        let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, "froze");
        result.rows = Some(1);
        result.sources.clone_from(&stated.sources);
        result.new_rows = Some(NewRows {
            rows: 1,
            positive_rows: 0,
            repeated_rows: 0,
        });
        let asked = Asked {
            model: "heart",
            work: Work::Training {
                training: &training,
                snapshot: None,
            },
        };
        let kind = ManifestKind::Snapshot;
        let words = believe(&asked, &result, &ArtifactStatement { kind, stated }).unwrap_err();
        assert!(words.contains("names no version"), "{words}");
    }

    /// Names of a ConfigMap and of its key may have 253 letters each.
    #[test]
    fn a_source_whose_name_a_termination_message_cuts_is_the_same_source() {
        let stated = Stated {
            rows: 303,
            sources: vec![SourceRecord {
                name: "c".repeat(271),
                sha256: Digest::from_bytes([3; 32]),
                rows: 303,
                positive_rows: None,
            }],
            ..Stated::default()
        };
        let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, "froze");
        result.rows = Some(303);
        result.sources = stated.sources.clone();
        let mut short = result.abridged();
        short.sources[0].name = "ccc…".into();
        assert!(judge(&short, stated.clone()).is_err(), "it is not marked as cut");
        short.cut = true;
        let believed = judge(&short, stated.clone()).unwrap();
        assert_eq!(believed.sources, stated.sources);
        short.sources[0].rows = 304;
        assert!(judge(&short, stated.clone()).is_err());
        short.sources[0].rows = 303;
        short.sources.push(stated.sources[0].clone());
        assert!(
            judge(&short, stated).is_err(),
            "one more than the snapshot states"
        );
    }

    #[test]
    fn an_artifact_of_another_kind_is_not_believed() {
        let training = training();
        let asked = Asked {
            model: "heart",
            work: Work::Training {
                training: &training,
                snapshot: Some(SNAPSHOT),
            },
        };
        let stated = stated("0.8151");
        let statement = ArtifactStatement {
            kind: ManifestKind::Snapshot,
            stated: stated.clone(),
        };
        assert!(believe(&asked, &reported(&stated), &statement).is_err());
    }

    // === imports ===

    fn artifact(extra: &serde_json::Value) -> ArtifactSource {
        let mut artifact = json!({
            "file": {"uri": "https://example.com/model.txt"},
            "sample": {"dataset": {"uri": "https://example.com/sample.csv"}},
        });
        artifact
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        serde_json::from_value(artifact).unwrap()
    }

    fn imported() -> (JobResult, Stated) {
        let origin = ImportRecord {
            format: "LightGBM text".into(),
            file: Digest::from_bytes([5; 32]),
            sample: Some(Digest::from_bytes([6; 32])),
            mlflow: None,
        };
        let stated = Stated {
            rows: 48,
            model: Some("heart".into()),
            family: Some("LightGBM".into()),
            threshold: "0.5".parse().ok(),
            imported: Some(origin.clone()),
            ..Stated::default()
        };
        let mut result = JobResult::new(JobStage::Import, Verdict::Succeeded, "imported");
        result.digest = Some(Digest::from_bytes([2; 32]));
        result.rows = Some(48);
        result.family.clone_from(&stated.family);
        result.threshold.clone_from(&stated.threshold);
        result.imported = Some(origin);
        (result, stated)
    }

    fn judge_import(
        artifact: &ArtifactSource,
        reported: &JobResult,
        stated: Stated,
    ) -> Result<JobResult, String> {
        let asked = Asked {
            model: "heart",
            work: Work::Import(artifact),
        };
        let kind = ManifestKind::Bundle;
        believe(&asked, reported, &ArtifactStatement { kind, stated })
    }

    #[test]
    fn an_import_that_its_bundle_states_is_believed_and_one_of_another_origin_is_not() {
        type Change = fn(&mut JobResult, &mut Stated);
        let plain = artifact(&json!({}));
        let (result, stated) = imported();
        assert_eq!(judge_import(&plain, &result, stated), Ok(result));

        let changes: [(&str, Change); 6] = [
            ("other origins", |result, _| {
                result.imported.as_mut().unwrap().file = Digest::from_bytes([9; 32]);
            }),
            ("other origins", |_, stated| stated.imported = None),
            ("other family", |result, _| result.family = Some("XGBoost".into())),
            ("the model lungs", |_, stated| stated.model = Some("lungs".into())),
            ("images of one release", |result, _| result.imported = None),
            // A file at an address is no bundle of another cluster.
            ("the model lungs", |result, stated| {
                result.imported.as_mut().unwrap().file = Digest::from_bytes([2; 32]);
                stated.model = Some("lungs".into());
            }),
        ];
        for (words, change) in changes {
            let (mut result, mut stated) = imported();
            change(&mut result, &mut stated);
            let found = judge_import(&plain, &result, stated).unwrap_err();
            assert!(found.contains(words), "{found}");
        }
    }

    #[test]
    fn an_import_has_the_file_and_the_threshold_that_the_spec_names() {
        let (result, stated) = imported();
        let pinned = json!({"file": {"uri": "https://example.com/m", "sha256": Digest::from_bytes([9; 32])}});
        let found = judge_import(&artifact(&pinned), &result, stated.clone()).unwrap_err();
        assert!(
            found.starts_with("the bundle states the file sha256:0505"),
            "{found}"
        );
        let threshold = artifact(&json!({"threshold": "0.4"}));
        let found = judge_import(&threshold, &result, stated.clone()).unwrap_err();
        assert_eq!(
            found,
            "the bundle states the threshold 0.5, this version asked for 0.4"
        );
        let asked = Asked {
            model: "heart",
            work: Work::Import(&threshold),
        };
        let kind = ManifestKind::Bundle;
        let fit = JobResult::new(JobStage::Fit, Verdict::Succeeded, "trained");
        let found = believe(&asked, &fit, &ArtifactStatement { kind, stated });
        assert_eq!(found.unwrap_err(), "a Fit names an artifact that is a Bundle");
    }

    #[test]
    fn a_bundle_of_a_registry_keeps_its_name_and_its_threshold() {
        let mlflow = json!({"mlflow": {"uri": "http://mlflow:5000", "model": "heart", "alias": "champion"}, "threshold": "0.4"});
        let artifact: ArtifactSource = serde_json::from_value(mlflow).unwrap();
        let (mut result, mut stated) = imported();
        let origin = result.imported.as_mut().unwrap();
        (origin.format, origin.file) = ("Modelward bundle".into(), Digest::from_bytes([2; 32]));
        stated.imported = None;
        stated.model = Some("heart-of-staging".into());
        let found = judge_import(&artifact, &result, stated.clone()).unwrap_err();
        assert_eq!(found, "the result names another kind of origin than the spec");
        result.imported.as_mut().unwrap().mlflow = Some(modelward_wire::MlflowVersion {
            version: "7".into(),
            run: None,
        });
        assert!(judge_import(&artifact, &result, stated).is_ok());
    }
}
