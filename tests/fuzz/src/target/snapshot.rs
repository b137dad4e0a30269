//! The files of a snapshot: the first byte chooses which one is replaced by the others.

use modelward_service::chain;
use modelward_trainer::data::snapshot::{SnapshotError, open};

use super::{Target, trained::trained};

/// The pages that are unpacked at once, and the rows.
const UNPACKED: usize = 2 << 30;

#[derive(Debug)]
pub(super) struct SnapshotFiles;

impl Target for SnapshotFiles {
    fn name(&self) -> &'static str {
        "snapshot"
    }

    fn run(&self, bytes: &[u8]) {
        trained()
            .snapshot
            .with_replaced(bytes, |dir| match open(dir, None) {
                Ok(snapshot) => assert_eq!(snapshot.info.rows, snapshot.data.len() as u64),
                // The manifest may name any file.
                Err(SnapshotError::Files(error)) => assert!(error.file().is_some(), "{error}"),
                Err(error) => {
                    let text = chain(&error);
                    assert!(text.contains(".json") || text.contains(".parquet"), "{text}");
                }
            });
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        trained().snapshot.samples()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "{",
            "}",
            "[",
            "]",
            "null",
            "1e308",
            "-1",
            "\"rows\":",
            "\"positiveRows\":",
            "\"schema\":",
            "\"features\":",
            "\"categories\":",
            "\"target\":",
            "\"columns\":",
            "\"rowColumns\":",
            "\"files\":",
            "PAR1",
            "\u{15}\u{2}",
            "..",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        UNPACKED + 400 * input
    }
}
