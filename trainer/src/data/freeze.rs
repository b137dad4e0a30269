//! From the datasets of a spec to the files of a snapshot, or to what is wrong with them.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use modelward_crds::{Dataset, TrainingSource};
use modelward_model::{DirBuilder, TargetInfo, sha256};
use modelward_wire::{JobResult, JobStage, SourceRecord, Verdict, Violation};

use crate::{
    data::{
        check::{self, Part},
        dataset::Dataset as Rows,
        expectations,
        near::did_you_mean,
        reach::Reach,
        snapshot,
        source::{self, SourceError},
        table::{self, Quote, Table},
        violation::{UNKNOWN_COLUMN, cut, violation},
    },
    spec::{self, Spec},
};

/// A result names this many violations at most: the ledger takes no more than a megabyte.
const MAX_VIOLATIONS: usize = 500;

/// What the datasets came to: a snapshot to be written, or the end.
#[derive(Debug)]
pub enum Frozen {
    /// A snapshot.
    Built(Built),
    /// The data cannot be used, or are not there.
    Ended(JobResult),
}

/// A snapshot to be written.
#[derive(Debug)]
pub struct Built {
    /// Its files.
    pub files: DirBuilder,
    /// The rows in them.
    pub data: Rows,
    /// Where they come from.
    pub sources: Vec<SourceRecord>,
    /// What looks wrong with them.
    pub warnings: Vec<Violation>,
}

/// A dataset that was read.
struct Read {
    /// How messages name it.
    name: String,
    table: Table,
    quote: Quote,
    record: SourceRecord,
}

/// Reads, checks and freezes the data. Wrong data are a result, not an error. The i-th file is the i-th dataset that is no
/// address, or the i-th dataset where there are as many files as datasets.
/// Addresses are read within `reach`.
pub async fn freeze(version: &Spec, files: &[PathBuf], reach: &Reach) -> anyhow::Result<Frozen> {
    let training = &version.training;
    let files = assign(training, files)?;
    let mut violations = Vec::new();
    let mut parts = Vec::new();
    let mut readable = true;
    let mut bytes = 0;
    for ((dataset, name), file) in training.datasets().zip(names(training)).zip(files) {
        let content = match read(dataset, file, reach).await {
            Ok(content) => content,
            Err(error) => return Ok(Frozen::Ended(result_of(error)?)),
        };
        bytes += content.len() as u64;
        if bytes > source::MAX_BYTES {
            let message = format!(
                "the datasets together are larger than {} bytes",
                source::MAX_BYTES
            );
            return Ok(Frozen::Ended(invalid(vec![violation(
                "", "Size", message, 1, None,
            )])));
        }
        let is_address = file.is_none();
        let (part, found) = parse(dataset, name, &content, is_address, &mut readable);
        let renamed = |mut violation: Violation| {
            if !training.additional_datasets.is_empty() {
                violation.message = cut(&format!("{}: {}", part.name, violation.message), 240);
            }
            violation
        };
        violations.extend(found.into_iter().map(renamed));
        parts.push(part);
    }
    let (checked, validation) = {
        let tables: Vec<Part<'_>> = parts
            .iter()
            .zip(training.datasets())
            .map(|(part, dataset)| Part {
                name: &part.name,
                table: &part.table,
                format: &dataset.csv,
                quote: part.quote,
            })
            .collect();
        // Of what is not the table that the spec describes, expectations would say little.
        let validation = if violations.is_empty() {
            expectations::validate(&tables, training)?
        } else {
            None
        };
        let checked = check::check(&tables, training, &version.tolerances);
        (checked, validation)
    };
    let unmet = validation
        .as_ref()
        .map(|validation| validation.violations.clone())
        .unwrap_or_default();
    let checked = match checked {
        Ok(checked) if violations.is_empty() && unmet.is_empty() => checked,
        Ok(_) => {
            violations.extend(unmet);
            return Ok(Frozen::Ended(invalid(violations)));
        }
        Err(found) => {
            // What is no table has no rows either: to say so twice helps no reader.
            violations.extend(found.into_iter().filter(|_| readable));
            violations.extend(unmet);
            return Ok(Frozen::Ended(invalid(violations)));
        }
    };
    let sources = records_of(parts, &checked.dataset.labels);
    let target = target_info(training);
    let mut files = snapshot::build(&checked, sources.clone(), target, training.exclude.clone())?;
    let mut warnings = snapshot::warnings(&checked.columns);
    if let Some(validation) = validation {
        warnings.extend(validation.warnings.iter().cloned());
        files = validation.add_files(files);
    }
    Ok(Frozen::Built(Built {
        files,
        data: checked.dataset,
        sources,
        warnings,
    }))
}

/// What an error of a source says of the data; the error itself where it says nothing of them.
fn result_of(error: SourceError) -> anyhow::Result<JobResult> {
    let rule = match &error {
        SourceError::NotFound { .. } => {
            let message = format!("there is no data: {error}");
            return Ok(JobResult::new(JobStage::Snapshot, Verdict::DataNotFound, message));
        }
        SourceError::NoKey { .. } => {
            return Ok(JobResult::new(
                JobStage::Snapshot,
                Verdict::DataNotFound,
                error.to_string(),
            ));
        }
        SourceError::TooLarge { .. } => "Size",
        SourceError::Address { .. } => "Address",
        _ => return Err(error.into()),
    };
    Ok(invalid(vec![violation("", rule, error.to_string(), 1, None)]))
}

/// The record of each file, with the number of its rows and of those of class 1.
fn records_of(parts: Vec<Read>, labels: &[bool]) -> Vec<SourceRecord> {
    let mut labels = labels.iter();
    let record = |part: Read| {
        let rows = part.table.rows.len();
        let positives = labels.by_ref().take(rows).filter(|label| **label).count();
        SourceRecord {
            rows: rows as u64,
            positive_rows: Some(positives as u64),
            ..part.record
        }
    };
    parts.into_iter().map(record).collect()
}

/// The file of each dataset, where it is not to be downloaded.
fn assign<'a>(training: &TrainingSource, files: &'a [PathBuf]) -> anyhow::Result<Vec<Option<&'a Path>>> {
    let datasets: Vec<&Dataset> = training.datasets().collect();
    let local = datasets.iter().filter(|dataset| dataset.uri.is_none()).count();
    ensure!(
        files.is_empty() || files.len() == local || files.len() == datasets.len(),
        "--source is given {} times, the spec has {local} datasets that are no address; name one file for each, in their order",
        files.len()
    );
    let for_all = files.len() == datasets.len();
    let mut files = files.iter();
    let assigned = datasets.iter().map(|dataset| {
        (for_all || dataset.uri.is_none())
            .then(|| files.next())
            .flatten()
            .map(PathBuf::as_path)
    });
    Ok(assigned.collect())
}

/// How messages name the datasets: the first as its source, the others as the spec does.
fn names(training: &TrainingSource) -> impl Iterator<Item = String> {
    let others = training
        .additional_datasets
        .iter()
        .map(|named| named.name.clone());
    std::iter::once(spec::source_name(&training.dataset)).chain(others)
}

async fn read(dataset: &Dataset, file: Option<&Path>, reach: &Reach) -> Result<Vec<u8>, SourceError> {
    match (file, &dataset.uri) {
        (Some(path), _) => source::read_file(path).map_err(|error| match error {
            // A path within the Pod says nothing to a person, who wrote the name of an object.
            SourceError::NotFound { .. } if reach.is_job() => absent(dataset, path),
            error => error,
        }),
        (None, Some(uri)) => source::download(uri, reach).await,
        (None, None) => Err(SourceError::NotFound {
            name: spec::source_name(dataset),
            reason: "it can be read by a Pod only; name a copy of the file with --source".to_owned(),
        }),
    }
}

/// What a mounted dataset lacks, in the words of the spec.
fn absent(dataset: &Dataset, path: &Path) -> SourceError {
    if let Some(source) = &dataset.config_map {
        return SourceError::NoKey {
            config_map: source.name.clone(),
            key: source.key.clone(),
        };
    }
    let (claim, wanted) = dataset
        .persistent_volume_claim
        .as_ref()
        .map_or(("", ""), |source| {
            (source.claim_name.as_str(), source.path.as_str())
        });
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
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
        name: format!("PersistentVolumeClaim {claim}, path {wanted}"),
        reason: format!("there is no such file{meant}; {found}"),
    }
}

/// The table in these bytes, and what breaks its form or the spec's pin.
fn parse(
    dataset: &Dataset,
    name: String,
    bytes: &[u8],
    is_address: bool,
    readable: &mut bool,
) -> (Read, Vec<Violation>) {
    let sha256 = sha256(bytes);
    let source = spec::source_name(dataset);
    tracing::info!(bytes = bytes.len(), %sha256, "read {source}");
    let mut violations = Vec::new();
    if let Some(pinned) = dataset.sha256.filter(|pinned| *pinned != sha256) {
        let message = format!("the source has {sha256}, the spec pins {pinned}");
        violations.push(violation("", "Sha256", message, 1, None));
    }
    let quote = if is_address { Quote::No } else { Quote::Yes };
    let (table, found) = table::read(bytes, &dataset.csv, quote);
    *readable &= !table.columns.is_empty() || found.is_empty();
    violations.extend(found);
    let record = SourceRecord {
        name: source,
        sha256,
        rows: 0,
        positive_rows: None,
    };
    let read = Read {
        name,
        table,
        quote,
        record,
    };
    (read, violations)
}

/// The end of a step whose data break these rules.
pub fn invalid(violations: Vec<Violation>) -> JobResult {
    let first = violations.first().map(|violation| {
        // These messages name their column themselves.
        if violation.column.is_empty() || violation.rule == UNKNOWN_COLUMN {
            violation.message.clone()
        } else {
            format!("{}: {}", violation.column, violation.message)
        }
    });
    let message = match violations.len() {
        1 => format!("the data cannot be used: {}", first.unwrap_or_default()),
        n => format!(
            "{n} problems with the data, the first: {}",
            first.unwrap_or_default()
        ),
    };
    let mut result = JobResult::new(JobStage::Snapshot, Verdict::DataInvalid, message);
    result.violations_total = violations.len() as u64;
    result.violations = violations;
    result.violations.truncate(MAX_VIOLATIONS);
    result
}

/// What the spec predicts.
pub fn target_info(training: &TrainingSource) -> TargetInfo {
    TargetInfo {
        column: training.target.column.clone(),
        positive_when: spec::positive_when(&training.target),
    }
}

#[cfg(test)]
mod tests {
    use modelward_crds::Networks;

    use super::*;
    use crate::spec::tests::HEART;

    /// The sample, then a file behind an address, then one on a volume.
    fn version() -> Spec {
        let more = "      additionalDatasets:\n        - {name: online, dataset: {uri: 'https://example.org/more.csv'}}\n        - \
                    {name: volume, dataset: {persistentVolumeClaim: {claimName: data, path: last.csv}}}\n      target:";
        spec::parse(&HEART.replace("      target:", more)).unwrap()
    }

    fn not_found(result: anyhow::Result<Frozen>) -> String {
        let Frozen::Ended(result) = result.unwrap() else {
            unreachable!("there is no data")
        };
        assert_eq!(result.verdict, Verdict::DataNotFound);
        result.message
    }

    #[tokio::test]
    async fn an_absent_key_or_file_is_named_as_the_spec_names_it() {
        let temp = tempfile::tempdir().unwrap();
        let job = Reach::of_job(Networks::default(), Networks::default(), None);
        let path = |name: &str| temp.path().join(name);
        let version = spec::parse(HEART).unwrap();
        let message = not_found(freeze(&version, &[path("cleveland.csv")], &job).await);
        assert!(
            message.starts_with("ConfigMap heart-disease has no key cleveland.csv, or does not exist"),
            "{message}"
        );
        assert!(
            message.contains("kubectl describe configmap heart-disease"),
            "{message}"
        );
        assert!(!message.contains(temp.path().to_str().unwrap()), "{message}");

        std::fs::write(path("Last.csv"), "x").unwrap();
        let claim = HEART.replace(
            "configMap: {name: heart-disease, key: cleveland.csv}",
            "persistentVolumeClaim: {claimName: data, path: a/last.csv}",
        );
        let version = spec::parse(&claim).unwrap();
        let message = not_found(freeze(&version, &[path("last.csv")], &job).await);
        assert!(
            message.contains("PersistentVolumeClaim data, path a/last.csv"),
            "{message}"
        );
        assert!(message.contains(r#"did you mean "Last.csv"?"#), "{message}");

        // A person's own file has a path.
        let message = not_found(freeze(&version, &[path("last.csv")], &Reach::anywhere()).await);
        assert!(message.contains(temp.path().to_str().unwrap()), "{message}");
    }

    #[test]
    fn files_are_those_of_the_datasets_that_are_no_address() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let assigned = |names: &[&str]| {
            let files = paths(names);
            assign(&version().training, &files).map(|files| {
                files
                    .iter()
                    .map(|file| file.map(Path::to_owned))
                    .collect::<Vec<_>>()
            })
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
        assert!(error.contains("2 datasets that are no address"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_the_form_of_a_file_names_it_too() {
        let temp = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = temp.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let row = b"63,1,1,145,233,1,2,150,0,2.3,3,0,6,0\n";
        let files = [file("a", row), file("b", b"age,num\n1\n"), file("c", b"\xff\xfe")];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Frozen::Ended(result) = runtime
            .block_on(freeze(&version(), &files, &Reach::anywhere()))
            .unwrap()
        else {
            unreachable!("these are no tables")
        };
        let messages: Vec<&str> = result.violations.iter().map(|v| v.message.as_str()).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].starts_with("online: found 1 values"), "{messages:?}");
        assert!(
            messages[1].starts_with("volume: the file is not UTF-8"),
            "{messages:?}"
        );
    }
}
