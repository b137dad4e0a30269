//! A version with a custom trainer. The image is that of the load client; its command `train` inspects its container and writes a
//! model with one tree.

use anyhow::{Context as _, Result, ensure};
use modelward_crds::{ConditionType, CustomFormat, CustomTrainer, HeldOut, ModelVersion, ModelVersionSpec};
use modelward_e2e::{
    client::client_image,
    sample::{self, one_pod_of, quick, training},
    story::{SOON, Story, TRAINED, story},
    wait::Conditions as _,
};

/// A version that this image trains, with this result.
fn by_image(image: &str, end: &str) -> impl FnOnce(&mut ModelVersionSpec) -> Result<()> {
    let trainer = CustomTrainer {
        image: image.to_owned(),
        format: CustomFormat::LightGBM,
        args: vec!["train".to_owned(), format!("--end={end}")],
        env: Vec::new(),
        service_account_name: None,
    };
    let model = format!("custom-{end}");
    move |spec| {
        one_pod_of(spec, &model);
        quick(spec)?;
        let training = training(spec)?;
        training.gates.clear();
        training.validation.held_out = Some(HeldOut {
            fraction: "0.3".parse()?,
        });
        training.custom_trainer = Some(Box::new(trainer));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn an_image_trains_a_version_that_is_measured_and_served() -> Result<()> {
    story("custom", async |story: &Story| {
        let image = client_image().await?;
        story.create(&sample::data()?).await?;
        story.version("heart-1", by_image(&image, "model")).await?;
        story.awaits_live("heart-1").await?;
        let status = story.all::<ModelVersion>().get("heart-1").await?.status;
        let status = status.context("heart-1 has no status")?;
        ensure!(!status.metrics.is_empty(), "the trainer measured nothing");
        ensure!(
            status.custom_trainer_image.is_some(),
            "the image that ran is not recorded"
        );
        story.answered_by("custom-model", "heart-1").await?;
        for (name, end, words) in [
            ("heart-2", "nothing", "the image left no model"),
            ("heart-3", "link", "is a link: leave a plain file"),
        ] {
            story.version(name, by_image(&image, end)).await?;
            story
                .awaits::<ModelVersion>(name, ConditionType::Stalled, ("True", "ImportRefused"), TRAINED)
                .await?;
            says(story, name, words).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn an_image_that_fails_or_is_not_allowed_says_why() -> Result<()> {
    story("custom-failed", async |story: &Story| {
        let image = client_image().await?;
        story.create(&sample::data()?).await?;
        story.version("heart-1", by_image(&image, "failure")).await?;
        story
            .awaits::<ModelVersion>("heart-1", ConditionType::Stalled, ("True", "JobFailed"), TRAINED)
            .await?;
        says(story, "heart-1", "\"the learning rate is too large\"").await?;
        story
            .version("heart-2", by_image("registry.invalid/modelward/load:1", "other"))
            .await?;
        story
            .awaits::<ModelVersion>(
                "heart-2",
                ConditionType::Stalled,
                ("True", "CustomTrainerRefused"),
                SOON,
            )
            .await?;
        says(story, "heart-2", "trainer.custom.images").await
    })
    .await
}

/// The version's message about its training.
async fn says(story: &Story, name: &str, words: &str) -> Result<()> {
    let version = story.all::<ModelVersion>().get(name).await?;
    let trained = version.condition(ConditionType::Trained);
    ensure!(
        trained.is_some_and(|trained| trained.message.contains(words)),
        "{name} should say {words:?} and says {trained:?}"
    );
    Ok(())
}
