//! The encoded columns of some rows, which a solver passes over many times: held in memory, or, for many rows, encoded again in each
//! pass. Both give the same numbers in the same order.

use modelward_model::Encoder;
use ndarray::Array2;

use crate::{data::dataset::Sample, family::encode};

/// The most values that are held, of 8 bytes each: several fits run in parallel.
pub(crate) const MAX_HELD: usize = 1 << 25;

/// The encoded columns of some rows.
#[derive(Clone, Copy, Debug)]
pub enum Design<'a> {
    /// They are in memory, one row each.
    Held(&'a Array2<f64>),
    /// They are encoded when they are read.
    Encoded(&'a Encoder, Sample<'a>),
}

/// The columns of these rows, if they are few enough to be held.
pub fn hold(encoder: &Encoder, sample: Sample<'_>) -> Option<Array2<f64>> {
    let values = sample.len().saturating_mul(encoder.width());
    (values <= MAX_HELD).then(|| encode::columns(encoder, sample))
}

// === impl Design ===

impl Design<'_> {
    /// Number of rows.
    pub fn rows(self) -> usize {
        match self {
            Self::Held(columns) => columns.nrows(),
            Self::Encoded(_, sample) => sample.len(),
        }
    }

    /// Number of columns.
    pub fn columns(self) -> usize {
        match self {
            Self::Held(columns) => columns.ncols(),
            Self::Encoded(encoder, _) => encoder.width(),
        }
    }

    /// Visits each row, in order.
    pub fn each(self, mut visit: impl FnMut(&[f64])) {
        match self {
            Self::Held(columns) => {
                let values = columns.as_slice().unwrap_or_default();
                values.chunks_exact(columns.ncols().max(1)).for_each(visit);
            }
            Self::Encoded(encoder, sample) => {
                let mut out = vec![0.0; encoder.width()];
                for row in sample.rows {
                    out.fill(0.0);
                    encoder.visit(&sample.data.row(*row), |column, value| out[column] = value);
                    visit(&out);
                }
            }
        }
    }

    /// The rows at these places.
    pub fn select(self, places: &[usize]) -> Array2<f64> {
        match self {
            Self::Held(columns) => columns.select(ndarray::Axis(0), places),
            Self::Encoded(encoder, sample) => {
                let rows: Vec<usize> = places.iter().map(|place| sample.rows[*place]).collect();
                encode::columns(
                    encoder,
                    Sample {
                        rows: &rows,
                        ..sample
                    },
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        family::newton::{Problem, solve},
        fit::train::tests::data,
    };

    #[test]
    fn a_fit_on_encoded_rows_is_the_one_on_held_rows_bit_for_bit() {
        let data = data();
        let rows: Vec<usize> = (0..data.len()).filter(|row| row % 5 != 0).collect();
        let weights: Vec<f32> = rows.iter().map(|row| 1.0 + *row as f32 / 7.0).collect();
        let sample = Sample {
            weights: Some(&weights),
            ..Sample::of(&data, &rows)
        };
        let encoder = Encoder::new(&data.schema, &encode::fit(sample)).unwrap();
        let held = hold(&encoder, sample).unwrap();
        let labels = sample.labels();
        let fit = |x: Design<'_>| {
            let found = solve(Problem {
                x,
                labels: &labels,
                weights: sample.weights,
                alpha: 0.5,
            });
            let found = found.unwrap();
            let numbers = found.coef.iter().chain([&found.intercept]);
            numbers.map(|number| number.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(fit(Design::Held(&held)), fit(Design::Encoded(&encoder, sample)));
        assert_eq!(Design::Encoded(&encoder, sample).rows(), rows.len());
    }
}
