//! The scores that an image says its model gives the rows that it was trained on, beside those that the model gives here.

use crate::{
    data::dataset::Dataset,
    fit::score_rows,
    import::{ImportError, Loaded},
};

/// The head of the file.
const HEAD: &str = "expected";

/// How many rows have the score that the image says; the first that has another is an error. `training` are the rows that it was trained on, in the
/// order of its files.
pub(super) fn compare(
    bytes: &[u8],
    loaded: &Loaded,
    data: &Dataset,
    training: &[usize],
) -> Result<usize, ImportError> {
    let refuse = |what: String| {
        Err(ImportError::Refused(format!(
            "scores.csv, which the image left, {what}"
        )))
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refuse("is not UTF-8".to_owned());
    };
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some(HEAD) {
        return refuse(format!(
            "does not begin with a line {HEAD:?}: write one probability a line below it"
        ));
    }
    let mut expected = Vec::new();
    for (at, line) in lines.enumerate() {
        match line.trim().parse::<f64>() {
            Ok(score) if (0.0..=1.0).contains(&score) => expected.push(score),
            _ => return refuse(format!("has no probability from 0 to 1 in line {}", at + 2)),
        }
        if expected.len() > training.len() {
            return refuse(format!(
                "has more scores than the {} rows that the image got",
                training.len()
            ));
        }
    }
    let found = score_rows(&*loaded.scorer, data, &training[..expected.len()]);
    let differs = |(found, expected): (&f64, &f64)| !loaded.tolerance.accepts(*found, *expected);
    match found.iter().zip(&expected).position(differs) {
        None => Ok(expected.len()),
        Some(at) => Err(ImportError::Refused(format!(
            "the model gives row {} of the training rows {:e} here and {:e} in the image, more than {} apart: it has to take the features in the \
             order of contract.json and categories by their places there, and numbers as 32-bit floats",
            at + 1,
            found[at],
            expected[at],
            loaded.tolerance.describe()
        ))),
    }
}
