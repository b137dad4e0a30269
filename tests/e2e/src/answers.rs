//! Predictions through the Service, and their comparison with the scores of `modelward-trainer score`.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use modelward_wire::{Digest, Manifest};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    cluster::{run, words},
    sample,
    story::Story,
};

/// The rows of a comparison: all of the Cleveland data.
const ROWS: usize = 303;

/// The response of `/predict` to an array of rows.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// The version that answered.
    pub version: String,
    /// One prediction per row, in the order of the rows.
    pub predictions: Vec<Prediction>,
}

/// The prediction for one row.
#[derive(Debug, Deserialize)]
pub struct Prediction {
    /// The class.
    pub class: Value,
    /// The probability of class 1.
    pub probability: f64,
}

impl Story {
    /// Requests predictions for these rows through the Service of a model.
    pub async fn predict(&self, model: &str, rows: &Value) -> Result<Answer> {
        let service = self.all::<Service>().get(model).await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip);
        let address = address.with_context(|| format!("the Service {model} has no address"))?;
        let url = format!("http://{address}/predict");
        let curl = [
            "curl",
            "-sS",
            "--fail-with-body",
            "--max-time",
            "10",
            "--data-binary",
            "@-",
        ];
        let header = ["-H", "content-type: application/json", &url];
        let answer = self
            .cluster
            .on_node(curl.iter().chain(&header), rows.to_string().as_bytes())
            .await?;
        serde_json::from_slice(&answer).with_context(|| String::from_utf8_lossy(&answer).into_owned())
    }

    /// Checks that this version answers for the model.
    pub async fn answered_by(&self, model: &str, version: &str) -> Result<()> {
        let answer = self.predict(model, &sample::rows(1)?).await?;
        ensure!(
            answer.version == version,
            "{} answers for {model}, and {version} should",
            answer.version
        );
        Ok(())
    }

    /// Checks that this version answers, and that its predictions equal `modelward-trainer score` of its bundle, bit for bit.
    pub async fn answers_as_scored(&self, model: &str, version: &str) -> Result<()> {
        let rows = sample::rows(ROWS)?;
        let digest = self.bundle_of(version).await?;
        let scored = self.score(&digest, &rows).await?;
        let answer = self.predict(model, &rows).await?;
        ensure!(
            answer.version == version,
            "{} answers for {model}, and {version} should",
            answer.version
        );
        ensure!(
            answer.predictions.len() == ROWS && scored.len() == ROWS,
            "{} answers and {} scores for {ROWS} rows",
            answer.predictions.len(),
            scored.len()
        );
        let pairs = answer.predictions.iter().zip(&scored);
        for (row, (served, scored)) in pairs.enumerate() {
            let same =
                served.class == scored.class && served.probability.to_bits() == scored.probability.to_bits();
            ensure!(
                same,
                "row {row} differs: served {served:?}, scored {scored:?} by `modelward-trainer score`"
            );
        }
        Ok(())
    }

    /// The scores of these rows, computed with the files in the ledger's store.
    async fn score(&self, bundle: &Digest, rows: &Value) -> Result<Vec<Prediction>> {
        let directory = self.file(&bundle.hex());
        fs::create_dir_all(&directory)?;
        let bytes = self.manifest_bytes(bundle).await?;
        fs::write(directory.join("manifest.json"), &bytes)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)?;
        for file in &manifest.files {
            let content = self.read(&self.blob(&file.sha256).await?).await?;
            fs::write(directory.join(&file.path), content)?;
        }
        let input = self.file("rows.json");
        fs::write(&input, rows.to_string())?;

        let mut trainer = Command::new(trainer()?);
        trainer.arg("score").arg("--bundle").arg(&directory);
        trainer
            .arg("--digest")
            .arg(bundle.to_string())
            .arg("--rows")
            .arg(&input);
        let output = run(&mut trainer, &[]).await?;
        ensure!(
            output.status.success(),
            "{:?} failed: {}",
            trainer.as_std(),
            words(&output)
        );
        let lines = String::from_utf8(output.stdout)?;
        lines
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }
}

/// The trainer in the images, which `hack/cluster/images.sh build` leaves in its target folder.
fn trainer() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = match target {
        Some(target) => target,
        None => match env::var_os("MODELWARD_CACHE") {
            Some(cache) => PathBuf::from(cache),
            None => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache/modelward"),
        }
        .join("target"),
    };
    let trainer = target.join("release/modelward-trainer");
    ensure!(
        trainer.is_file(),
        "{} is missing; build it: hack/cluster/images.sh build",
        trainer.display()
    );
    Ok(trainer)
}
