//! The common parts of families that compute with columns: `transforms.json`, and the head of `model.json`.
//!
//! The model file of such a family has the fields of [`Head`] and its numbers. [`Head::check`] compares the fields with
//! the family, the schema and the transforms. The family checks the numbers.

use crate::{
    encode::{Encoder, TRANSFORMS_FILE, TransformError, Transforms, column_names},
    schema::FeatureSchema,
};

/// The name of the file with the numbers of a model. Families may share it, because a bundle has the files of one family.
pub const MODEL_FILE: &str = "model.json";

/// The classes of every model. Scores are probabilities of the second.
pub const CLASSES: [u8; 2] = [0, 1];

/// The fields of a model file without its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The format of the file, a number that the family assigns.
    pub format: u32,
    /// The name of the family.
    pub family: &'a str,
    /// [`CLASSES`].
    pub classes: [u8; 2],
    /// Names of the columns: `age`, `thal=7`.
    pub columns: &'a [String],
}

/// Why the head of a model file does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The format or family is not the one that the reader knows.
    #[error(
        "model has format {found} and family {found_family:?}, this program reads format {expected} and \
         {expected_family:?}"
    )]
    Format {
        /// The format in the file.
        found: u32,
        /// The family in the file.
        found_family: String,
        /// The format that is read.
        expected: u32,
        /// The family of the reader.
        expected_family: &'static str,
    },
    /// The classes are not 0 and 1, in this order.
    #[error("model has classes {0:?}, expected {CLASSES:?}")]
    Classes([u8; 2]),
    /// The columns do not match the schema.
    #[error("model has columns {found:?}, but the schema gives {expected:?}")]
    Columns {
        /// In the file.
        found: Vec<String>,
        /// From the schema.
        expected: Vec<String>,
    },
    /// The transforms do not fit the schema.
    #[error(transparent)]
    Transforms(#[from] TransformError),
}

// === impl Head ===

impl Head<'_> {
    /// Checks that the file has this family and format, and that its columns are those of `schema`.
    ///
    /// The encoder has one column for each of `columns`, in their order.
    pub fn check(
        &self,
        family: &'static str,
        format: u32,
        schema: &FeatureSchema,
        transforms: &Transforms,
    ) -> Result<Encoder, HeadError> {
        self.check_identity(family, format)?;
        let encoder = Encoder::new(schema, transforms)?;
        self.check_columns(column_names(schema))?;
        Ok(encoder)
    }

    /// Checks that the file has this family and format, and that its columns are the unchanged features of `schema`.
    pub(super) fn check_features(
        &self,
        family: &'static str,
        format: u32,
        schema: &FeatureSchema,
    ) -> Result<(), HeadError> {
        self.check_identity(family, format)?;
        self.check_columns(schema.names().map(ToOwned::to_owned).collect())
    }

    fn check_identity(&self, family: &'static str, format: u32) -> Result<(), HeadError> {
        if self.format != format || self.family != family {
            return Err(HeadError::Format {
                found: self.format,
                found_family: self.family.to_owned(),
                expected: format,
                expected_family: family,
            });
        }
        if self.classes != CLASSES {
            return Err(HeadError::Classes(self.classes));
        }
        Ok(())
    }

    fn check_columns(&self, expected: Vec<String>) -> Result<(), HeadError> {
        if self.columns != expected {
            return Err(HeadError::Columns {
                found: self.columns.to_vec(),
                expected,
            });
        }
        Ok(())
    }
}

// === impl HeadError ===

impl HeadError {
    /// The file with the error.
    pub fn file(&self) -> &'static str {
        match self {
            Self::Transforms(_) => TRANSFORMS_FILE,
            _ => MODEL_FILE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::tests::{schema, transforms};

    #[test]
    fn a_head_that_does_not_fit_is_refused_with_the_file_that_is_at_fault() {
        let columns = column_names(&schema());
        let head = Head {
            format: 3,
            family: "Oracle",
            classes: CLASSES,
            columns: &columns,
        };
        let check = |head: Head<'_>| head.check("Oracle", 3, &schema(), &transforms());
        assert_eq!(check(head).unwrap().width(), columns.len());

        let format = check(Head { format: 4, ..head }).unwrap_err();
        assert_eq!(
            format.to_string(),
            "model has format 4 and family \"Oracle\", this program reads format 3 and \"Oracle\""
        );
        let family = check(Head {
            family: "Sibyl",
            ..head
        });
        assert!(matches!(family, Err(HeadError::Format { found: 3, .. })));
        let classes = check(Head {
            classes: [1, 0],
            ..head
        });
        assert_eq!(classes, Err(HeadError::Classes([1, 0])));
        let fewer = check(Head {
            columns: &columns[1..],
            ..head
        });
        assert!(matches!(fewer, Err(HeadError::Columns { .. })));
        assert_eq!(format.file(), MODEL_FILE);

        let mut other = transforms();
        other.features.reverse();
        let error = head.check("Oracle", 3, &schema(), &other).unwrap_err();
        assert_eq!(error.file(), TRANSFORMS_FILE);
    }
}
