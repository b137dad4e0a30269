//! The ratio of two programs that take turns, with a nonparametric confidence interval.

/// The median of ratios, with a confidence interval of the median of their distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Minimum confidence of the interval.
const CONFIDENCE: f64 = 0.95;

// === impl Ratio ===

impl Ratio {
    /// From the ratios of pairs. The bounds are order statistics: the number of `n` independent ratios below the median is binomial
    /// with `n` and one half (David and Nagaraja, Order Statistics, 2003, section 7.1). With fewer than 6 ratios no interval reaches
    /// 95%, and the bounds are the smallest and the largest.
    pub(crate) fn of(mut ratios: Vec<f64>) -> Option<Self> {
        ratios.sort_unstable_by(f64::total_cmp);
        let count = ratios.len();
        let left_out = outside(count);
        Some(Self {
            median: median(&ratios)?,
            low: *ratios.get(left_out)?,
            high: *ratios.get(count.checked_sub(left_out + 1)?)?,
        })
    }
}

/// The median of sorted numbers.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(*upper);
    }
    Some(f64::midpoint(*upper, sorted[middle - 1]))
}

/// How many of the smallest, and of the largest, ratios are outside of the interval.
fn outside(count: usize) -> usize {
    let (mut left_out, mut tail, mut chance) = (0, 0.0, (-(count as f64)).exp2());
    loop {
        tail += chance;
        if 2.0 * tail > 1.0 - CONFIDENCE {
            return left_out.max(1) - 1;
        }
        left_out += 1;
        chance *= (count + 1 - left_out) as f64 / left_out as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_has_the_order_statistics_of_the_tables() {
        // Conover, Practical Nonparametric Statistics: the ranks of a 95% interval for the median.
        let bounds = |count| (outside(count) + 1, count - outside(count));
        assert_eq!(bounds(6), (1, 6));
        assert_eq!(bounds(10), (2, 9));
        assert_eq!(bounds(20), (6, 15));
        assert_eq!(bounds(3), (1, 3));
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let ratio = Ratio::of(vec![3.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high), (2.5, 1.0, 10.0));
        assert_eq!(Ratio::of(Vec::new()), None);
    }
}
