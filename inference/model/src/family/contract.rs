//! The trait of all families: a name, files of a bundle, and a scorer that is read from them.

use std::{error::Error, fmt, sync::Arc};

use serde::de::DeserializeOwned;

use crate::{
    files::{FilesError, VerifiedDir},
    schema::{FeatureSchema, Row},
};

/// A family of models. It reads a scorer from a bundle.
///
/// The module `conformance` checks these requirements for every family.
pub trait Family: fmt::Debug + Send + Sync {
    /// Its name in the API, in `bundle.json` and in its own files.
    fn name(&self) -> &'static str;

    /// The files of this family in a bundle, in the order in which they are described. At least one is a JSON object with
    /// `format` and `family`. None has the name of a file that every bundle has. Two families may use the same name,
    /// because a bundle has the files of one family.
    fn files(&self) -> &'static [&'static str];

    /// Those of [`Self::files`] that every bundle of the family has. The others depend on their content.
    fn needed_files(&self) -> &'static [&'static str] {
        self.files()
    }

    /// Reads the files and checks every index and number in them, so that scoring cannot fail.
    ///
    /// If a file is absent or cut, or has an unknown format, another family or another schema, the error names it.
    fn load(&self, files: &FamilyFiles<'_>, schema: &FeatureSchema) -> Result<Arc<dyn Scorer>, FamilyError>;
}

/// A model that is ready to score, from any number of threads.
pub trait Scorer: fmt::Debug + Send + Sync {
    /// The probability of class 1, within 0 and 1. It is never NaN, has the same bits on any machine, and does not allocate, except for
    /// the derived row of declared transforms.
    ///
    /// If a row is too short, the rest counts as missing. A value of another kind counts as unknown. So a row of another
    /// schema gives a wrong score, but never a panic.
    fn score(&self, row: &Row) -> f64;

    /// Appends the score of each row. The bits are the same as for single rows; some families are faster.
    fn score_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        out.extend(rows.iter().map(|row| self.score(row)));
    }
}

/// The files of one family in a bundle. Other files cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct FamilyFiles<'a> {
    names: &'static [&'static str],
    source: Source<'a>,
    /// For a member: the names that its family knows, each with the name in the bundle.
    renamed: Option<Renamed>,
}

/// Names that a family knows, each with the name of the file in a bundle.
pub(super) type Renamed = &'static [(&'static str, &'static str)];

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Bundle(&'a VerifiedDir),
    Memory(&'a [(&'static str, Vec<u8>)]),
}

/// Why a family cannot read its files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FamilyError {
    /// A file is absent, damaged or unreadable.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file does not parse.
    #[error("{file} does not parse")]
    Parse {
        /// Its name.
        file: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A file contradicts itself, the schema or another file.
    #[error("{file} is not valid")]
    Invalid {
        /// Its name.
        file: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The family reads a file that it does not declare, which is a bug.
    #[error("{0} is not among the files that the family names as its own; add it to Family::files")]
    Foreign(&'static str),
}

/// The families that a program can serve.
#[derive(Clone, Copy, Debug)]
pub struct Families(&'static [&'static dyn Family]);

// === impl FamilyFiles ===

impl<'a> FamilyFiles<'a> {
    /// The files of a verified bundle.
    pub(crate) fn of_bundle(family: &dyn Family, dir: &'a VerifiedDir) -> Self {
        Self {
            names: family.files(),
            source: Source::Bundle(dir),
            renamed: None,
        }
    }

    /// Files in memory, by name.
    pub fn of_bytes(family: &dyn Family, files: &'a [(&'static str, Vec<u8>)]) -> Self {
        Self {
            names: family.files(),
            source: Source::Memory(files),
            renamed: None,
        }
    }

    /// The files of a member, which has the files of its family under other names.
    pub(super) fn of_member(&self, family: &dyn Family, renamed: Renamed) -> Self {
        Self {
            names: family.files(),
            source: self.source,
            renamed: Some(renamed),
        }
    }

    /// The bytes of a file.
    pub fn bytes(&self, file: &'static str) -> Result<Vec<u8>, FamilyError> {
        if !self.names.contains(&file) {
            return Err(FamilyError::Foreign(file));
        }
        let file = match self.renamed {
            Some(renamed) => rename(renamed, file).ok_or(FamilyError::Foreign(file))?,
            None => file,
        };
        match self.source {
            Source::Bundle(dir) => Ok(dir.read(file)?),
            Source::Memory(files) => match files.iter().find(|(name, _)| *name == file) {
                Some((_, bytes)) => Ok(bytes.clone()),
                None => Err(FilesError::Absent(file).into()),
            },
        }
    }

    /// The content of a JSON file.
    pub fn parse<T: DeserializeOwned>(&self, file: &'static str) -> Result<T, FamilyError> {
        serde_json::from_slice(&self.bytes(file)?).map_err(|source| FamilyError::Parse { file, source })
    }
}

/// The name of a member's file in a bundle.
pub(super) fn rename(renamed: Renamed, file: &str) -> Option<&'static str> {
    let mut known = renamed.iter();
    known.find(|(name, _)| *name == file).map(|(_, name)| *name)
}

// === impl FamilyError ===

impl FamilyError {
    /// The content of `file` is not valid because of `source`, an error or a message.
    pub fn invalid(file: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        Self::Invalid { file, source }
    }

    /// The same error for the files of a member, which have other names in the bundle.
    pub(super) fn of_member(self, renamed: Renamed) -> Self {
        match self {
            Self::Parse { file, source } => Self::Parse {
                file: rename(renamed, file).unwrap_or(file),
                source,
            },
            Self::Invalid { file, source } => Self::Invalid {
                file: rename(renamed, file).unwrap_or(file),
                source,
            },
            // These already have the names of the bundle.
            error @ (Self::Files(_) | Self::Foreign(_)) => error,
        }
    }

    /// The file with the error, if it is about a file.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Files(error) => error.file(),
            Self::Parse { file, .. } | Self::Invalid { file, .. } | Self::Foreign(file) => Some(file),
        }
    }
}

// === impl Families ===

impl Families {
    /// A registry of these families, which have distinct names.
    pub const fn new(families: &'static [&'static dyn Family]) -> Self {
        Self(families)
    }

    /// The family with this name.
    pub fn find(self, name: &str) -> Option<&'static dyn Family> {
        self.0.iter().copied().find(|family| family.name() == name)
    }

    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        self.0.iter().map(|family| family.name()).collect()
    }
}
