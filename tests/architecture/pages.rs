//! Pages lead where they say: each link has a target, each anchor a heading, and each path of the repository exists.

use std::path::{Path, PathBuf};

use crate::root;

/// Folders and files with pages.
const ROOTS: [&str; 8] = [
    "docs",
    "hack",
    "tests",
    "charts",
    "crds",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];

#[test]
fn every_link_and_every_path_of_a_page_exists() {
    let root = root();
    let mut pages = Vec::new();
    for start in ROOTS {
        collect(&root.join(start), &mut pages);
    }
    assert!(pages.len() > 10, "{pages:?}");
    let mut found = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(root).unwrap().display();
        for link in links(&text) {
            if let Some(problem) = problem_of(&page, &text, link) {
                found.push(format!("{name}: {link}: {problem}"));
            }
        }
        for path in paths(&text) {
            if !root.join(path).exists() {
                found.push(format!("{name}: `{path}` does not exist"));
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn links_paths_and_headings_are_found() {
    let text = "## What others may set\nSee [a](x.md#what-others-may-set), [b](https://example.com) and `operator/core/src/lib.rs`,\n\
                `operator/…`, `charts/*`, `/readyz`.\n```\n[c](gone.md) `tests/gone.rs`\n```\n### `make` & co.\n";
    assert_eq!(links(text), ["x.md#what-others-may-set"]);
    assert_eq!(paths(text), ["operator/core/src/lib.rs"]);
    assert_eq!(anchors(text), ["what-others-may-set", "make--co"]);
    let page = root().join("README.md");
    assert_eq!(problem_of(&page, text, "#make--co"), None);
    assert_eq!(problem_of(&page, text, "#gone"), Some("no such heading"));
    assert_eq!(problem_of(&page, text, "docs/gone.md"), Some("no such file"));
}

fn problem_of(page: &Path, text: &str, link: &str) -> Option<&'static str> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        text.to_owned()
    } else {
        let path = page.parent().unwrap().join(file);
        if !path.exists() {
            return Some("no such file");
        }
        if anchor.is_empty() {
            return None;
        }
        std::fs::read_to_string(path).unwrap_or_default()
    };
    (!anchor.is_empty() && !anchors(&target).iter().any(|known| known == anchor)).then_some("no such heading")
}

/// Targets of links within the repository.
fn links(text: &str) -> Vec<&str> {
    let links = prose(text)
        .flat_map(|line| line.split('`').step_by(2))
        .flat_map(|words| words.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
    links
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

/// Paths of the repository in backticks.
fn paths(text: &str) -> Vec<&str> {
    let quoted = prose(text).flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted
        .filter(|path| {
            let begins = path.split_once('/').is_some_and(|(first, rest)| {
                !first.is_empty()
                    && !rest.is_empty()
                    && !first.starts_with('.')
                    && root().join(first).is_dir()
            });
            begins
                && path
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter))
        })
        .collect()
}

/// Anchors of headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
                .map(|letter| if letter == ' ' { '-' } else { letter })
                .collect()
        })
        .collect()
}

/// The lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

fn collect(path: &Path, pages: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, pages);
            }
        }
    } else if path.extension().is_some_and(|extension| extension == "md") {
        pages.push(path.to_owned());
    }
}
