//! The story's objects: a heart model, its data, and a trainer that finishes immediately.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use modelward_crds::{annotations, labels};
use modelward_kit::fake_controllers::JobEnd;
use modelward_profile::{Bins, ChosenBy, Counts, FeatureBins, Observed, Reference, ScoreBins};
use modelward_wire::{
    BUNDLE_STATEMENT, Digest, FileEntry, GateResult, JobResult, JobStage, Manifest, ManifestKind,
    MetricValue, SNAPSHOT_STATEMENT, SourceRecord, Stated, Verdict,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Length of the story's windows, in seconds: one day, so that a run rarely crosses the end of one.
pub const WINDOW: i64 = 86_400;
/// Delay between the end of a window and its verdict, in seconds.
pub const LATENESS: i64 = 30;
/// How long a new version is monitored, in seconds: until the verdict on the window in which it took over.
pub const VERIFICATION: i64 = 100_000;
/// How long a plan waits for a decision, in seconds.
pub const PLAN: i64 = 4 * 3600;

/// A version of heart that is trained on Cleveland's rows and may be trained again on Hungary's.
pub fn version(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "model": "heart",
            "source": {"training": {
                "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}},
                "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
                "gates": [{"metric": "F1", "atLeast": "0.75"}],
            }},
            "serving": {"access": "Open", "replicas": {"min": 1, "max": 2}},
            "monitoring": {"season": "None", "windowSeconds": WINDOW, "latenessSeconds": LATENESS},
            "retraining": {
                "datasets": [{"name": "hungarian", "dataset": {"configMap": {"name": "heart-disease", "key": "hungarian.csv"}}}],
            },
        },
    })
}

/// The data that the version names.
pub fn datasets() -> Value {
    json!({"metadata": {"name": "heart-disease"}, "data": {"cleveland.csv": "rows", "hungarian.csv": "more rows"}})
}

/// The directory of a namespace's artifacts in the ledger's store.
#[derive(Clone)]
pub struct Store(pub PathBuf);

/// The artifacts of the story's trainings.
#[derive(Clone)]
pub struct Heart {
    /// Cleveland's snapshot and bundle.
    pub first: Training,
    /// The snapshot and bundle of Cleveland and Hungary together.
    pub second: Training,
    /// Those of a third version.
    pub third: Training,
    /// Those of a version that a user creates.
    pub fourth: Training,
    store: Store,
    /// Published bundles. A bundle states the spec that was requested, so its digest is not known in advance.
    bundles: Arc<Mutex<Vec<(String, &'static str)>>>,
}

/// The result of one training.
#[derive(Clone)]
pub struct Training {
    /// Digest of the snapshot.
    pub snapshot: Digest,
    /// The reference, and the counts of traffic like it.
    pub reference: Reference,
    sources: Vec<SourceRecord>,
}

// === impl Store ===

impl Store {
    /// Stores an artifact with these files, as the trainer would through the ledger.
    fn publish(&self, kind: ManifestKind, files: &[(&str, &[u8])]) -> Result<Digest> {
        let mut entries = Vec::new();
        for (path, content) in files {
            self.put("blobs", content)?;
            entries.push(FileEntry {
                path: (*path).into(),
                sha256: digest_of(content),
                size: content.len() as u64,
            });
        }
        let manifest = Manifest::new(kind, entries)?;
        self.put("manifests", &serde_json::to_vec(&manifest)?)
    }

    fn put(&self, folder: &str, bytes: &[u8]) -> Result<Digest> {
        let digest = digest_of(bytes);
        let directory = self.0.join(folder).join("sha256");
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(digest.hex()), bytes)?;
        Ok(digest)
    }
}

// === impl Heart ===

impl Heart {
    /// Publishes both trainings.
    pub fn publish(store: &Store) -> Result<Self> {
        let (cleveland, hungary) = (rows(303, 0.0), rows(294, 16.0));
        let bins = Bins::new(
            vec![
                FeatureBins::numeric("age", &cleveland.iter().map(|row| row.0).collect::<Vec<_>>())?,
                FeatureBins::numeric("oldpeak", &cleveland.iter().map(|row| row.1).collect::<Vec<_>>())?,
            ],
            ScoreBins::from_out_of_fold(&cleveland.iter().map(|row| row.2).collect::<Vec<_>>())?,
        )?;
        let source = |name: &str, rows: u64, positive: u64| SourceRecord {
            name: name.into(),
            sha256: digest_of(name.as_bytes()),
            rows,
            positive_rows: Some(positive),
        };
        let first = vec![source("cleveland.csv", 303, 139)];
        let second = vec![first[0].clone(), source("hungarian.csv", 294, 106)];
        let third = vec![source("hungarian.csv", 294, 106)];
        let fourth = vec![source("cleveland.csv", 210, 96)];
        Ok(Self {
            first: Training::publish(store, &bins, &cleveland, first)?,
            second: Training::publish(store, &bins, &hungary, second.clone())?,
            third: Training::publish(store, &bins, &rows(200, 8.0), third)?,
            fourth: Training::publish(store, &bins, &rows(210, 4.0), fourth)?,
            store: store.clone(),
            bundles: Arc::default(),
        })
    }

    /// A correct trainer. The name of the version determines its artifacts.
    pub fn trains(&self, job: &Job) -> JobEnd {
        let (training, name) = match job.labels().get(labels::VERSION).map(String::as_str) {
            Some("heart-1") => (&self.first, "bundle of cleveland"),
            Some("heart-2") => (&self.fourth, "bundle of a second version"),
            Some("heart-3") => (&self.third, "bundle of a third version"),
            _ => (&self.second, "bundle of both"),
        };
        let is_fit = job
            .labels()
            .get(labels::STAGE)
            .is_some_and(|stage| stage == "fit");
        let made = || {
            let mut result = training.result(is_fit)?;
            if is_fit {
                let bundle = training.publish_bundle(&self.store, Some(job), &result)?;
                let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
                bundles.push((bundle.to_string(), name));
                result.digest = Some(bundle);
            }
            Ok::<_, anyhow::Error>(serde_json::to_string(&result)?)
        };
        match made() {
            Ok(result) => JobEnd::Succeeds(result),
            Err(error) => JobEnd::Fails(1, format!("{error:#}")),
        }
    }

    /// A bundle that no Job of the story created, such as a user's.
    pub fn brought(&self) -> Result<Digest> {
        let result = self.third.result(true)?;
        self.third.publish_bundle(&self.store, None, &result)
    }

    /// Readable names of the digests.
    pub fn names(&self) -> Vec<(String, &'static str)> {
        let mut names = vec![
            (self.first.snapshot.to_string(), "snapshot of cleveland"),
            (self.second.snapshot.to_string(), "snapshot of both"),
        ];
        let bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        names.extend(bundles.iter().cloned());
        names
    }
}

// === impl Training ===

impl Training {
    fn publish(
        store: &Store,
        bins: &Bins,
        rows: &[(f32, f32, f64)],
        sources: Vec<SourceRecord>,
    ) -> Result<Self> {
        let mut counts = Counts::new(bins);
        for (age, oldpeak, score) in rows {
            let row = [Observed::Number(*age), Observed::Number(*oldpeak)];
            counts.add_row(bins, row, *score, u8::from(*score >= 0.5))?;
        }
        let reference = Reference {
            bins: bins.clone(),
            counts,
            chosen_by: ChosenBy::None,
            phases: None,
        };
        let stated = Stated {
            rows: sources.iter().map(|source| source.rows).sum(),
            sources: sources.clone(),
            ..Stated::default()
        };
        let stated = serde_json::to_vec(&stated)?;
        Ok(Self {
            snapshot: store.publish(ManifestKind::Snapshot, &[(SNAPSHOT_STATEMENT, &stated)])?,
            reference,
            sources,
        })
    }

    /// The bundle that states the request of its Job and the results.
    fn publish_bundle(&self, store: &Store, job: Option<&Job>, result: &JobResult) -> Result<Digest> {
        let pod = job.and_then(|job| job.spec.as_ref()?.template.spec.as_ref());
        let arguments = pod
            .and_then(|pod| pod.containers[0].args.clone())
            .unwrap_or_default();
        let at = arguments.iter().position(|argument| argument == "--snapshot");
        let training = job.and_then(|job| job.annotations().get(annotations::TRAINING));
        let stated = Stated {
            rows: self.sources.iter().map(|source| source.rows).sum(),
            model: Some("heart".into()),
            family: result.family.clone(),
            threshold: result.threshold.clone(),
            snapshot: at.and_then(|at| arguments.get(at + 1)?.parse().ok()),
            training: training.and_then(|text| text.parse().ok()),
            metrics: result.metrics.clone(),
            gates: result.gates.clone(),
            ..Stated::default()
        };
        let (stated, reference) = (serde_json::to_vec(&stated)?, serde_json::to_vec(&self.reference)?);
        store.publish(
            ManifestKind::Bundle,
            &[(BUNDLE_STATEMENT, &stated), ("reference.json", &reference)],
        )
    }

    fn result(&self, is_fit: bool) -> Result<JobResult> {
        let mut result = JobResult::new(
            if is_fit { JobStage::Fit } else { JobStage::Snapshot },
            Verdict::Succeeded,
            "done",
        );
        if is_fit {
            let f1: modelward_wire::Decimal = "0.8151".parse().ok().context("a number")?;
            result.family = Some("LogisticRegression".into());
            result.threshold = Some("0.5".parse().ok().context("a number")?);
            result.metrics = vec![MetricValue {
                name: "F1".into(),
                mean: f1.clone(),
                standard_error: "0.0112".parse().ok().context("a number")?,
            }];
            result.gates = vec![GateResult {
                metric: "F1".into(),
                bound: "atLeast 0.75".into(),
                value: f1,
                passed: true,
            }];
            // The second one was compared with the first.
            if self.sources.len() > 1 {
                for rows in ["all rows", "new rows"] {
                    result.gates.push(GateResult {
                        metric: "F1".into(),
                        bound: format!("notWorseThan heart-1 by 0.03 on {rows}").into(),
                        value: "-0.012".parse().ok().context("a number")?,
                        passed: true,
                    });
                }
            }
        } else {
            result.digest = Some(self.snapshot);
            result.rows = Some(self.sources.iter().map(|source| source.rows).sum());
            result.sources.clone_from(&self.sources);
        }
        Ok(result)
    }
}

/// Rows of a clinic with patients who are this many years younger: age, oldpeak, score.
fn rows(count: u16, younger: f32) -> Vec<(f32, f32, f64)> {
    (0..count)
        .map(|row| {
            let age = 29.0 + f32::from(row * 7 % 49) - younger;
            (
                age,
                f32::from(row * 5 % 32) / 8.0,
                f64::from(row * 11 % 100) / 100.0,
            )
        })
        .collect()
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}
