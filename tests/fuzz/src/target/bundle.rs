//! The files of a bundle: the first byte chooses which one is replaced by the others.

use std::path::Path;

use modelward_crds::Champion;
use modelward_model::{Bundle, files::MANIFEST, sha256};
use modelward_profile::Reference;
use modelward_service::chain;
use modelward_trainer::fit::compare::Opponent;
use modelward_wire::Decimal;

use super::{
    Target,
    trained::{Trained, trained},
};

#[derive(Debug)]
pub(super) struct BundleFiles;

impl Target for BundleFiles {
    fn name(&self) -> &'static str {
        "bundle"
    }

    fn run(&self, bytes: &[u8]) {
        let trained = trained();
        trained.bundle.with_replaced(bytes, |dir| {
            check_served(dir);
            check_reference(dir);
            check_champion(dir, trained);
        });
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        trained().bundle.samples()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "{",
            "}",
            "[",
            "]",
            "null",
            "true",
            "1e308",
            "-1",
            "18446744073709551616",
            "\"format\":1",
            "\"features\":",
            "\"categories\":",
            "\"kind\":\"Numeric\"",
            "\"kind\":\"Categorical\"",
            "\"min\":",
            "\"missing\":",
            "\"bits\":",
            "\"coef\":",
            "\"family\":",
            "\"threshold\":",
            "\"calibration\":",
            "\"counts\":",
            "\"edges\":",
            "..",
            "/",
            "\\u0000",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        (8 << 20) + 400 * input
    }
}

/// As a server opens it. What is refused is named with its file.
fn check_served(dir: &Path) {
    match Bundle::open_any(dir) {
        Ok(bundle) => drop(bundle.verify_warm_up()),
        Err(error) => assert!(error.file().is_some(), "no file: {}", chain(&error)),
    }
}

/// As a server and the ledger read what traffic is compared with.
fn check_reference(dir: &Path) {
    let Ok(bytes) = std::fs::read(dir.join("reference.json")) else {
        return;
    };
    match serde_json::from_slice::<Reference>(&bytes) {
        Ok(reference) => {
            if let Err(error) = reference.check() {
                assert!(chain(&error).contains("reference"), "{error}");
            }
        }
        Err(error) => assert!(error.to_string().contains(" line "), "{error}"),
    }
}

/// As a training reads the champion that it is compared with.
fn check_champion(dir: &Path, trained: &Trained) {
    let Ok(manifest) = std::fs::read(dir.join(MANIFEST)) else {
        return;
    };
    let Ok(margin) = "0.03".parse::<Decimal>() else {
        return;
    };
    let champion = Champion {
        version: "fuzz-1".to_owned(),
        bundle: sha256(&manifest),
        margin,
    };
    let (target, data) = (&trained.read.info.target, &trained.read.data);
    if let Err(error) = Opponent::open(dir, &champion, target, data, [data.len()]) {
        assert!(!chain(&error).is_empty());
    }
}
