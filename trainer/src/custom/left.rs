//! The files that an image leaves. It may leave anything: links, devices, too many files, files of any size.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use anyhow::Context as _;

use crate::{data::violation::cut, import::ImportError};

/// The scores that the model gives the rows that it was trained on, where the image left them.
pub const SCORES: &str = "scores.csv";

/// No model is read that is larger.
pub const MAX_MODEL_BYTES: u64 = 1 << 30;

/// No scores are read that are more.
const MAX_SCORE_BYTES: u64 = 512 << 20;

/// Files that are named in a message, at most. More are not counted.
const NAMED: usize = 8;

/// Characters of a name in a message.
const NAME: usize = 64;

/// What an image left.
#[derive(Debug)]
pub struct Left {
    /// The bytes of the model.
    pub model: Vec<u8>,
    /// The scores of the rows that it was trained on.
    pub scores: Option<Vec<u8>>,
}

/// Reads what is in the directory: one file of a model and, where it is there, [`SCORES`]. Nothing else may be there.
pub fn read(dir: &Path) -> anyhow::Result<Left> {
    let list = || format!("cannot list the directory {}", dir.display());
    let mut models = Vec::new();
    let mut scores = None;
    for entry in fs::read_dir(dir).with_context(list)? {
        let entry = entry.with_context(list)?;
        if entry.file_name() == SCORES {
            scores = Some(read_plain(&entry.path(), SCORES, MAX_SCORE_BYTES)?);
            continue;
        }
        models.push(entry.file_name().to_string_lossy().into_owned());
        if models.len() > NAMED {
            break;
        }
    }
    models.sort();
    match models.as_slice() {
        [] => refuse("the image left no model: it has to write one file to MODELWARD_OUTPUT_DIR".to_owned()),
        [name] => Ok(Left {
            // Its own name, whatever it is: it was listed, so it is no path.
            model: read_plain(&dir.join(name), name, MAX_MODEL_BYTES)?,
            scores,
        }),
        several => {
            let shown: Vec<String> = several.iter().take(NAMED).map(|name| quote(name)).collect();
            let more = if several.len() > NAMED { " and more" } else { "" };
            refuse(format!(
                "the image left several files in MODELWARD_OUTPUT_DIR, {}{more}: leave one file of a model, and {SCORES} if there are scores",
                shown.join(", ")
            ))
        }
    }
}

/// A plain file that is not too large. Nothing is followed: a link might lead to the token of the ledger.
fn read_plain(path: &Path, name: &str, most: u64) -> anyhow::Result<Vec<u8>> {
    let named = quote(name);
    let reading = || format!("cannot read {named}, which the image left");
    let found = match fs::symlink_metadata(path) {
        // A name that is no UTF-8 has other characters now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return refuse(format!(
                "the image left {named}, whose name is not read: use letters and digits"
            ));
        }
        found => found.with_context(reading)?,
    };
    // Before it is opened: opening a pipe waits for its writer.
    if !found.is_file() {
        let kind = if found.is_symlink() {
            "a link"
        } else if found.is_dir() {
            "a folder"
        } else {
            "a device or a pipe"
        };
        return refuse(format!(
            "{named}, which the image left, is {kind}: leave a plain file"
        ));
    }
    if found.len() > most {
        return refuse(format!(
            "{named}, which the image left, has {} bytes, at most {most} are read",
            found.len()
        ));
    }
    let file = File::open(path).with_context(reading)?;
    let opened = file.metadata().with_context(reading)?;
    if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
        return refuse(format!("{named} was replaced while it was read"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .with_context(reading)?;
    if bytes.len() as u64 > most {
        return refuse(format!(
            "{named} grew while it was read: at most {most} bytes are read"
        ));
    }
    Ok(bytes)
}

/// A name that a stranger chose.
fn quote(name: &str) -> String {
    format!("{:?}", cut(name, NAME))
}

fn refuse<T>(what: String) -> anyhow::Result<T> {
    Err(ImportError::Refused(what).into())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn refusal(dir: &Path) -> String {
        let error = read(dir).unwrap_err();
        assert!(error.downcast_ref::<ImportError>().is_some(), "{error:#}");
        error.to_string()
    }

    #[test]
    fn one_file_of_any_name_is_the_model_and_scores_may_be_beside_it() {
        let dir = dir();
        fs::write(dir.path().join("any name.ubj"), "tree").unwrap();
        let left = read(dir.path()).unwrap();
        assert_eq!((left.model.as_slice(), left.scores), (&b"tree"[..], None));
        fs::write(dir.path().join(SCORES), "expected\n0.5\n").unwrap();
        assert_eq!(read(dir.path()).unwrap().scores.unwrap(), b"expected\n0.5\n");
    }

    #[test]
    fn none_and_several_are_refused_with_what_to_leave() {
        let dir = dir();
        assert_eq!(
            refusal(dir.path()),
            "the image left no model: it has to write one file to MODELWARD_OUTPUT_DIR"
        );
        fs::write(dir.path().join(SCORES), "").unwrap();
        assert!(refusal(dir.path()).contains("left no model"));
        fs::write(dir.path().join("a.txt"), "").unwrap();
        fs::write(dir.path().join("b\n\u{1b}[31m.txt"), "").unwrap();
        let error = refusal(dir.path());
        assert!(
            error.contains(r#""a.txt", "b\n\u{1b}[31m.txt": leave one"#),
            "{error}"
        );
        for number in 0..100 {
            fs::write(dir.path().join(format!("{number}{}", "x".repeat(200))), "").unwrap();
        }
        let error = refusal(dir.path());
        assert!(error.len() < 1200 && error.contains("and more"), "{error}");
    }

    #[test]
    fn links_folders_and_pipes_are_not_followed_or_waited_for() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        fs::write(secret.path(), "the token of the ledger").unwrap();
        for (name, kind) in [("model.txt", "a link"), (SCORES, "a link")] {
            let dir = dir();
            symlink(secret.path(), dir.path().join(name)).unwrap();
            let error = refusal(dir.path());
            assert!(error.contains(kind) && !error.contains("token of"), "{error}");
        }
        let dangling = dir();
        symlink("/nowhere", dangling.path().join("model")).unwrap();
        assert!(refusal(dangling.path()).contains("is a link"));
        let folder = dir();
        fs::create_dir(folder.path().join("model")).unwrap();
        assert!(refusal(folder.path()).contains("is a folder"));
        let pipe = dir();
        let made = Command::new("mkfifo").arg(pipe.path().join("model")).status();
        assert!(made.unwrap().success());
        assert!(refusal(pipe.path()).contains("is a device or a pipe"));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let dir = dir();
        let file = File::create(dir.path().join("model")).unwrap();
        // It has no blocks: reading it would take a GiB of memory all the same.
        file.set_len(MAX_MODEL_BYTES + 1).unwrap();
        assert!(refusal(dir.path()).contains("has 1073741825 bytes, at most 1073741824 are read"));
    }

    #[test]
    fn a_name_that_is_no_text_is_refused() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let dir = dir();
        fs::write(dir.path().join(OsStr::from_bytes(b"mod\xffel")), "tree").unwrap();
        assert!(refusal(dir.path()).contains("whose name is not read"));
    }
}
