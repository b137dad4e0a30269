//! The files that an image leaves. It may leave anything: links, devices, too many files, files of any size.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::Context as _;
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};

use crate::{data::violation::cut, import::ImportError};

/// The scores that the model gives the rows that it was trained on, if the image left them.
pub const SCORES: &str = "scores.csv";

/// The largest model that is read.
pub const MAX_MODEL_BYTES: u64 = 1 << 30;

/// The largest file of scores that is read.
const MAX_SCORE_BYTES: u64 = 512 << 20;

/// The most files that are named in a message. More are not counted.
const NAMED: usize = 8;

/// Characters of a name that are shown in a message.
const NAME: usize = 64;

/// What is not a file and does not lead to one.
const SPECIAL: &str = "a device, a pipe or a socket";

/// What an image left.
#[derive(Debug)]
pub struct Left {
    /// The bytes of the model.
    pub model: Vec<u8>,
    /// The scores of the rows that it was trained on.
    pub scores: Option<Vec<u8>>,
}

/// Reads what is in the directory: one file of a model and, if it exists, [`SCORES`]. Nothing else may be there.
pub fn read(dir: &Path) -> anyhow::Result<Left> {
    let list = || format!("cannot list the directory {}", dir.display());
    let mut models = Vec::new();
    let mut scores = None;
    for entry in std::fs::read_dir(dir).with_context(list)? {
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
            // Its own name, whatever it is: it was listed, so it is not a path.
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

/// A plain file that is not too large. The opened file is the one that is checked: no link is followed, which might lead to the token of
/// the ledger, and no pipe is waited for.
fn read_plain(path: &Path, name: &str, most: u64) -> anyhow::Result<Vec<u8>> {
    let named = quote(name);
    let reading = || format!("cannot read {named}, which the image left");
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(error) => {
            return match explain_unopened(error, &named) {
                Some(sentence) => refuse(sentence),
                None => Err(error).with_context(reading),
            };
        }
    };
    let opened = file.metadata().with_context(reading)?;
    if !opened.is_file() {
        let kind = if opened.is_dir() { "a folder" } else { SPECIAL };
        return refuse(wrong_kind(&named, kind));
    }
    if opened.len() > most {
        return refuse(format!(
            "{named}, which the image left, has {} bytes, at most {most} are read",
            opened.len()
        ));
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

/// Why a file cannot be opened, if the image is to blame.
fn explain_unopened(error: Errno, named: &str) -> Option<String> {
    match error {
        // A name that is not UTF-8 has other characters now.
        Errno::NOENT => Some(format!(
            "the image left {named}, whose name cannot be used: use letters and digits"
        )),
        Errno::LOOP => Some(wrong_kind(named, "a link")),
        // A socket, or a device without a driver.
        Errno::NXIO | Errno::NODEV => Some(wrong_kind(named, SPECIAL)),
        Errno::ACCESS | Errno::PERM => Some(format!(
            "{named}, which the image left, may not be read: give it the mode 0644"
        )),
        _ => None,
    }
}

fn wrong_kind(named: &str, kind: &str) -> String {
    format!("{named}, which the image left, is {kind}: leave a plain file")
}

/// An untrusted name.
fn quote(name: &str) -> String {
    format!("{:?}", cut(name, NAME))
}

fn refuse<T>(what: String) -> anyhow::Result<T> {
    Err(ImportError::Refused(what).into())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::symlink, net::UnixListener},
        process::Command,
    };

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
        assert!(refusal(pipe.path()).contains("is a device, a pipe or a socket"));
        let socket = dir();
        let _listener = UnixListener::bind(socket.path().join("model")).unwrap();
        assert!(refusal(socket.path()).contains("is a device, a pipe or a socket"));
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
        assert!(refusal(dir.path()).contains("whose name cannot be used"));
    }

    #[test]
    fn a_file_without_permission_is_refused_with_the_mode_to_give_it() {
        // As root nothing is refused, so the error stands here.
        assert_eq!(
            explain_unopened(Errno::ACCESS, &quote("model")).unwrap(),
            "\"model\", which the image left, may not be read: give it the mode 0644"
        );
        assert_eq!(
            explain_unopened(Errno::MFILE, &quote("model")),
            None,
            "the image is not to blame"
        );
    }

    #[test]
    fn a_file_that_is_replaced_by_a_link_again_and_again_is_read_or_refused_and_never_followed() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        fs::write(secret.path(), "the token of the ledger").unwrap();
        let folder = dir();
        let (plain, link) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&plain, "tree").unwrap();
        symlink(secret.path(), &link).unwrap();
        let output = dir();
        let model = output.path().join("model");
        fs::copy(&plain, &model).unwrap();
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    for kind in [&link, &plain] {
                        let next = folder.path().join("next");
                        if kind == &link {
                            symlink(secret.path(), &next).unwrap();
                        } else {
                            fs::copy(&plain, &next).unwrap();
                        }
                        fs::rename(&next, &model).unwrap();
                    }
                }
            });
            for _ in 0..500 {
                match read_plain(&model, "model", MAX_MODEL_BYTES) {
                    Ok(read) => assert_eq!(read, b"tree"),
                    Err(error) => assert!(error.to_string().contains("is a link"), "{error:#}"),
                }
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
