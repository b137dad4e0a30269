//! From data to a version that serves, or to one that is rejected.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServicePort, ServiceSpec};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ObjectMeta},
};
use modelward_crds::{
    CalibrationMethod, ConditionType, ConfigMapSource, EnsembleSpec, EnsembleUse, Family, FeatureKind,
    FeatureSpec, MetricName, Model, ModelVersion, ModelVersionSpec, Role, SearchSpec, SelectedFamily,
    ThresholdMetric, ThresholdSpec, wire::Digest,
};
use modelward_e2e::{
    sample::{self, one_pod_of, quick, seeded, training},
    story::{SOON, Story, TRAINED, story},
    wait::{Conditions as _, until},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_version_without_data_waits_for_it_and_is_then_trained_gated_and_served() -> Result<()> {
    story("data", async |story: &Story| {
        story.version("heart-1", |_| Ok(())).await?;
        story
            .awaits::<ModelVersion>(
                "heart-1",
                ConditionType::DataValid,
                ("False", "DatasetNotFound"),
                SOON,
            )
            .await?;
        let version = story.all::<ModelVersion>().get("heart-1").await?;
        let reconciling = version.condition(ConditionType::Reconciling);
        ensure!(
            reconciling.is_some_and(|condition| condition.status == "True"),
            "while it waits for its data Reconciling should be True and is {reconciling:?}"
        );
        story.create(&sample::data()?).await?;
        story.awaits_live("heart-1").await?;
        let model = story.all::<Model>().get("heart").await?;
        for kind in [ConditionType::Ready, ConditionType::Available] {
            let condition = model.condition(kind);
            ensure!(
                condition.is_some_and(|condition| condition.status == "True"),
                "{} of the model should be True and is {condition:?}",
                kind.as_str()
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_failed_gate_is_a_sentence_and_the_former_version_goes_on_serving() -> Result<()> {
    story("gate", async |story: &Story| {
        story.live("heart-1").await?;
        story.version("heart-2", sample::gated_too_high).await?;
        story
            .awaits::<ModelVersion>("heart-2", ConditionType::Stalled, ("True", "GateFailed"), TRAINED)
            .await?;
        let message = story
            .awaits::<ModelVersion>(
                "heart-2",
                ConditionType::GatesPassed,
                ("False", "GateFailed"),
                SOON,
            )
            .await?;
        let value = message.strip_prefix("F1 0.");
        let value = value.and_then(|rest| rest.split_once(" (mean of "));
        ensure!(
            value.is_some_and(|(digits, rest)| digits.parse::<u64>().is_ok()
                && rest.ends_with(" folds) is under the gate 0.99")),
            "the message reads {message:?}"
        );
        story.has_role("heart-2", Role::Rejected).await?;
        story.answered_by("heart", "heart-1").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn wrong_data_is_listed_whole_and_corrected_data_is_used_without_further_action() -> Result<()> {
    story("wrong-data", async |story: &Story| {
        let wrong = wrong_csv()?;
        story.create(&csv_data("stroke-data", &wrong)).await?;
        story.version("stroke-1", stroke).await?;
        story
            .awaits::<ModelVersion>(
                "stroke-1",
                ConditionType::Stalled,
                ("True", "DataInvalid"),
                TRAINED,
            )
            .await?;
        let violations = violations(story, "stroke-1").await?;
        for column in ["age", "ca", "num"] {
            ensure!(
                violations.contains(&format!("{column}: ")),
                "no violation of {column} in:\n{violations}"
            );
        }

        let other = Digest::from_bytes([0; 32]);
        story
            .version("stroke-2", |spec| {
                stroke(spec)?;
                training(spec)?.dataset.sha256 = Some(other);
                Ok(())
            })
            .await?;
        story
            .awaits::<ModelVersion>(
                "stroke-2",
                ConditionType::DataValid,
                ("False", "DataInvalid"),
                TRAINED,
            )
            .await?;
        let violations = self::violations(story, "stroke-2").await?;
        let found = Digest::from_bytes(Sha256::digest(&wrong).into());
        for digest in [other, found] {
            ensure!(
                violations.contains(&digest.to_string()),
                "{digest} is not in:\n{violations}"
            );
        }

        let right = json!({"data": {"data.csv": sample::csv("cleveland.csv")?}});
        story.patch::<ConfigMap>("stroke-data", right).await?;
        story.awaits_live("stroke-1").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn the_best_of_four_families_and_thirty_trials_serves_calibrated_with_its_own_threshold() -> Result<()>
{
    story("families", async |story: &Story| {
        story.create(&sample::data()?).await?;
        story
            .version("heart-1", |spec| {
                one_pod_of(spec, "heart");
                let training = training(spec)?;
                training.validation.repeats = 2;
                training.families = Family::ALL.to_vec();
                training.search = Some(SearchSpec {
                    trials: 30,
                    seed: 1,
                    time_limit_seconds: None,
                });
                training.calibration = CalibrationMethod::Platt;
                training.threshold = Some(ThresholdSpec {
                    value: None,
                    maximise: Some(ThresholdMetric::F1),
                    cost: None,
                });
                training.gates.clear();
                Ok(())
            })
            .await?;
        story.awaits_live("heart-1").await?;
        let version = story.all::<ModelVersion>().get("heart-1").await?;
        let status = version.status.unwrap_or_default();
        ensure!(status.metrics.len() == 10, "the metrics are {:?}", status.metrics);
        let summary = status.training_summary.unwrap_or_default();
        ensure!(
            summary.contains("is the best of 4 candidates") || summary.contains("is simpler than the best"),
            "the summary is {summary:?}"
        );
        let threshold = status.threshold.map(|threshold| threshold.to_f64());
        ensure!(
            threshold.is_some_and(|threshold| threshold > 0.1 && threshold < 0.9 && threshold != 0.5),
            "the threshold is {threshold:?}"
        );
        story.answered_by("heart", "heart-1").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn an_ensemble_serves_and_answers_as_its_bundle_is_scored() -> Result<()> {
    story("ensemble", async |story: &Story| {
        story.create(&sample::data()?).await?;
        story
            .version("heart-1", |spec| {
                one_pod_of(spec, "heart");
                let training = training(spec)?;
                training.validation.repeats = 2;
                training.families = Family::ALL.to_vec();
                training.calibration = CalibrationMethod::Platt;
                training.select_by = MetricName::LogLoss;
                training.ensemble = Some(EnsembleSpec {
                    max_members: 4,
                    use_when: EnsembleUse::Always,
                });
                Ok(())
            })
            .await?;
        story.awaits_live("heart-1").await?;
        let status = story.all::<ModelVersion>().get("heart-1").await?.status;
        let family = status.and_then(|status| status.family);
        ensure!(
            family == Some(SelectedFamily::Ensemble),
            "the family is {family:?}"
        );
        story.answers_as_scored("heart", "heart-1").await
    })
    .await
}

/// One age is a word, every ca is missing, and no row has class 1.
fn wrong_csv() -> Result<String> {
    let mut lines = Vec::new();
    for (row, line) in sample::csv("cleveland.csv")?.lines().enumerate() {
        let mut cells: Vec<_> = line.split(',').collect();
        ensure!(cells.len() == 14, "row {row} has {} cells", cells.len());
        cells[11] = "?";
        cells[13] = "0";
        if row == 2 {
            cells[0] = "old";
        }
        lines.push(cells.join(",") + "\n");
    }
    Ok(lines.concat())
}

fn csv_data(name: &str, csv: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        data: Some([("data.csv".to_owned(), csv.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn stroke(spec: &mut ModelVersionSpec) -> Result<()> {
    one_pod_of(spec, "stroke");
    quick(spec)?;
    let training = training(spec)?;
    training.dataset.config_map = Some(ConfigMapSource {
        name: "stroke-data".into(),
        key: "data.csv".into(),
    });
    training.features.push(FeatureSpec {
        name: "age".into(),
        kind: FeatureKind::Numeric,
        categories: None,
        range: None,
        required: false,
        max_missing_ratio: None,
        monotone: None,
    });
    Ok(())
}

/// The violations in the status of a version, one per line.
async fn violations(story: &Story, version: &str) -> Result<String> {
    let status = story.all::<ModelVersion>().get(version).await?.status;
    let violations = status.map(|status| status.violations).unwrap_or_default();
    let lines = violations
        .iter()
        .map(|violation| format!("{}: {}\n", violation.column, violation.message));
    Ok(lines.collect())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_foreign_service_with_the_name_of_the_model_is_left_alone() -> Result<()> {
    story("taken", async |story: &Story| {
        let foreign = Service {
            metadata: ObjectMeta {
                name: Some("taken".into()),
                ..ObjectMeta::default()
            },
            spec: Some(ServiceSpec {
                ports: Some(vec![ServicePort {
                    port: 80,
                    ..ServicePort::default()
                }]),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        };
        let before = written(&story.create(&foreign).await?);
        story.create(&sample::data()?).await?;
        story
            .version("taken-1", |spec| {
                one_pod_of(spec, "taken");
                quick(spec)
            })
            .await?;
        let message = story
            .awaits::<ModelVersion>("taken-1", ConditionType::Stalled, ("True", "NameTaken"), TRAINED)
            .await?;
        ensure!(message.contains("Service taken"), "the message reads {message:?}");
        let after = written(&story.all::<Service>().get("taken").await?);
        ensure!(
            after == before,
            "the Service was {before:?} and is {after:?}: it was written"
        );
        story
            .all::<Service>()
            .delete("taken", &DeleteParams::default())
            .await?;
        story.awaits_live("taken-1").await
    })
    .await
}

/// Uid and resource version.
fn written(service: &Service) -> (Option<String>, Option<String>) {
    (service.uid(), service.resource_version())
}

/// If both were created in the same second, their names decide which is newer. The first to pass its gates has nothing to replace
/// and serves. The other one never serves by itself; if it is newer, it waits for an approval.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn two_versions_applied_at_once_have_one_order() -> Result<()> {
    story("twins", async |story: &Story| {
        story.create(&sample::data()?).await?;
        let twin = |seed| {
            move |spec: &mut ModelVersionSpec| {
                one_pod_of(spec, "twin");
                seeded(seed)(spec)
            }
        };
        story.version("twin-1", twin(7)).await?;
        story.version("twin-2", twin(9)).await?;
        let first = until("one of the twins serves", TRAINED, async || {
            story.serving("twin").await
        })
        .await?;
        story.awaits_live(&first).await?;
        let (other, reason) = if first == "twin-1" {
            ("twin-2", "AwaitingPromotion")
        } else {
            ("twin-1", "Retired")
        };
        story
            .awaits::<ModelVersion>(other, ConditionType::Ready, ("True", reason), TRAINED)
            .await?;
        story.answered_by("twin", &first).await
    })
    .await
}
