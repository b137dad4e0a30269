//! Imports of models that were trained elsewhere: a version that serves, and one that is rejected.

use anyhow::{Context as _, Result, ensure};
use modelward_crds::{ConditionType, Model, ModelVersion, Role};
use modelward_e2e::{
    sample,
    story::{SOON, Story, TRAINED, story},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_model_of_lightgbm_serves_with_its_own_scores_and_one_that_scores_otherwise_is_refused()
-> Result<()> {
    story("import", async |story: &Story| {
        story.create(&sample::imported("heart-1")?).await?;
        let (condition, waits) = (ConditionType::Trained, ("False", "DatasetNotFound"));
        story
            .awaits::<ModelVersion>("heart-1", condition, waits, SOON)
            .await?;
        let files = sample::model()?;
        let table = files
            .data
            .as_ref()
            .and_then(|data| data.get("sample.csv"))
            .cloned();
        let table = table.context("sample.csv")?;
        story.create(&files).await?;
        story.awaits_live("heart-1").await?;
        let status = story.all::<ModelVersion>().get("heart-1").await?.status;
        let imported = status
            .and_then(|status| status.imported)
            .context("status.imported")?;
        ensure!(
            (imported.format.as_str(), imported.rows) == ("LightGBM text", Some(303)),
            "status.imported is {imported:?}"
        );
        answers_as_expected(story, &table).await?;

        // In the other sample, the expected score of the last row is wrong.
        let (rows, last) = table.trim_end().rsplit_once(',').context("a row")?;
        ensure!(
            last.parse::<f64>().is_ok_and(|score| score != 0.5),
            "the last row expects {last}"
        );
        let mut other = sample::model()?;
        other.metadata.name = Some("other-model".into());
        other.data = Some(
            [
                (
                    "model.txt".to_owned(),
                    other
                        .data
                        .unwrap_or_default()
                        .remove("model.txt")
                        .context("model.txt")?,
                ),
                ("sample.csv".to_owned(), format!("{rows},0.5\n")),
            ]
            .into(),
        );
        story.create(&other).await?;
        let mut version = sample::imported("heart-2")?;
        let artifact = version.spec.source.artifact.as_mut().context("an artifact")?;
        let sample = artifact.sample.as_mut().context("a sample")?;
        sample.dataset.config_map.as_mut().context("a ConfigMap")?.name = "other-model".into();
        story.create(&version).await?;
        let refused = ("False", "ImportRefused");
        let message = story
            .awaits::<ModelVersion>("heart-2", condition, refused, TRAINED)
            .await?;
        ensure!(
            message.contains("303") && message.contains("0.5"),
            "the message reads {message:?}"
        );
        let stalled = ("True", "ImportRefused");
        story
            .awaits::<ModelVersion>("heart-2", ConditionType::Stalled, stalled, SOON)
            .await?;

        // A later import is proposed like any version.
        story.create(&sample::imported("heart-3")?).await?;
        let waits = ("True", "AwaitingPromotion");
        story
            .awaits::<ModelVersion>("heart-3", ConditionType::Ready, waits, TRAINED)
            .await?;
        story.awaits_promotion("heart-3").await?;
        story.has_role("heart-1", Role::Live).await?;
        let model = story.all::<Model>().get("heart").await?;
        let serving = model.status.and_then(|status| status.serving);
        ensure!(serving.as_deref() == Some("heart-1"), "{serving:?} serves");
        answers_as_expected(story, &table).await
    })
    .await
}

/// Checks that the model returns LightGBM's probability for each row of the sample.
async fn answers_as_expected(story: &Story, table: &str) -> Result<()> {
    let mut lines = table.lines();
    let names: Vec<&str> = lines.next().context("a header")?.split(',').collect();
    let (mut rows, mut expected) = (Vec::new(), Vec::new());
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let (features, scores) = cells.split_at(names.len() - 2);
        let cell = |(name, cell): (&&str, &&str)| {
            let value = if cell.is_empty() {
                json!(null)
            } else {
                json!(cell.parse::<f64>()?)
            };
            Ok(((*name).to_owned(), value))
        };
        let row = names
            .iter()
            .zip(features)
            .map(cell)
            .collect::<Result<serde_json::Map<_, _>>>()?;
        rows.push(serde_json::Value::Object(row));
        expected.push(scores[1].parse::<f64>()?);
    }
    let answer = story.predict("heart", &rows.into()).await?;
    ensure!(answer.version == "heart-1", "{} answers", answer.version);
    ensure!(
        answer.predictions.len() == expected.len(),
        "{} answers",
        answer.predictions.len()
    );
    for (row, (prediction, expected)) in answer.predictions.iter().zip(expected).enumerate() {
        // LightGBM uses a different exponential function.
        ensure!(
            (prediction.probability - expected).abs() < 1e-15,
            "row {row} is answered with {} and LightGBM gave {expected}",
            prediction.probability
        );
    }
    Ok(())
}
