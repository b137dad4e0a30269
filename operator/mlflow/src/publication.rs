//! The publication of one version: its runs, its files and its registered version.

use futures::TryStreamExt as _;
use modelward_wire::{Digest, FileEntry};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    client::{Client, Server},
    error::Error,
    files::Files,
    metrics::{Candidate, Evaluation},
};

/// A version to publish.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    /// Namespace of the `ModelVersion`.
    pub namespace: &'a str,
    /// The model.
    pub model: &'a str,
    /// Name of the `ModelVersion`.
    pub version: &'a str,
    /// Its uid, which identifies its run.
    pub version_uid: &'a str,
    /// Uid of the Job that trained it; none for a given bundle.
    pub job_uid: Option<&'a str>,
    /// Its bundle.
    pub bundle: Digest,
    /// The snapshot that it was trained on.
    pub snapshot: Option<Digest>,
    /// The files of the bundle.
    pub files: &'a [FileEntry],
    /// Unix time of the version in milliseconds, used as the timestamp of every metric. It is the same in each attempt, because
    /// MLflow stores equal points once.
    pub time: i64,
    /// Name of the registered model.
    pub registered_model: &'a str,
}

/// The result of publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Id of the run.
    pub run: String,
    /// Number of the version of the registered model.
    pub registered_version: String,
    /// Address of the run in MLflow's user interface.
    pub url: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Pair {
    key: String,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Point {
    key: String,
    value: f64,
    timestamp: i64,
    step: i64,
}

/// The content that is logged to one run.
#[derive(Default)]
struct Content {
    params: Vec<Pair>,
    points: Vec<Point>,
    tags: Vec<Pair>,
}

#[derive(Deserialize)]
struct RunAnswer {
    run: Run,
}

#[derive(Deserialize)]
struct Run {
    info: RunInfo,
}

#[derive(Deserialize)]
struct RunInfo {
    run_id: String,
    #[serde(default)]
    artifact_uri: String,
}

#[derive(Deserialize)]
struct RunsAnswer {
    #[serde(default)]
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct ExperimentAnswer {
    experiment: Experiment,
}

#[derive(Deserialize)]
struct Experiment {
    experiment_id: String,
    #[serde(default)]
    lifecycle_stage: String,
}

#[derive(Deserialize)]
struct CreatedExperiment {
    experiment_id: String,
}

#[derive(Deserialize)]
struct VersionsAnswer {
    #[serde(default)]
    model_versions: Vec<ModelVersion>,
}

#[derive(Deserialize)]
struct VersionAnswer {
    model_version: ModelVersion,
}

#[derive(Deserialize)]
struct ModelVersion {
    version: String,
}

/// A response that is not used.
#[derive(Deserialize)]
struct Ignored {}

/// The file of a bundle that says how its candidates were evaluated.
const METRICS: &str = "metrics.json";
/// Maximum size of this file, in bytes.
const MAX_METRICS_BYTES: usize = 64 << 20;
/// The folder of a run with the files of the bundle.
const FOLDER: &str = "bundle";
/// MLflow's limits on one batch.
const MAX_POINTS: usize = 1000;
const MAX_PAIRS: usize = 100;
/// The tag that identifies the run of a version.
const VERSION_UID: &str = "modelward.version-uid";
/// The tag for the type of a run: `version` or `candidate`.
const RUN: &str = "modelward.run";
const FAMILY: &str = "modelward.family";
const PARENT: &str = "mlflow.parentRunId";

/// Publishes a version. It reuses the objects of an earlier attempt.
pub async fn publish(
    server: &Server,
    publication: &Publication<'_>,
    files: &impl Files,
) -> Result<Published, Error> {
    let client = Client::new(server)?;
    let evaluation = read_evaluation(publication, files).await?;
    let experiment = ensure_experiment(&client, publication).await?;
    let run = ensure_version_run(&client, &experiment, publication).await?;
    let content = describe_version(publication, evaluation.as_ref());
    log(&client, &run.run_id, content).await?;
    for candidate in evaluation.iter().flat_map(|evaluation| &evaluation.candidates) {
        publish_candidate(&client, &experiment, &run, publication, candidate).await?;
    }
    let source = upload_files(&client, &run, publication, files).await?;
    let registered_version = ensure_registered_version(&client, &run, publication, &source).await?;
    end_run(&client, &run.run_id, publication).await?;
    Ok(Published {
        url: format!("{}/#/experiments/{experiment}/runs/{}", client.uri(), run.run_id),
        run: run.run_id,
        registered_version,
    })
}

/// Reads from the bundle how the candidates were evaluated; none for a bundle that was made elsewhere.
async fn read_evaluation(
    publication: &Publication<'_>,
    files: &impl Files,
) -> Result<Option<Evaluation>, Error> {
    let Some(file) = publication.files.iter().find(|file| file.path == METRICS) else {
        return Ok(None);
    };
    let wrong = |why: String| Error::Bundle {
        file: METRICS.into(),
        why,
    };
    let mut pieces = files.open(file).await.map_err(wrong)?;
    let mut bytes = Vec::new();
    while let Some(piece) = pieces
        .try_next()
        .await
        .map_err(|error| wrong(error.to_string()))?
    {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_METRICS_BYTES {
            return Err(wrong(format!("it has more than {MAX_METRICS_BYTES} bytes")));
        }
    }
    let evaluation = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(evaluation))
}

// === runs ===

async fn ensure_experiment(client: &Client, publication: &Publication<'_>) -> Result<String, Error> {
    let name = format!("modelward/{}/{}", publication.namespace, publication.model);
    let path = "mlflow/experiments/get-by-name";
    let query = [("experiment_name", name.as_str())];
    match client.get::<ExperimentAnswer>(path, &query).await {
        Ok(found) if found.experiment.lifecycle_stage == "deleted" => Err(Error::Settings(format!(
            "experiment {name} was deleted; restore it, or delete it permanently with mlflow gc"
        ))),
        Ok(found) => Ok(found.experiment.experiment_id),
        Err(error) if error.is_absent() => {
            let created = client
                .post::<CreatedExperiment>("mlflow/experiments/create", &json!({"name": name}))
                .await;
            match created {
                // Another ledger created it first.
                Err(error) if error.is_taken() => {
                    let found = client.get::<ExperimentAnswer>(path, &query).await?;
                    Ok(found.experiment.experiment_id)
                }
                created => Ok(created?.experiment_id),
            }
        }
        Err(error) => Err(error),
    }
}

async fn ensure_version_run(
    client: &Client,
    experiment: &str,
    publication: &Publication<'_>,
) -> Result<RunInfo, Error> {
    let filter = format!(
        "tags.`{VERSION_UID}` = '{}' and tags.`{RUN}` = 'version'",
        publication.version_uid
    );
    let tags = [(VERSION_UID, publication.version_uid), (RUN, "version")];
    ensure_run(
        client,
        experiment,
        &filter,
        publication.version,
        publication.time,
        &tags,
    )
    .await
}

/// Finds or creates a run.
async fn ensure_run(
    client: &Client,
    experiment: &str,
    filter: &str,
    name: &str,
    time: i64,
    tags: &[(&str, &str)],
) -> Result<RunInfo, Error> {
    let search = json!({"experiment_ids": [experiment], "filter": filter, "max_results": 1});
    let found: RunsAnswer = client.post("mlflow/runs/search", &search).await?;
    if let Some(run) = found.runs.into_iter().next() {
        return Ok(run.info);
    }
    let tags: Vec<Value> = tags
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    let run = json!({"experiment_id": experiment, "run_name": name, "start_time": time, "tags": tags});
    let made: RunAnswer = client.post("mlflow/runs/create", &run).await?;
    Ok(made.run.info)
}

async fn publish_candidate(
    client: &Client,
    experiment: &str,
    parent: &RunInfo,
    publication: &Publication<'_>,
    candidate: &Candidate,
) -> Result<(), Error> {
    let (parent, family) = (&parent.run_id, &candidate.family);
    let filter = format!("tags.`{PARENT}` = '{parent}' and tags.`{FAMILY}` = '{family}'");
    let name = format!("{}-{family}", publication.version);
    let tags = [
        (PARENT, parent.as_str()),
        (RUN, "candidate"),
        (FAMILY, family),
        (VERSION_UID, publication.version_uid),
    ];
    let run = ensure_run(client, experiment, &filter, &name, publication.time, &tags).await?;
    let content = describe_candidate(candidate, publication.time);
    log(client, &run.run_id, content).await?;
    end_run(client, &run.run_id, publication).await
}

async fn log(client: &Client, run: &str, content: Content) -> Result<(), Error> {
    let batch = |params: &[Pair], points: &[Point], tags: &[Pair]| json!({"run_id": run, "params": params, "metrics": points, "tags": tags});
    let mut batches: Vec<Value> = Vec::new();
    batches.extend(
        content
            .params
            .chunks(MAX_PAIRS)
            .map(|params| batch(params, &[], &[])),
    );
    batches.extend(
        content
            .points
            .chunks(MAX_POINTS)
            .map(|points| batch(&[], points, &[])),
    );
    batches.extend(content.tags.chunks(MAX_PAIRS).map(|tags| batch(&[], &[], tags)));
    for batch in batches {
        client.post::<Ignored>("mlflow/runs/log-batch", &batch).await?;
    }
    Ok(())
}

async fn end_run(client: &Client, run: &str, publication: &Publication<'_>) -> Result<(), Error> {
    let end = json!({"run_id": run, "status": "FINISHED", "end_time": publication.time});
    client.post::<Ignored>("mlflow/runs/update", &end).await.map(drop)
}

// === files and the registered version ===

/// Uploads the files of the bundle; returns the address that the registered version names.
async fn upload_files(
    client: &Client,
    run: &RunInfo,
    publication: &Publication<'_>,
    files: &impl Files,
) -> Result<String, Error> {
    let elsewhere = || Error::ArtifactsElsewhere {
        run: run.run_id.clone(),
        address: run.artifact_uri.clone(),
    };
    let path = run
        .artifact_uri
        .strip_prefix("mlflow-artifacts:")
        .ok_or_else(elsewhere)?;
    // With a host, the URI is mlflow-artifacts://host:port/path.
    let path = match path.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => path,
    };
    let path = path.trim_matches('/');
    for file in publication.files {
        let content = files.open(file).await.map_err(|why| Error::Bundle {
            file: file.path.clone(),
            why,
        })?;
        let name = format!("{path}/{FOLDER}/{}", file.path);
        client.upload(&name, file.size, content).await?;
    }
    Ok(format!("{}/{FOLDER}", run.artifact_uri.trim_end_matches('/')))
}

async fn ensure_registered_version(
    client: &Client,
    run: &RunInfo,
    publication: &Publication<'_>,
    source: &str,
) -> Result<String, Error> {
    let (model, run) = (publication.registered_model, &run.run_id);
    let created = client
        .post::<Ignored>("mlflow/registered-models/create", &json!({"name": model}))
        .await;
    match created {
        Err(error) if !error.is_taken() => return Err(error),
        _ => {}
    }
    let filter = format!("name = '{model}' and run_id = '{run}'");
    let found: VersionsAnswer = client
        .get("mlflow/model-versions/search", &[("filter", filter.as_str())])
        .await?;
    if let Some(version) = found.model_versions.into_iter().next() {
        return Ok(version.version);
    }
    let tags: Vec<Value> = identity(publication)
        .into_iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    let version = json!({"name": model, "source": source, "run_id": run, "tags": tags});
    let made: VersionAnswer = client.post("mlflow/model-versions/create", &version).await?;
    Ok(made.model_version.version)
}

// === texts ===

/// The tags that identify the objects of a run in the cluster.
fn identity(publication: &Publication<'_>) -> Vec<(&'static str, String)> {
    let mut tags = vec![
        ("modelward.namespace", publication.namespace.to_owned()),
        ("modelward.model", publication.model.to_owned()),
        ("modelward.version", publication.version.to_owned()),
        (VERSION_UID, publication.version_uid.to_owned()),
        ("modelward.bundle", publication.bundle.to_string()),
    ];
    tags.extend(
        publication
            .snapshot
            .map(|digest| ("modelward.snapshot", digest.to_string())),
    );
    tags.extend(
        publication
            .job_uid
            .map(|uid| ("modelward.job-uid", uid.to_owned())),
    );
    tags
}

fn describe_version(publication: &Publication<'_>, evaluation: Option<&Evaluation>) -> Content {
    let mut content = Content {
        tags: identity(publication)
            .into_iter()
            .map(|(key, value)| pair(key, value))
            .collect(),
        ..Content::default()
    };
    let Some(evaluation) = evaluation else {
        return content;
    };
    let selected = evaluation
        .candidates
        .iter()
        .find(|candidate| candidate.family == evaluation.selected);
    if let Some(candidate) = selected {
        let of_candidate = describe_candidate(candidate, publication.time);
        content.params = of_candidate.params;
        content.points = of_candidate.points;
    }
    content.params.extend([
        pair("modelward.family", &evaluation.selected),
        pair("modelward.selectBy", &evaluation.select_by),
        pair("modelward.threshold", &evaluation.threshold.value),
        pair("modelward.thresholdRule", &evaluation.threshold.rule),
        pair("modelward.folds", evaluation.folds.count.to_string()),
        pair("modelward.repeats", evaluation.folds.repeats.to_string()),
        pair("modelward.seed", evaluation.folds.seed.to_string()),
    ]);
    let trials = evaluation.trials.iter().filter_map(|trial| {
        let name = format!("trial_{}", evaluation.select_by);
        Some(point(name, trial.value?, publication.time, trial.number))
    });
    content.points.extend(trials);
    content
}

fn describe_candidate(candidate: &Candidate, time: i64) -> Content {
    let mut points = Vec::new();
    for metric in &candidate.metrics {
        let mean = metric.mean.map(|mean| point(metric.name.clone(), mean, time, 0));
        let name = format!("{}_standard_error", metric.name);
        let error = metric.standard_error.map(|error| point(name, error, time, 0));
        points.extend(mean.into_iter().chain(error));
    }
    let folds = candidate
        .folds
        .iter()
        .map(|fold| fold.number + 1)
        .max()
        .unwrap_or(1);
    for fold in &candidate.folds {
        let step = fold.repeat * folds + fold.number;
        let of_fold = fold.metrics.iter().filter_map(|(name, value)| {
            let value = value.filter(|value| value.is_finite())?;
            Some(point(format!("{name}_fold"), value, time, step))
        });
        points.extend(of_fold);
    }
    Content {
        params: candidate
            .params()
            .into_iter()
            .map(|(key, value)| pair(key, value))
            .collect(),
        points,
        tags: Vec::new(),
    }
}

fn pair(key: impl Into<String>, value: impl Into<String>) -> Pair {
    Pair {
        key: key.into(),
        value: value.into(),
    }
}

fn point(key: String, value: f64, timestamp: i64, step: i64) -> Point {
    Point {
        key,
        value,
        timestamp,
        step,
    }
}
