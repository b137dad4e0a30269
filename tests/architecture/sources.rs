//! The sources of the programs, without those of tests.

use std::path::{Path, PathBuf};

use syn::{Attribute, Meta};

/// The folders of the packages whose sources are read.
pub const PACKAGES: [&str; 12] = [
    "crds",
    "crds/wire",
    "inference",
    "inference/model",
    "inference/profile",
    "operator",
    "operator/core",
    "operator/controllers",
    "operator/ledger",
    "operator/ledger/client",
    "service",
    "trainer",
];

/// The sources of a package: the path within the repository, and the text.
pub fn sources(package: &str) -> Vec<(String, String)> {
    let root = crate::root();
    let mut files = Vec::new();
    collect(&root.join(package).join("src"), &mut files);
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !name.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// Whether an item is compiled for tests only.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string().contains("test"),
        Meta::Path(path) => path.is_ident("test"),
        _ => false,
    })
}
