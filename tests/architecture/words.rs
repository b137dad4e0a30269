//! Words that a native engineer of this field does not write, and what is written instead.
//!
//! Sources, tests, docs, charts, manifests and scripts are read; each word has to be absent. `docs/glossary.md` has the words
//! that are used.

use std::path::{Path, PathBuf};

/// A word or a phrase as it is matched (whole words, any case), and what to write.
const REFUSED: &[(&str, &str)] = &[
    ("somebody", "name who: a user, an approver, another client"),
    ("nobody", "\"no user\", or name what does not happen"),
    ("whoever", "name who: the user who, the client that"),
    ("told", "reported, said, recorded"),
    ("tells", "says, reports, shows"),
    ("hitherto", "so far"),
    ("henceforth", "from now on"),
    ("thereof", "of it"),
    ("herein", "here"),
    ("whilst", "while"),
    ("wherefore", "so"),
    ("unto", "to"),
    ("lest", "so that … not"),
    ("whereby", "by which"),
    ("wherein", "in which"),
    ("afresh", "again"),
    ("everybody", "every user, all clients"),
    ("no one", "no user, no client"),
    ("for ever", "forever"),
    ("so long after", "delay after"),
    ("so many people", "this many users"),
    ("mend", "fix"),
    ("deserialise", "deserialize"),
];

/// Folders and files that are read.
const ROOTS: [&str; 12] = [
    "charts",
    "crds",
    "demo",
    "docs",
    "hack",
    "inference",
    "manifests",
    "operator",
    "tests",
    "trainer",
    "README.md",
    "CONTRIBUTING.md",
];

const EXTENSIONS: [&str; 8] = ["rs", "md", "yaml", "tpl", "sh", "py", "toml", "html"];

/// Files that have to keep their words.
const KEPT: &[(&str, &str)] = &[("tests/architecture/words.rs", "the list itself")];

#[test]
fn no_text_has_a_word_that_readers_stumble_over() {
    let mut found = Vec::new();
    let mut kept = 0;
    for (file, text) in texts() {
        let is_kept = KEPT.iter().any(|(path, _)| *path == file);
        let before = found.len();
        for (number, line) in text.lines().enumerate() {
            for (word, instead) in refused(line) {
                found.push(format!("{file}:{}: {word:?}; write {instead}", number + 1));
            }
        }
        if is_kept {
            kept += usize::from(found.len() > before);
            found.truncate(before);
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    assert_eq!(kept, KEPT.len(), "a file that is kept has none of these words");
}

#[test]
fn a_refused_word_is_found_whole_and_in_any_case() {
    let words = |line: &str| -> Vec<&str> { refused(line).map(|(word, _)| word).collect() };
    assert_eq!(words("Somebody told it."), ["somebody", "told"]);
    assert_eq!(words("a stold, retold untold"), Vec::<&str>::new());
    assert_eq!(words("it_tells_all(); tells"), ["tells"]);
    assert_eq!(words("// Jobs run\tfor  ever."), ["for ever"]);
    assert_eq!(words("no onerous rule, no-one"), ["no one"]);
}

/// The refused words of a line, each with what to write instead.
fn refused(line: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lower = line.to_lowercase();
    let words: Vec<&str> = lower
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let words = format!(" {} ", words.join(" "));
    REFUSED
        .iter()
        .copied()
        .filter(move |(refused, _)| words.contains(&format!(" {refused} ")))
}

fn texts() -> Vec<(String, String)> {
    let root = crate::root();
    let mut files = Vec::new();
    for start in ROOTS {
        collect(&root.join(start), &mut files);
    }
    files.sort();
    let text = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(text).collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name != "target" && !name.starts_with('.') {
                collect(&path, files);
            }
        }
    } else if path
        .extension()
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
    {
        files.push(path.to_owned());
    }
}
