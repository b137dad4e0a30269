//! The readers.

mod bundle;
mod csv;
mod ensemble;
mod kept;
mod lightgbm;
mod onnx;
mod parquet;
mod snapshot;
mod spec;
mod table;
mod trained;
mod trees;
mod xgboost;

/// A reader that is given any bytes.
pub trait Target: Sync {
    /// Its name: of its folder of samples, and in tables.
    fn name(&self) -> &'static str;

    /// Reads the bytes. Panics where what must hold for every input does not.
    fn run(&self, bytes: &[u8]);

    /// What it reads in earnest.
    fn samples(&self) -> Vec<Vec<u8>>;

    /// Words that mean something to it.
    fn words(&self) -> &'static [&'static str];

    /// The most bytes of memory that it may hold for an input of so many.
    fn memory(&self, input: usize) -> usize;
}

/// All of them. A reader of another format is one more file here and one more line.
pub const TARGETS: &[&dyn Target] = &[
    &csv::Csv,
    &parquet::Parquet,
    &lightgbm::LightgbmText,
    &xgboost::XgboostJson,
    &xgboost::XgboostUbjson,
    &onnx::Onnx,
    &ensemble::EnsembleFiles,
    &bundle::BundleFiles,
    &snapshot::SnapshotFiles,
    &spec::SpecFile,
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static dyn Target> {
    TARGETS.iter().find(|target| target.name() == name).copied()
}
