//! The files of an import: from the command line, or from the places in the spec.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use modelward_crds::Dataset;
use modelward_model::{
    files::{MANIFEST, parse_manifest},
    sha256,
};
use modelward_wire::{Digest, MlflowVersion};

use crate::{
    command::{arguments::ImportArgs, import::request::Request, temporary::Temporary},
    data::{
        input::{Input, Place},
        source::{self, Fetch, SourceError, shown},
        violation::Quote,
    },
    import::{
        ImportError,
        mlflow::{self, Found},
        sample::MAX_BYTES,
    },
    spec,
};

/// The largest model file that is read.
const MAX_MODEL_BYTES: u64 = 1 << 30;

/// What an import reads.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) model: Model,
    /// The name of the model in messages.
    pub(super) name: String,
    /// A bundle may come without one.
    pub(super) sample: Option<SampleFile>,
    /// What an alias was resolved to.
    pub(super) mlflow: Option<MlflowVersion>,
}

/// A model.
#[derive(Debug)]
pub(super) enum Model {
    /// The bytes of its file.
    File(Vec<u8>),
    /// The directory of a bundle.
    Folder(PathBuf),
}

/// The file of a sample.
#[derive(Debug)]
pub(super) struct SampleFile {
    pub(super) bytes: Vec<u8>,
    pub(super) quote: Quote,
}

/// Reads them. A path on the command line takes precedence over the place in the spec.
pub(super) async fn read_files(
    args: &ImportArgs,
    request: &Request,
    fetch: &Fetch,
    temporary: &Temporary,
) -> anyhow::Result<Files> {
    let artifact = request.artifact.as_ref();
    let file = artifact.and_then(|artifact| artifact.file.as_deref());
    let sample = artifact.and_then(|artifact| artifact.sample.as_deref());
    let sample = match (sample, &args.sample) {
        (Some(sample), path) => {
            let index = usize::from(file.is_some());
            let bytes = read_dataset(&sample.dataset, index, path.as_deref(), "--sample", fetch).await?;
            check_pin(&sample.dataset, &sha256(&bytes), "the sample")?;
            Some(SampleFile {
                bytes,
                quote: match (path, &sample.dataset.uri) {
                    (None, Some(_)) => Quote::No,
                    _ => Quote::Yes,
                },
            })
        }
        (None, Some(path)) => Some(SampleFile {
            bytes: read_path(path, MAX_BYTES)?,
            quote: Quote::Yes,
        }),
        (None, None) => None,
    };
    if let Some(sample) = &sample {
        check_size("the sample", sample.bytes.len() as u64, MAX_BYTES)?;
    }
    let (model, name, resolved) = match (&args.model, file) {
        (Some(path), None) if path.is_dir() => {
            (Model::Folder(path.clone()), path.display().to_string(), None)
        }
        (Some(path), None) => {
            let bytes = read_path(path, MAX_MODEL_BYTES)?;
            (Model::File(bytes), path.display().to_string(), None)
        }
        (path, Some(dataset)) => {
            let name = spec::source_name(dataset);
            (read_model(dataset, path.as_deref(), fetch).await?, name, None)
        }
        (None, None) => {
            let Some(named) = artifact.and_then(|artifact| artifact.mlflow.as_ref()) else {
                bail!("set --model, or a spec with source.artifact: they say where the model is");
            };
            let (found, resolved) = mlflow::fetch(named, fetch, |name| std::env::var(name).ok()).await?;
            let model = match found {
                Found::File(bytes) => Model::File(bytes),
                Found::Bundle(files) => {
                    let folder = temporary.join("registered");
                    files.write(&folder)?;
                    Model::Folder(folder)
                }
            };
            let name = format!("of {} {}", named.model, resolved.version);
            (model, name, Some(resolved))
        }
    };
    Ok(Files {
        model,
        name,
        sample,
        mlflow: resolved,
    })
}

/// The model at the place in the spec, or a copy of it at a path.
async fn read_model(dataset: &Dataset, path: Option<&Path>, fetch: &Fetch) -> anyhow::Result<Model> {
    if let Some(folder) = path.filter(|path| path.is_dir()) {
        if fetch.reach.is_job() {
            check_mounted(dataset, folder, fetch).await?;
        }
        let manifest = source::read_file(&folder.join(MANIFEST));
        // If it is not a bundle, opening it fails.
        if let Ok(manifest) = manifest {
            check_pin(dataset, &sha256(&manifest), "the bundle")?;
        }
        return Ok(Model::Folder(folder.to_owned()));
    }
    let bytes = read_dataset(dataset, 0, path, "--model", fetch).await?;
    check_pin(dataset, &sha256(&bytes), "the file of the model")?;
    Ok(Model::File(bytes))
}

/// Checks that the files of a mounted bundle are files of its volume. What else is wrong with them is found when it is opened.
async fn check_mounted(dataset: &Dataset, folder: &Path, fetch: &Fetch) -> Result<(), SourceError> {
    let named = dataset.files().next().unwrap_or_default();
    let open = async |file: &str| {
        let input = Input {
            index: 0,
            dataset,
            name: format!("{named}/{file}"),
            label: spec::source_name(dataset),
            place: Place::Path(folder.join(file)),
        };
        match input.open(fetch).await {
            Err(error @ SourceError::NotAFile { .. }) => Err(error),
            opened => Ok(opened.ok()),
        }
    };
    let Some(manifest) = open(MANIFEST).await? else {
        return Ok(());
    };
    let manifest = manifest.read_at(0, manifest.len() as usize).unwrap_or_default();
    let listed = parse_manifest(&manifest).map(|manifest| manifest.files);
    for entry in listed.unwrap_or_default() {
        open(&entry.path).await?;
    }
    Ok(())
}

/// The only file of a dataset. A Job has it mounted at a path, unless it is at an address.
async fn read_dataset(
    dataset: &Dataset,
    index: usize,
    path: Option<&Path>,
    argument: &str,
    fetch: &Fetch,
) -> anyhow::Result<Vec<u8>> {
    let file = dataset.files().next().unwrap_or_default();
    let place = match (path, &dataset.uri) {
        (Some(path), _) if path.is_dir() => {
            let what = format!("{} is a folder; name a file in it", spec::source_name(dataset));
            return Err(ImportError::Refused(what).into());
        }
        (Some(path), _) => Place::Path(path.to_owned()),
        (None, Some(uri)) => Place::Address(uri),
        (None, None) => bail!(
            "only a Pod can read {}: name a copy of the file with {argument}",
            spec::source_name(dataset)
        ),
    };
    let input = Input {
        index,
        dataset,
        name: match dataset.uri {
            Some(_) => shown(file),
            None => file.to_owned(),
        },
        label: spec::source_name(dataset),
        place,
    };
    let bytes = input.read(fetch).await?;
    tracing::info!(bytes = bytes.len(), "read {}", input.label);
    Ok(bytes)
}

fn check_pin(dataset: &Dataset, found: &Digest, what: &str) -> Result<(), ImportError> {
    match dataset.sha256.filter(|pinned| pinned != found) {
        Some(pinned) => Err(ImportError::Refused(format!(
            "{what} has {found}, the spec pins {pinned}"
        ))),
        None => Ok(()),
    }
}

fn read_path(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    check_size(&path.display().to_string(), bytes, most)?;
    Ok(source::read_file_within(path, most)?)
}

fn check_size(what: &str, bytes: u64, most: u64) -> Result<(), ImportError> {
    if bytes > most {
        let what = format!("{what} has {bytes} bytes, at most {most} are read");
        return Err(ImportError::Refused(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use modelward_crds::Networks;
    use modelward_model::DirBuilder;
    use modelward_wire::ManifestKind;
    use serde_json::json;

    use super::*;
    use crate::data::reach::Reach;

    #[tokio::test]
    async fn a_bundle_on_a_claim_is_opened_unless_a_file_of_it_is_a_pipe() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("bundle");
        let files = DirBuilder::new(ManifestKind::Bundle).with("a.json", "{}");
        files.write(&folder).unwrap();
        let claim = json!({"persistentVolumeClaim": {"claimName": "models", "path": "bundle"}});
        let dataset: Dataset = serde_json::from_value(claim).unwrap();
        let job = Fetch::within(Reach::of_job(Networks::default(), Networks::default(), None));
        let model = read_model(&dataset, Some(&folder), &job).await.unwrap();
        assert!(matches!(model, Model::Folder(found) if found == folder));

        std::fs::remove_file(folder.join("a.json")).unwrap();
        let made = Command::new("mkfifo").arg(folder.join("a.json")).status();
        assert!(made.unwrap().success());
        let error = read_model(&dataset, Some(&folder), &job).await.unwrap_err();
        let words = "PersistentVolumeClaim models, path bundle/a.json: it is a folder, a pipe";
        assert!(error.to_string().starts_with(words), "{error}");
    }
}
