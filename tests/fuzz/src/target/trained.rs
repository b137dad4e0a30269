//! A small training: its snapshot and its bundle.

use std::sync::LazyLock;

use anyhow::{Context as _, anyhow};
use modelward_crds::CsvFormat;
use modelward_trainer::{
    data::{
        check::{Part, check},
        file,
        freeze::target_info,
        snapshot::{self, Snapshot},
        violation::Quote,
    },
    fit::{
        bundle::{self, Extras},
        plan::Plan,
        train::train,
    },
    spec,
};
use modelward_wire::ManifestKind;

use super::kept::Kept;

/// The spec: three features, scores that are calibrated.
const SPEC: &str = r#"{"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "fuzz-1"}, "spec": {"model": "fuzz",
"source": {"training": {"dataset": {"configMap": {"name": "d", "key": "d.csv"}}, "target": {"column": "y"}, "calibration": "Platt",
"validation": {"folds": 2, "repeats": 1}}}, "serving": {"access": "Open"}}}"#;

/// The files of a training.
pub(super) struct Trained {
    pub(super) snapshot: Kept,
    pub(super) bundle: Kept,
    pub(super) read: Snapshot,
}

/// The training, made once for all targets. One that fails is a panic: without its files a target would check nothing.
pub(super) fn trained() -> &'static Trained {
    static TRAINED: LazyLock<anyhow::Result<Trained>> = LazyLock::new(Trained::new);
    TRAINED.as_ref().unwrap_or_else(|error| panic_for(error))
}

#[expect(clippy::panic, reason = "without its samples a target tests nothing")]
fn panic_for(error: &anyhow::Error) -> ! {
    panic!("the samples cannot be made: {error:#}")
}

// === impl Trained ===

impl Trained {
    /// Trains a logistic regression on 40 invented rows.
    fn new() -> anyhow::Result<Self> {
        let version = spec::parse(SPEC)?;
        let training = &version.training;
        let format = CsvFormat::default();
        let (table, _) = file::read(make_rows().as_bytes(), &format, Quote::Yes);
        let part = Part {
            name: "d.csv",
            table: &table,
            format: &format,
            quote: Quote::Yes,
        };
        let checked = check(&[part], training, &[]).map_err(|found| anyhow!("{found:?}"))?;
        let dir = tempfile::tempdir()?;
        let (frozen, fitted) = (dir.path().join("snapshot"), dir.path().join("bundle"));
        snapshot::build(&checked, Vec::new(), target_info(training), Vec::new())?.write(&frozen)?;
        let read = snapshot::open(&frozen, None)?;
        let plan = Plan::new(training);
        let trained = train(&read.data, &plan, 1, &|_| ())?;
        bundle::build("fuzz", &read, &plan, &[], &trained, Extras::default())?.write(&fitted)?;
        Ok(Self {
            snapshot: keep(ManifestKind::Snapshot, &frozen)?,
            bundle: keep(ManifestKind::Bundle, &fitted)?,
            read,
        })
    }
}

fn make_rows() -> String {
    let row = |at: usize| {
        let label = usize::from(at * 7 % 10 > 4);
        format!(
            "{},{},{},{label}\n",
            20 + at * 13 % 50,
            ["pro", "plus", ""][at % 3],
            at % 5
        )
    };
    let rows: String = (0..40).map(row).collect();
    format!("age,plan,visits,y\n{rows}")
}

fn keep(kind: ManifestKind, dir: &std::path::Path) -> anyhow::Result<Kept> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .ok()
            .context("a name is no text")?;
        if name != modelward_model::files::MANIFEST {
            files.push((name, std::fs::read(entry.path())?));
        }
    }
    files.sort();
    Kept::new(kind, files)
}
