//! From the datasets of a spec to the files of a snapshot, or to what is wrong with them.

use std::{io, mem, path::PathBuf};

use modelward_crds::TrainingSource;
use modelward_model::{DirBuilder, TargetInfo};
use modelward_wire::{JobResult, JobStage, MESSAGE_LIMIT, SourceRecord, Verdict, Violation};

use crate::{
    data::{
        check::{self, OwnedPart, Part},
        content::Content,
        dataset::Dataset as Rows,
        expectations, file,
        input::{Input, digest_of, inputs},
        snapshot,
        source::{self, Fetch, SourceError},
        table::{Parsed, Quote, Table},
        violation::{UNKNOWN_COLUMN, cut, violation},
    },
    spec::{self, Spec},
};

/// A result names at most this many violations: the ledger accepts no more than a megabyte.
const MAX_VIOLATIONS: usize = 500;

/// The result of freezing: a snapshot to be written, or a refusal.
#[derive(Debug)]
pub enum Frozen {
    /// A snapshot.
    Built(Built),
    /// The data cannot be used, or do not exist.
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

/// A file that was read.
struct Read {
    /// How messages name it.
    name: String,
    /// The index of its dataset.
    dataset: usize,
    table: Table,
    quote: Quote,
    record: SourceRecord,
}

/// Reads, checks and freezes the data. Wrong data are a result, not an error. `files` are the paths of [`inputs`].
pub async fn freeze(version: &Spec, files: &[PathBuf], fetch: &Fetch) -> anyhow::Result<Frozen> {
    let training = &version.training;
    let inputs = match inputs(training, files, &fetch.reach)? {
        Ok(inputs) => inputs,
        Err(error) => return Ok(Frozen::Ended(result_of(error)?)),
    };
    let mut violations = Vec::new();
    let mut parts = Vec::new();
    let mut readable = true;
    let mut bytes = 0;
    for input in &inputs {
        let content = match input.open(fetch).await {
            Ok(content) => content,
            Err(error) => return Ok(Frozen::Ended(result_of(error)?)),
        };
        bytes += content.len();
        if bytes > fetch.max_bytes {
            let message = format!(
                "the datasets together are larger than {} bytes; {}",
                fetch.max_bytes,
                source::LIMIT_REMEDY
            );
            return Ok(Frozen::Ended(invalid(vec![violation(
                "", "Size", message, 1, None,
            )])));
        }
        let (part, found) = match parse(input, &content, fetch.max_bytes, &mut readable) {
            Ok(parsed) => parsed,
            Err(source) => {
                let name = input.name.clone();
                return Ok(Frozen::Ended(result_of(SourceError::Read { name, source })?));
            }
        };
        let renamed = |mut violation: Violation| {
            if inputs.len() > 1 {
                violation.message = cut(&format!("{}: {}", part.name, violation.message), MESSAGE_LIMIT);
            }
            violation
        };
        violations.extend(found.into_iter().map(renamed));
        parts.push(part);
    }
    violations.extend(check_pins(training, &parts));
    let validation = {
        let tables: Vec<Part<'_>> = parts
            .iter()
            .zip(&inputs)
            .map(|(part, input)| Part {
                name: &part.name,
                table: &part.table,
                format: &input.dataset.csv,
                quote: part.quote,
            })
            .collect();
        // If this is not the table that the spec describes, expectations would say little.
        if violations.is_empty() {
            expectations::validate(&tables, training)?
        } else {
            None
        }
    };
    let tables = parts.iter_mut().zip(&inputs).map(|(part, input)| OwnedPart {
        name: &part.name,
        table: mem::take(&mut part.table),
        format: &input.dataset.csv,
        quote: part.quote,
    });
    let checked = check::check_dropping(tables.collect(), training, &version.tolerances);
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
            // A file that is not a table has no rows either; saying so twice helps no reader.
            violations.extend(found.into_iter().filter(|_| readable));
            violations.extend(unmet);
            return Ok(Frozen::Ended(invalid(violations)));
        }
    };
    let (sources, read) = records_of(training, parts, &checked.dataset.labels);
    let target = target_info(training);
    let mut files =
        snapshot::build_of_files(&checked, sources.clone(), read, target, training.exclude.clone())?;
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

/// The result for an error of a source that says something about the data; otherwise the error itself.
fn result_of(error: SourceError) -> anyhow::Result<JobResult> {
    let rule = match &error {
        SourceError::NotFound { .. } | SourceError::NotAFile { .. } => {
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
        SourceError::TooManyFiles { .. } => "Files",
        SourceError::Address { .. } | SourceError::Status { .. } => "Address",
        _ => return Err(error.into()),
    };
    Ok(invalid(vec![violation("", rule, error.to_string(), 1, None)]))
}

/// The record of each dataset, and that of each file if a dataset has several, with the number of rows and of those of class 1.
fn records_of(
    training: &TrainingSource,
    parts: Vec<Read>,
    labels: &[bool],
) -> (Vec<SourceRecord>, Vec<SourceRecord>) {
    let mut labels = labels.iter();
    let record = |part: Read| {
        let rows = part.record.rows as usize;
        let positives = labels.by_ref().take(rows).filter(|label| **label).count();
        let record = SourceRecord {
            positive_rows: Some(positives as u64),
            ..part.record
        };
        (part.dataset, record)
    };
    let (datasets, files): (Vec<usize>, Vec<SourceRecord>) = parts.into_iter().map(record).unzip();
    let mut start = 0;
    let mut sources = Vec::new();
    for (index, dataset) in training.datasets().enumerate() {
        let count = datasets.iter().filter(|of| **of == index).count();
        let own = files.get(start..start + count).unwrap_or_default();
        start += count;
        sources.push(SourceRecord {
            name: spec::source_name(dataset),
            sha256: digest_of(own),
            rows: own.iter().map(|file| file.rows).sum(),
            positive_rows: own.iter().map(|file| file.positive_rows).sum(),
        });
    }
    let several = files.len() > sources.len();
    (sources, if several { files } else { Vec::new() })
}

/// The datasets that do not have the digest that the spec pins.
fn check_pins(training: &TrainingSource, parts: &[Read]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, dataset) in training.datasets().enumerate() {
        let own = parts.iter().filter(|part| part.dataset == index);
        let records: Vec<SourceRecord> = own.clone().map(|part| part.record.clone()).collect();
        let found = digest_of(&records);
        let Some(pinned) = dataset.sha256.filter(|pinned| *pinned != found) else {
            continue;
        };
        let what = match records.len() {
            1 => "the source has".to_owned(),
            files => format!("the list of the {files} files has"),
        };
        let mut message = format!("{what} {found}, the spec pins {pinned}");
        if let (Some(part), true) = (own.clone().next(), parts.len() > 1) {
            message = cut(&format!("{}: {message}", part.name), MESSAGE_LIMIT);
        }
        violations.push(violation("", "Sha256", message, 1, None));
    }
    violations
}

/// The table in a file, and what breaks its form.
fn parse(
    input: &Input<'_>,
    content: &Content,
    limit: u64,
    readable: &mut bool,
) -> io::Result<(Read, Vec<Violation>)> {
    let quote = if input.is_address() { Quote::No } else { Quote::Yes };
    let parsed = file::read_content(content, &input.dataset.csv, quote, limit)?;
    let Parsed {
        table,
        violations,
        sha256,
        size,
    } = parsed;
    tracing::info!(bytes = size, %sha256, "read {}", input.name);
    *readable &= !table.columns.is_empty() || violations.is_empty();
    let record = SourceRecord {
        name: input.name.clone(),
        sha256,
        rows: table.rows.len() as u64,
        positive_rows: None,
    };
    let read = Read {
        name: input.label.clone(),
        dataset: input.index,
        table,
        quote,
        record,
    };
    Ok((read, violations))
}

/// The result of a step whose data break these rules.
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
    use modelward_model::sha256;

    use super::*;
    use crate::data::reach::Reach;
    use crate::spec::tests::{HEART, three_datasets};

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
        let job = Fetch::within(Reach::of_job(Networks::default(), Networks::default(), None));
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

        // A link that leads out of the volume, which is mounted two folders above its file.
        let volume = temp.path().join("volume");
        std::fs::create_dir_all(volume.join("a")).unwrap();
        std::os::unix::fs::symlink(path("Last.csv"), volume.join("a/last.csv")).unwrap();
        let message = not_found(freeze(&version, &[volume.join("a/last.csv")], &job).await);
        assert!(
            message.contains(
                "PersistentVolumeClaim data, path a/last.csv: it is a link that leads out of the volume"
            ),
            "{message}"
        );
        std::os::unix::fs::symlink(temp.path(), volume.join("b")).unwrap();
        let linked = spec::parse(&claim.replace("a/last.csv", "b/none.csv")).unwrap();
        let message = not_found(freeze(&linked, &[volume.join("b/none.csv")], &job).await);
        assert!(!message.contains("Last.csv"), "{message}");

        // A person's own file has a path.
        let message = not_found(freeze(&version, &[path("last.csv")], &Fetch::anywhere()).await);
        assert!(message.contains(temp.path().to_str().unwrap()), "{message}");
    }

    /// The sample in two files, the second one with its columns in another order.
    fn two_files() -> (tempfile::TempDir, Vec<PathBuf>, Spec) {
        let temp = tempfile::tempdir().unwrap();
        let row = |age: usize, num: usize| format!("{age},1,{},{num}\n", age % 3);
        let rows = |from: usize| (from..from + 20).map(|age| row(age, age % 2)).collect::<String>();
        let other = |from: usize| {
            let row = |age: usize| format!("{},{},1,{age}\n", age % 2, age % 3);
            (from..from + 20).map(row).collect::<String>()
        };
        let files = [
            ("a.csv", format!("age,sex,cp,num\n{}", rows(30))),
            ("b.csv", format!("num,cp,sex,age\n{}", other(50))),
        ]
        .map(|(name, text)| {
            let path = temp.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        let start = HEART.find("        csv: {").unwrap();
        let end = HEART.find("      target:").unwrap();
        let spec = format!("{}        moreFiles: [b.csv]\n{}", &HEART[..start], &HEART[end..])
            .replace("key: cleveland.csv", "key: a.csv")
            .replace(", {name: ca, kind: Numeric}", "");
        (temp, files.to_vec(), spec::parse(&spec).unwrap())
    }

    #[tokio::test]
    async fn several_files_are_one_dataset_whatever_the_order_of_their_columns() {
        let (temp, files, mut version) = two_files();
        let Frozen::Built(built) = freeze(&version, &files, &Fetch::anywhere()).await.unwrap() else {
            panic!("the data are as they should be")
        };
        assert_eq!(built.data.len(), 40);
        let [source] = built.sources.as_slice() else {
            panic!("{:?}", built.sources)
        };
        assert_eq!((source.rows, source.positive_rows), (40, Some(20)));
        assert_eq!(source.name, "configMap heart-disease/a.csv and 1 more");
        let dir = temp.path().join("snapshot");
        built.files.write(&dir).unwrap();
        let snapshot = snapshot::open(&dir, None).unwrap();
        let read = snapshot.info.files.iter();
        let read: Vec<_> = read.map(|file| (file.name.as_str(), file.rows)).collect();
        assert_eq!(read, [("a.csv", 20), ("b.csv", 20)]);
        assert_eq!(
            snapshot.info.files[1].sha256,
            sha256(&std::fs::read(&files[1]).unwrap())
        );
        let age = |row| snapshot.data.values(row).next().unwrap();
        assert_eq!(age(0), modelward_model::Value::Number(30.0));
        assert_eq!(age(39), modelward_model::Value::Number(69.0));

        // The digest of all files together is the pin.
        version.training.dataset.sha256 = Some(source.sha256);
        let frozen = freeze(&version, &files, &Fetch::anywhere()).await.unwrap();
        assert!(matches!(frozen, Frozen::Built(_)), "{frozen:?}");
        version.training.dataset.sha256 = Some(sha256(b""));
        let Frozen::Ended(result) = freeze(&version, &files, &Fetch::anywhere()).await.unwrap() else {
            panic!("the digest is another one")
        };
        let message = &result.violations[0].message;
        assert!(message.contains(&source.sha256.to_string()), "{message}");
        assert!(message.contains("the list of the 2 files has"), "{message}");
    }

    #[tokio::test]
    async fn files_of_other_columns_are_refused_with_file_and_column() {
        let (_temp, files, version) = two_files();
        let text = std::fs::read_to_string(&files[1]).unwrap();
        std::fs::write(&files[1], text.replace("cp", "pain")).unwrap();
        let Frozen::Ended(result) = freeze(&version, &files, &Fetch::anywhere()).await.unwrap() else {
            panic!("the columns are other ones")
        };
        let found = result.violations.iter().filter(|found| found.rule == "Columns");
        let found: Vec<_> = found
            .map(|found| (found.column.as_str(), found.message.as_str()))
            .collect();
        let expected = [
            ("cp", "b.csv lacks this column, which a.csv has"),
            ("pain", "b.csv has this column, which a.csv lacks; exclude it"),
        ];
        assert_eq!(found, expected);
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
            .block_on(freeze(&three_datasets(), &files, &Fetch::anywhere()))
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
