//! Quantiles of numbers.

/// The quantile of sorted numbers by the averaged inverted distribution function (Hyndman and Fan 1996, definition 2; NumPy's
/// `averaged_inverted_cdf`, in the same steps): the number that this share of the rows reaches, or the middle of two. None without numbers.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = sorted.len() as f64 * share - 1.0;
    if place < 0.0 {
        return sorted.first().copied();
    }
    let below = place.floor();
    let at = |place: f64| sorted[(place as usize).min(last)];
    let (low, high) = (at(below), at(below + 1.0));
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    let is_whole = place == below;
    Some(if is_whole { high - (high - low) * 0.5 } else { high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_number_of_the_rows_or_the_middle_of_two() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        let of = |share| quantile(&sorted, share).unwrap();
        // As numpy.quantile([1, 2, 4, 8], share, method="averaged_inverted_cdf") has them.
        assert_eq!(
            [0.0, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0].map(of),
            [1.0, 1.5, 2.0, 3.0, 6.0, 8.0, 8.0]
        );
        assert_eq!(quantile(&[], 0.5), None);
    }
}
