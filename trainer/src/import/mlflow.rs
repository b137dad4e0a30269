//! A model in the registry of an MLflow server.
//!
//! ```text
//! alias ──registered-models/alias──► version, run ──get-download-uri──► folder ──MLmodel──► flavor ──► its file, or the files of a bundle
//! ```
//!
//! Everything is read through [`download`], within the reach of a Job. No flavor's code runs: a file is in one of the formats of
//! [`crate::import`], or it is refused.

use std::collections::BTreeMap;

use modelward_crds::{MLFLOW_KEYS, MlflowModel};
use modelward_model::DirBuilder;
use modelward_wire::{ManifestKind, MlflowVersion};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    data::{
        source::{Authorization, Fetch, LIMIT_REMEDY, SourceError, download, shown},
        violation::cut,
    },
    import::contract::ImportError,
};

/// The file that describes a model.
const DESCRIPTION: &str = "MLmodel";

/// The largest description that is read.
const MAX_DESCRIPTION_BYTES: usize = 4 << 20;

/// Files that a bundle may have.
const MAX_FILES: usize = 256;

/// The flavor of a bundle that Modelward published.
const MODELWARD: &str = "modelward";

/// The flavors whose file is imported.
const FLAVORS: [&str; 3] = ["lightgbm", "xgboost", "onnx"];

/// Flavors that are refused, and what to log instead.
const REFUSED: [(&str, &str); 2] = [
    (
        "sklearn",
        "is a file of Python objects, which can run code when it is read: log mlflow.onnx.log_model(skl2onnx.to_onnx(model, \
         X[:1].astype(numpy.float32)), name=\"model\")",
    ),
    (
        "python_function",
        "is Python code: log the model itself with mlflow.lightgbm.log_model, mlflow.xgboost.log_model or mlflow.onnx.log_model",
    ),
];

/// Endings of files with Python objects.
const PICKLES: [&str; 5] = [".pkl", ".pickle", ".skops", ".joblib", ".cloudpickle"];

/// What a version of a registered model holds.
#[derive(Debug)]
pub enum Found {
    /// The file of a model.
    File(Vec<u8>),
    /// The files of a bundle.
    Bundle(DirBuilder),
}

#[derive(Deserialize)]
struct AliasAnswer {
    model_version: RegisteredVersion,
}

#[derive(Deserialize)]
struct RegisteredVersion {
    version: String,
    #[serde(default)]
    run_id: String,
}

#[derive(Deserialize)]
struct PlaceAnswer {
    artifact_uri: String,
}

#[derive(Deserialize)]
struct RunAnswer {
    run: Run,
}

#[derive(Deserialize)]
struct Run {
    info: PlaceAnswer,
}

#[derive(Deserialize)]
struct FilesAnswer {
    #[serde(default)]
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    #[serde(default)]
    is_dir: bool,
    #[serde(default, rename = "file_size")]
    size: Option<u64>,
}

/// The part of `MLmodel` that says what the model is.
#[derive(Deserialize)]
struct Description {
    flavors: BTreeMap<String, Flavor>,
}

#[derive(Deserialize)]
struct Flavor {
    #[serde(default)]
    data: Option<String>,
}

/// A server, and the version that an alias leads to.
struct Registry<'a> {
    model: &'a MlflowModel,
    fetch: Fetch,
}

/// Resolves the alias, and reads what the version holds. `variable` gives the variables of this process, among them the credentials.
pub async fn fetch(
    model: &MlflowModel,
    fetch: &Fetch,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<(Found, MlflowVersion)> {
    let registry = Registry {
        model,
        fetch: Fetch {
            authorization: credentials(model, fetch, variable)?,
            ..fetch.clone()
        },
    };
    let version = registry.resolve().await?;
    let folder = registry.find_folder(&version).await?;
    let found = registry.read(&version, &folder).await?;
    tracing::info!(
        model = model.model,
        alias = model.alias,
        version = version.version,
        "read a model from MLflow"
    );
    Ok((found, version))
}

fn credentials(
    model: &MlflowModel,
    fetch: &Fetch,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Authorization>, SourceError> {
    let [token, username, password] = MLFLOW_KEYS.map(|key| variable(key).filter(|value| !value.is_empty()));
    let given = match (token, username) {
        (Some(token), _) => Some(Authorization::Bearer(token)),
        (None, Some(username)) => Some(Authorization::Basic {
            username,
            password: password.unwrap_or_default(),
        }),
        (None, None) => None,
    };
    // A user outside of a cluster has no Secret, but their own credentials.
    match &model.credentials_secret {
        Some(secret) if given.is_none() && fetch.reach.is_job() => Err(SourceError::NotFound {
            name: shown(&model.uri),
            reason: format!(
                "Secret {} does not exist or has none of the keys {}",
                secret.name,
                MLFLOW_KEYS.join(", ")
            ),
        }),
        _ => Ok(given),
    }
}

/// The path of a folder among the artifacts that the server serves; none if they are elsewhere.
fn proxied_path(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("mlflow-artifacts:")?;
    let path = match rest.strip_prefix("//") {
        Some(with_host) => with_host.split_once('/')?.1,
        None => rest,
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let is_plain = !parts.is_empty() && parts.iter().all(|part| !matches!(*part, "." | ".."));
    is_plain.then(|| parts.join("/"))
}

// === impl Registry ===

impl Registry<'_> {
    /// The version that the alias leads to.
    async fn resolve(&self) -> anyhow::Result<MlflowVersion> {
        let MlflowModel { model, alias, .. } = self.model;
        let asked = [("name", model.as_str()), ("alias", alias.as_str())];
        let answer: AliasAnswer = match self.ask("mlflow/registered-models/alias", &asked).await {
            Ok(answer) => answer,
            Err(error) => {
                let reason = match error.downcast_ref() {
                    Some(SourceError::NotFound { reason, .. }) => reason.clone(),
                    // MLflow's answer for an alias that does not exist.
                    Some(SourceError::Status { status, .. }) if *status == StatusCode::BAD_REQUEST => {
                        format!("the server answered {status}")
                    }
                    _ => return Err(error),
                };
                let reason = format!(
                    "{reason} to the request for the alias {alias} of the registered model {model}: check both names, and the \
                     credentials if the server needs any"
                );
                let name = shown(&self.model.uri);
                return Err(SourceError::NotFound { name, reason }.into());
            }
        };
        let RegisteredVersion { version, run_id } = answer.model_version;
        Ok(MlflowVersion {
            version: cut(&version, 64),
            run: Some(cut(&run_id, 64)).filter(|run| !run.is_empty()),
        })
    }

    /// The folder of a version among the artifacts of the server.
    async fn find_folder(&self, version: &MlflowVersion) -> anyhow::Result<String> {
        let asked = [
            ("name", self.model.model.as_str()),
            ("version", version.version.as_str()),
        ];
        let place: PlaceAnswer = self.ask("mlflow/model-versions/get-download-uri", &asked).await?;
        let mut uri = place.artifact_uri;
        if let Some((run, path)) = uri.strip_prefix("runs:/").and_then(|rest| rest.split_once('/')) {
            let answer: RunAnswer = self.ask("mlflow/runs/get", &[("run_id", run)]).await?;
            uri = format!("{}/{path}", answer.run.info.artifact_uri);
        }
        proxied_path(&uri).ok_or_else(|| {
            ImportError::Refused(format!(
                "the artifacts of {} are at {}, and the MLflow server does not serve them: start it with --artifacts-destination, or name \
                 the file in source.artifact.file",
                self.describe(version),
                cut(&shown(&uri), 200)
            ))
            .into()
        })
    }

    /// The file of the flavor that is imported.
    async fn read(&self, version: &MlflowVersion, folder: &str) -> anyhow::Result<Found> {
        let refuse = |what: String| ImportError::Refused(format!("{} {what}", self.describe(version)));
        let text = match self.get_file(folder, DESCRIPTION).await {
            Err(SourceError::NotFound { .. }) => {
                let what = "has no file MLmodel: log the model with log_model of its flavor".to_owned();
                return Err(refuse(what).into());
            }
            text => text?,
        };
        let description = Some(text)
            .filter(|text| text.len() <= MAX_DESCRIPTION_BYTES)
            .and_then(|text| String::from_utf8(text).ok())
            .and_then(|text| serde_saphyr::from_str::<Description>(&text).ok());
        let Some(Description { flavors }) = description else {
            return Err(refuse(
                "has a file MLmodel that does not list flavors: log the model again".to_owned(),
            )
            .into());
        };
        if flavors.contains_key(MODELWARD) {
            return Ok(Found::Bundle(self.read_bundle(version, folder).await?));
        }
        let known = FLAVORS.iter().find_map(|name| Some((*name, flavors.get(*name)?)));
        let Some((name, flavor)) = known else {
            return Err(refuse(describe_refused(flavors.keys())).into());
        };
        let file = flavor.data.as_deref().unwrap_or_default();
        if file.is_empty() || file.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refuse(format!(
                "has the flavor {name} without a file in data: log the model with a newer MLflow"
            ))
            .into());
        }
        if PICKLES.iter().any(|ending| file.ends_with(ending)) {
            let instead = match name {
                "lightgbm" => "log its booster: mlflow.lightgbm.log_model(model.booster_, name=\"model\")",
                "xgboost" => "log its booster: mlflow.xgboost.log_model(model.get_booster(), name=\"model\")",
                _ => "log the ONNX model itself",
            };
            return Err(refuse(format!(
                "has the flavor {name} as {file}, a file of Python objects, which can run code when it is read; {instead}"
            ))
            .into());
        }
        Ok(Found::File(self.get_file(folder, file).await?))
    }

    /// Every file of a bundle. MLflow does not have its manifest, which follows from them.
    async fn read_bundle(&self, version: &MlflowVersion, folder: &str) -> anyhow::Result<DirBuilder> {
        let listed: FilesAnswer = self
            .ask("mlflow-artifacts/artifacts", &[("path", folder)])
            .await?;
        let files: Vec<&File> = listed.files.iter().filter(|file| !file.is_dir).collect();
        let sizes = files.iter().filter_map(|file| file.size);
        let bytes = sizes.fold(0, u64::saturating_add);
        let most = self.fetch.max_bytes;
        if files.len() > MAX_FILES || bytes > most {
            return Err(ImportError::Refused(format!(
                "{} has {} files of {bytes} bytes: at most {MAX_FILES} files of {most} bytes are read; {LIMIT_REMEDY}",
                self.describe(version),
                files.len()
            ))
            .into());
        }
        // The sizes are what the server says, if it says any.
        let mut left = most;
        let mut bundle = DirBuilder::new(ManifestKind::Bundle);
        for file in files {
            let bytes = match self.get_file_within(folder, &file.path, left).await {
                Err(SourceError::TooLarge { .. }) => {
                    return Err(ImportError::Refused(format!(
                        "{} has files of more than {most} bytes together: at most {most} bytes are read; {LIMIT_REMEDY}",
                        self.describe(version)
                    ))
                    .into());
                }
                bytes => bytes?,
            };
            left = left.saturating_sub(bytes.len() as u64);
            bundle = bundle.with(&file.path, bytes);
        }
        Ok(bundle)
    }

    async fn get_file(&self, folder: &str, file: &str) -> Result<Vec<u8>, SourceError> {
        self.get_file_within(folder, file, self.fetch.max_bytes).await
    }

    async fn get_file_within(&self, folder: &str, file: &str, limit: u64) -> Result<Vec<u8>, SourceError> {
        let url = self.url(&format!("mlflow-artifacts/artifacts/{folder}/{file}"))?;
        let fetch = Fetch {
            max_bytes: limit,
            ..self.fetch.clone()
        };
        download(url.as_str(), None, &fetch).await
    }

    /// The answer to a request of the REST interface.
    async fn ask<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<T> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let bytes = download(url.as_str(), None, &self.fetch).await?;
        // The answer is not quoted: the author of a spec chooses the server.
        serde_json::from_slice(&bytes).map_err(|_| {
            let name = shown(&self.model.uri);
            let reason = format!("its answer to {path} is not that of an MLflow server");
            SourceError::Address { name, reason }.into()
        })
    }

    fn url(&self, path: &str) -> Result<Url, SourceError> {
        let wrong = |reason: String| SourceError::Address {
            name: shown(&self.model.uri),
            reason,
        };
        let mut url = Url::parse(&self.model.uri).map_err(|error| wrong(error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| wrong("it has no path".to_owned()))?
            .pop_if_empty()
            .extend(["api", "2.0"])
            .extend(path.split('/'));
        Ok(url)
    }

    fn describe(&self, version: &MlflowVersion) -> String {
        format!(
            "version {} of the registered model {}",
            version.version, self.model.model
        )
    }
}

/// Why none of these flavors is imported.
fn describe_refused<'a>(flavors: impl Iterator<Item = &'a String> + Clone) -> String {
    for (name, why) in REFUSED {
        let is_only = || flavors.clone().all(|flavor| flavor == name);
        if flavors.clone().any(|flavor| flavor == name) && (name != "python_function" || is_only()) {
            return format!("has the flavor {name}, which {why}");
        }
    }
    let names: Vec<&str> = flavors
        .map(String::as_str)
        .filter(|flavor| *flavor != "python_function")
        .collect();
    match names[..] {
        [] => "has no flavor: log the model with mlflow.lightgbm, mlflow.xgboost or mlflow.onnx".to_owned(),
        _ => format!(
            "has the flavor {}, which is not imported: train a tree model or a linear model, and log it with mlflow.lightgbm, mlflow.xgboost or \
             mlflow.onnx",
            cut(&names.join(", "), 100)
        ),
    }
}

#[cfg(test)]
mod tests;
