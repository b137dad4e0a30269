//! The files of the datasets of a spec, and where each is.

use std::path::{Component, Path, PathBuf};

use anyhow::ensure;
use modelward_crds::{Dataset, TrainingSource};
use modelward_model::sha256;
use modelward_wire::{Digest, SourceRecord};

use crate::{
    data::{
        bucket::{self, Access, is_bucket},
        content::Content,
        near::did_you_mean,
        reach::Reach,
        source::{self, Fetch, MAX_FILES, SourceError, shown},
        violation::cut,
    },
    spec,
};

/// Entries of a folder that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// One file to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Input<'a> {
    /// The index of its dataset.
    pub index: usize,
    /// Its dataset.
    pub dataset: &'a Dataset,
    /// Its name as the spec has it: a key, a path or an address, without what may be a secret.
    pub name: String,
    /// How messages name it: the first dataset's as its source, the others' as the spec names the dataset, with the file's own name
    /// if there are several.
    pub label: String,
    /// Where it is.
    pub place: Place<'a>,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place<'a> {
    /// On a disk.
    Path(PathBuf),
    /// At an address.
    Address(&'a str),
    /// In a cluster.
    Cluster,
}

/// Every file of the datasets, in their order. The i-th path is the i-th file that is not an address, or the i-th file if there are as
/// many paths as files. A folder stands for the files in it.
pub fn inputs<'a>(
    training: &'a TrainingSource,
    paths: &[PathBuf],
    reach: &Reach,
) -> anyhow::Result<Result<Vec<Input<'a>>, SourceError>> {
    let files = || {
        training
            .datasets()
            .flat_map(|dataset| dataset.files().map(move |file| (dataset, file)))
    };
    let local = files().filter(|(dataset, _)| dataset.uri.is_none()).count();
    let all = files().count();
    ensure!(
        paths.is_empty() || paths.len() == local || paths.len() == all,
        "--source is given {} times, the spec has {local} {} that are not addresses; name one file for each, in their order",
        paths.len(),
        if training.datasets().any(|dataset| !dataset.more_files.is_empty()) {
            "files of datasets"
        } else {
            "datasets"
        }
    );
    let for_all = paths.len() == all;
    let mut paths = paths.iter();
    let mut inputs = Vec::new();
    for ((index, dataset), name) in training.datasets().enumerate().zip(names(training)) {
        let mut of_dataset = Vec::new();
        for file in dataset.files() {
            let path = (for_all || dataset.uri.is_none()).then(|| paths.next()).flatten();
            match places(dataset, file, path.map(PathBuf::as_path), reach) {
                Ok(places) => of_dataset.extend(places),
                Err(error) => return Ok(Err(error)),
            }
        }
        if of_dataset.len() > MAX_FILES {
            return Ok(Err(SourceError::TooManyFiles {
                name: spec::source_name(dataset),
                files: of_dataset.len(),
            }));
        }
        let several = of_dataset.len() > 1;
        inputs.extend(of_dataset.into_iter().map(|(file, place)| Input {
            index,
            dataset,
            label: match (index, several) {
                (_, false) => name.clone(),
                (0, true) => file.clone(),
                (_, true) => format!("{name}, {file}"),
            },
            name: file,
            place,
        }));
    }
    Ok(Ok(inputs))
}

/// How messages name the datasets: the first as its source, the others as the spec does.
fn names(training: &TrainingSource) -> impl Iterator<Item = String> {
    let others = training
        .additional_datasets
        .iter()
        .map(|named| named.name.clone());
    std::iter::once(spec::source_name(&training.dataset)).chain(others)
}

/// The names and places of a file of the spec: several if it is a folder.
fn places<'a>(
    dataset: &'a Dataset,
    file: &'a str,
    path: Option<&Path>,
    reach: &Reach,
) -> Result<Vec<(String, Place<'a>)>, SourceError> {
    let shown = if dataset.uri.is_some() {
        shown(file)
    } else {
        file.to_owned()
    };
    let Some(path) = path else {
        let place = match dataset.uri {
            Some(_) => Place::Address(file),
            None => Place::Cluster,
        };
        return Ok(vec![(shown, place)]);
    };
    if !path.is_dir() {
        return Ok(vec![(shown, Place::Path(path.to_owned()))]);
    }
    let found = list_tables(path).map_err(|source| SourceError::Read {
        name: path.display().to_string(),
        source,
    })?;
    if found.is_empty() {
        return Err(SourceError::NotFound {
            name: if reach.is_job() {
                format!("{}, folder {file}", place_words(dataset))
            } else {
                path.display().to_string()
            },
            reason: "the folder has no file whose name ends with .csv or .parquet".to_owned(),
        });
    }
    let with_folder = |name: String| {
        let place = Place::Path(path.join(&name));
        (format!("{shown}/{name}"), place)
    };
    Ok(found.into_iter().map(with_folder).collect())
}

/// The names of the tables in a folder, sorted.
fn list_tables(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(MAX_ENTRIES) {
        let entry = entry?;
        let path = entry.path();
        let is_table = path.extension().is_some_and(|ending| {
            ending.eq_ignore_ascii_case("csv") || ending.eq_ignore_ascii_case("parquet")
        });
        if let Ok(name) = entry.file_name().into_string()
            && is_table
            && !name.starts_with('.')
            && path.is_file()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The digest of a dataset: that of its file, or of the list of its files as sha256sum prints it.
pub fn digest_of(files: &[SourceRecord]) -> Digest {
    match files {
        [one] => one.sha256,
        files => {
            let line = |file: &SourceRecord| {
                let digest = file.sha256.to_string();
                format!("{}  {}\n", digest.trim_start_matches("sha256:"), file.name)
            };
            let lines: Vec<String> = files.iter().map(line).collect();
            sha256(lines.concat().as_bytes())
        }
    }
}

// === impl Input ===

impl Input<'_> {
    /// Whether its content comes from an address, so that it may not be quoted.
    pub fn is_address(&self) -> bool {
        matches!(self.place, Place::Address(_))
    }

    /// Its bytes: a file on a disk is read in pieces, an address into memory.
    pub async fn open(&self, fetch: &Fetch) -> Result<Content, SourceError> {
        match &self.place {
            Place::Path(path) if fetch.reach.is_job() => {
                let opened = source::open_mounted_within(path, self.volume(path), fetch.max_bytes);
                // The user wrote the name of an object; a path within the Pod would not help.
                opened.map_err(|error| match error {
                    SourceError::NotFound { .. } => self.absent(path),
                    SourceError::NotAFile { reason, .. } => SourceError::NotAFile {
                        name: self.path_words(),
                        reason,
                    },
                    error => error,
                })
            }
            Place::Path(path) => source::open_file_within(path, fetch.max_bytes),
            // The digest of several files is not that of one.
            Place::Address(uri) => {
                let expected = self.dataset.sha256.filter(|_| self.dataset.more_files.is_empty());
                let bytes = if is_bucket(uri) {
                    let access = Access::of(self.dataset, self.index, |name| std::env::var(name).ok());
                    source::through_cache(uri, expected, fetch, bucket::read(uri, &access, fetch)).await?
                } else {
                    source::download(uri, expected, fetch).await?
                };
                Ok(bytes.into())
            }
            Place::Cluster => Err(SourceError::NotFound {
                name: spec::source_name(self.dataset),
                reason: "only a Pod can read it; name a copy of the file with --source".to_owned(),
            }),
        }
    }

    /// Its bytes, in memory.
    pub async fn read(&self, fetch: &Fetch) -> Result<Vec<u8>, SourceError> {
        let content = self.open(fetch).await?;
        let read = content.read_at(0, usize::try_from(content.len()).unwrap_or(usize::MAX));
        read.map(Vec::from).map_err(|source| SourceError::Read {
            name: self.name.clone(),
            source,
        })
    }

    /// The folder that its volume is mounted at: the path without the name that the spec has.
    fn volume<'p>(&self, path: &'p Path) -> &'p Path {
        let parts = Path::new(&self.name).components();
        let named = parts.filter(|part| matches!(part, Component::Normal(_)));
        path.ancestors().nth(named.count()).unwrap_or(path)
    }

    /// What a mounted dataset lacks, in the terms of the spec.
    fn absent(&self, path: &Path) -> SourceError {
        if let Some(source) = &self.dataset.config_map {
            return SourceError::NoKey {
                config_map: source.name.clone(),
                key: self.name.clone(),
            };
        }
        let folder = path.parent();
        // What a link out of the volume leads to is not listed.
        let folder = folder.filter(|folder| source::is_within(folder, self.volume(path)).unwrap_or(false));
        let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok());
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .flatten()
            .take(1000)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let meant = did_you_mean(&file, names.iter().map(String::as_str));
        let found = match names.len() {
            0 => "there is no such folder, or it is empty".to_owned(),
            _ => format!("its folder has {}", cut(&names.join(", "), 120)),
        };
        SourceError::NotFound {
            name: self.path_words(),
            reason: format!("there is no such file{meant}; {found}"),
        }
    }

    fn path_words(&self) -> String {
        format!("{}, path {}", place_words(self.dataset), self.name)
    }
}

fn place_words(dataset: &Dataset) -> String {
    let claim = dataset.persistent_volume_claim.as_ref();
    let map = dataset.config_map.as_ref();
    match (claim, map) {
        (Some(claim), _) => format!("PersistentVolumeClaim {}", claim.claim_name),
        (_, Some(map)) => format!("ConfigMap {}", map.name),
        _ => "the dataset".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{
        Spec,
        tests::{HEART, three_datasets},
    };

    fn found(version: &Spec, paths: &[&str]) -> anyhow::Result<Vec<(String, String, Option<PathBuf>)>> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let inputs = inputs(&version.training, &paths, &Reach::anywhere())??;
        let path = |place| match place {
            Place::Path(path) => Some(path),
            _ => None,
        };
        let shown = inputs
            .into_iter()
            .map(|input| (input.name, input.label, path(input.place)));
        Ok(shown.collect())
    }

    #[test]
    fn files_are_those_of_the_datasets_that_are_no_address() {
        let assigned = |paths: &[&str]| {
            let found = found(&three_datasets(), paths)?;
            anyhow::Ok(found.into_iter().map(|(_, _, path)| path).collect::<Vec<_>>())
        };
        let some = |name: &str| Some(PathBuf::from(name));
        assert_eq!(assigned(&["a", "b"]).unwrap(), [some("a"), None, some("b")]);
        assert_eq!(
            assigned(&["a", "b", "c"]).unwrap(),
            [some("a"), some("b"), some("c")],
            "a person may have a copy of every file"
        );
        assert_eq!(assigned(&[]).unwrap(), [None, None, None]);
        let error = assigned(&["a"]).unwrap_err().to_string();
        assert!(error.contains("2 datasets that are not addresses"), "{error}");
    }

    #[test]
    fn every_file_of_a_dataset_has_a_name_of_its_own() {
        let several = HEART.replace(
            "key: cleveland.csv}",
            "key: cleveland.csv}\n        moreFiles: [hungarian.csv]",
        );
        let version = spec::parse(&several).unwrap();
        let expected = ["cleveland.csv", "hungarian.csv"].map(str::to_owned);
        let found = found(&version, &["a", "b"]).unwrap();
        let (names, labels): (Vec<_>, Vec<_>) =
            found.into_iter().map(|(name, label, _)| (name, label)).unzip();
        assert_eq!((&names[..], &labels[..]), (&expected[..], &expected[..]));
        let error = inputs(&version.training, &["a".into()], &Reach::anywhere()).unwrap_err();
        assert!(error.to_string().contains("2 files of datasets"), "{error}");
    }

    #[test]
    fn a_folder_stands_for_its_tables_in_the_order_of_their_names_and_for_no_more_than_sixteen() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().to_str().unwrap();
        let claim = HEART.replace(
            "configMap: {name: heart-disease, key: cleveland.csv}",
            "persistentVolumeClaim: {claimName: data, path: year}",
        );
        let version = spec::parse(&claim).unwrap();
        let error = found(&version, &[folder]).unwrap_err().to_string();
        assert!(
            error.contains("no file whose name ends with .csv or .parquet"),
            "{error}"
        );
        for name in ["b.csv", "a.PARQUET", ".hidden.csv", "notes.txt"] {
            std::fs::write(temp.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(temp.path().join("c.csv")).unwrap();
        let names = || found(&version, &[folder]).map(|found| found.into_iter().map(|(name, ..)| name));
        assert_eq!(
            names().unwrap().collect::<Vec<_>>(),
            ["year/a.PARQUET", "year/b.csv"]
        );
        for number in 0..15 {
            std::fs::write(temp.path().join(format!("{number}.csv")), "x").unwrap();
        }
        let error = names().err().unwrap().to_string();
        assert!(error.contains("17 files, at most 16"), "{error}");
    }

    #[test]
    fn the_digest_of_several_files_is_that_of_the_list_that_sha256sum_prints() {
        let record = |name: &str| SourceRecord {
            name: name.to_owned(),
            sha256: sha256(name.as_bytes()),
            rows: 0,
            positive_rows: None,
        };
        assert_eq!(digest_of(&[record("a")]), sha256(b"a"));
        let list = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a\n\
                    3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d  b\n";
        assert_eq!(digest_of(&[record("a"), record("b")]), sha256(list.as_bytes()));
    }
}
