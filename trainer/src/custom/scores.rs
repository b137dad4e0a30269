//! Compares the scores that an image left for its training rows with those that its model gives here.

use crate::{
    data::dataset::Dataset,
    fit::score_rows,
    import::{ImportError, Loaded},
};

/// The head of the file.
const HEAD: &str = "expected";

/// The scores in the file, at most one per row. Its bytes, which are many more, are dropped.
pub(super) fn parse(bytes: Vec<u8>, most: usize) -> Result<Vec<f64>, ImportError> {
    let Ok(text) = String::from_utf8(bytes) else {
        return refuse("is not UTF-8");
    };
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some(HEAD) {
        return refuse(&format!(
            "does not begin with a line {HEAD:?}: write one probability per line below it"
        ));
    }
    let mut expected = Vec::new();
    for (at, line) in lines.enumerate() {
        match line.trim().parse::<f64>() {
            Ok(score) if (0.0..=1.0).contains(&score) => expected.push(score),
            _ => return refuse(&format!("has no probability from 0 to 1 in line {}", at + 2)),
        }
        if expected.len() > most {
            return refuse(&format!(
                "has more scores than the {most} rows that the image got"
            ));
        }
    }
    Ok(expected)
}

/// Compares these scores with those of the model; the first that differs is an error. `training` are the rows that it was trained on, in the order of its
/// files.
pub(super) fn compare(
    expected: &[f64],
    loaded: &Loaded,
    data: &Dataset,
    training: &[usize],
) -> Result<(), ImportError> {
    let found = score_rows(&*loaded.scorer, data, &training[..expected.len()]);
    let differs = |(found, expected): (&f64, &f64)| !loaded.tolerance.accepts(*found, *expected);
    match found.iter().zip(expected).position(differs) {
        None => Ok(()),
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

fn refuse<T>(what: &str) -> Result<T, ImportError> {
    Err(ImportError::Refused(format!(
        "scores.csv, which the image left, {what}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_probabilities_below_a_head_and_not_more_than_rows() {
        let parse = |text: &[u8]| parse(text.to_vec(), 2).map_err(|error| error.to_string());
        assert_eq!(parse(b"expected\n0\n 1e-3 \r\n"), Ok(vec![0.0, 0.001]));
        assert_eq!(parse(b"expected"), Ok(Vec::new()));
        for (text, words) in [
            (&b"0.5\n"[..], "does not begin with a line \"expected\""),
            (b"", "does not begin with a line \"expected\""),
            (
                b"expected\n0.5\nNaN\n",
                "has no probability from 0 to 1 in line 3",
            ),
            (b"expected\n1.5\n", "has no probability from 0 to 1 in line 2"),
            (b"expected\n\n", "has no probability from 0 to 1 in line 2"),
            (
                b"expected\n0\n0\n0\n",
                "has more scores than the 2 rows that the image got",
            ),
            (b"expected\n\xff\n", "is not UTF-8"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.starts_with("scores.csv, which the image left,") && error.contains(words),
                "{error}"
            );
        }
    }
}
