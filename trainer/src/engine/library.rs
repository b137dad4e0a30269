//! Finding and opening a library.

use std::{
    env,
    ffi::{CStr, NulError, c_char, c_int},
    path::{Path, PathBuf},
};

use libloading::Library;

/// The variable that names the folder of the libraries.
pub const ENGINES_VARIABLE: &str = "MODELWARD_ENGINES";

/// Where the image has them.
const IMAGE_FOLDER: &str = "/usr/lib/modelward/engines";

/// Where `hack/engines/fetch.sh` puts them, below the user's home.
const CACHE_FOLDER: &str = ".cache/modelward/engines";

/// Why a library did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// It is in none of the folders.
    #[error(
        "{library} is not installed: {file} is in none of {}; run hack/engines/fetch.sh, or set {ENGINES_VARIABLE} to the \
         folder that has it",
        folders.join(", ")
    )]
    Absent {
        /// Its name.
        library: &'static str,
        /// Its file, below the folder.
        file: &'static str,
        /// Where it was looked for.
        folders: Vec<String>,
    },
    /// It exists but cannot be opened.
    #[error("{library} cannot be opened")]
    Open {
        /// Its name.
        library: &'static str,
        /// Why: a library that it needs is absent, or it is of another architecture.
        source: libloading::Error,
    },
    /// It is another release.
    #[error("{library} is release {found}, this program uses release {expected}; install that one")]
    Release {
        /// Its name.
        library: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        expected: String,
    },
    /// A call failed.
    #[error("{library}: {message}")]
    Call {
        /// Its name.
        library: &'static str,
        /// The library's own message, its first line.
        message: String,
    },
    /// A text with a zero byte.
    #[error(transparent)]
    Text(#[from] NulError),
    /// More rows, columns or bytes than the interface can take.
    #[error("{library} cannot take {what}")]
    TooLarge {
        /// Its name.
        library: &'static str,
        /// What is too large.
        what: String,
    },
    /// It gave another number of values than was asked for.
    #[error("{library} answered {found} values, expected {expected}")]
    Shape {
        /// Its name.
        library: &'static str,
        /// The number of values that it gave.
        found: u64,
        /// The number of values that were expected.
        expected: u64,
    },
}

/// A name and the file of a library, below the folder of the libraries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) library: &'static str,
    pub(super) file: &'static str,
}

// === impl Named ===

impl Named {
    /// Opens the library, from the first folder that has it.
    #[expect(
        unsafe_code,
        reason = "opening a library runs its initialisers; the file is that of the wheel, in a folder that the user or the image chose"
    )]
    pub(super) fn open(self) -> Result<Library, EngineError> {
        let path = self.find()?;
        // SAFETY: the initialisers of XGBoost, LightGBM and libgomp register static data and start no thread.
        unsafe { Library::new(path) }.map_err(|source| EngineError::Open {
            library: self.library,
            source,
        })
    }

    fn find(self) -> Result<PathBuf, EngineError> {
        let folders = match env::var_os(ENGINES_VARIABLE) {
            Some(folder) => vec![PathBuf::from(folder)],
            None => default_folders(),
        };
        let paths = folders.iter().map(|folder| folder.join(self.file));
        paths
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| EngineError::Absent {
                library: self.library,
                file: self.file,
                folders: folders
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect(),
            })
    }

    /// The result of a call: the error of `last_error` if the code is not 0.
    pub(super) fn check(
        self,
        code: c_int,
        last_error: impl FnOnce() -> *const c_char,
    ) -> Result<(), EngineError> {
        if code == 0 {
            return Ok(());
        }
        Err(EngineError::Call {
            library: self.library,
            message: first_line(last_error()),
        })
    }
}

fn default_folders() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(IMAGE_FOLDER)];
    folders.extend(env::home_dir().map(|home| home.join(CACHE_FOLDER)));
    folders.retain(|folder| folder.is_absolute() && folder != Path::new("/"));
    folders
}

/// The first line of a C text, without the stack trace that XGBoost appends and the time that it prepends.
#[expect(unsafe_code, reason = "a C text is read until its end")]
pub(super) fn first_line(text: *const c_char) -> String {
    if text.is_null() {
        return "no message".to_owned();
    }
    // SAFETY: both libraries give a text of the calling thread that ends with a zero and lives until the next call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    let line = text.lines().next().unwrap_or_default();
    // "[12:00:00] /workspace/src/x.cc:7: Check failed: …"
    let message = line.split_once(": ").filter(|(place, _)| place.starts_with('['));
    message.map_or(line, |(_, message)| message).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_no_clock_and_no_stack_trace() {
        let text = c"[12:00:00] /workspace/src/learner.cc:7: Check failed: x > 0\nStack trace:\n  [bt] (0)";
        assert_eq!(first_line(text.as_ptr()), "Check failed: x > 0");
        assert_eq!(
            first_line(c"Cannot use this: it is closed".as_ptr()),
            "Cannot use this: it is closed"
        );
        assert_eq!(first_line(std::ptr::null()), "no message");
    }

    #[test]
    fn a_library_that_is_not_there_is_named_with_what_installs_it() {
        let named = Named {
            library: "Oracle",
            file: "oracle/lib/liboracle.so",
        };
        let error = named.open().unwrap_err().to_string();
        assert!(
            error.starts_with("Oracle is not installed: oracle/lib/liboracle.so is in none of "),
            "{error}"
        );
        assert!(error.contains("hack/engines/fetch.sh"), "{error}");
    }
}
