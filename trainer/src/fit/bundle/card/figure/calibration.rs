//! The share of class 1 by predicted probability, and the distribution of the probabilities.

use super::plot::Plot;
use crate::fit::bundle::card::scored::Scored;

/// Bins of the reliability diagram, at most, and the least rows of one.
const BINS: (usize, usize) = (10, 20);

/// Bars of the histogram.
const BARS: usize = 20;

const HEIGHT: f64 = 80.0;

pub(in super::super) fn calibration(scored: &Scored) -> String {
    let bins = scored.bins(BINS.0, BINS.1);
    let outside = bins
        .iter()
        .filter(|bin| bin.score < bin.interval.0 || bin.score > bin.interval.1)
        .count();
    let description = format!(
        "The share of class 1 against the mean probability in {} bins of about equally many rows, with 95% intervals. In {outside} of them \
         the mean probability is outside of the interval.",
        bins.len()
    );
    let mut plot = Plot::new(
        "Calibration",
        &description,
        ("probability of the model", "share of class 1"),
        4,
        HEIGHT,
    );
    plot.curve(&[(0.0, 0.0), (1.0, 1.0)], "guess");
    let line: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.score, bin.share)).collect();
    plot.curve(&line, "curve faint f0");
    for bin in &bins {
        plot.point((bin.score, bin.share), bin.interval, "f0");
    }
    let rows = scored.labels.len() / bins.len().max(1);
    plot.histogram(&scored.histogram(BARS), HEIGHT);
    plot.explain(
        "curve strong f0",
        &format!("points: about {rows} rows each, with 95% intervals"),
    );
    plot.explain("guess", "perfect calibration");
    plot.explain("block f0", "bars: rows of class 1 by probability");
    plot.explain("block f1", "bars: rows of class 0");
    plot.finish("calibration")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::bundle::card::scored::tests::scored;

    #[test]
    fn each_bin_has_a_point_with_its_interval_and_the_histogram_a_bar_of_each_class() {
        let scores: Vec<f64> = (0..100).map(|at| f64::from(at) / 100.0).collect();
        let labels: Vec<bool> = (0..100).map(|at| at % 3 == 0).collect();
        let figure = calibration(&scored(&scores, &labels));
        assert_eq!(figure.matches("class=\"dot f0\"").count(), 5, "{figure}");
        assert_eq!(figure.matches("class=\"bar f0\"").count(), 5);
        let y_of = |element: &str| -> f64 {
            let text = element
                .split(" y=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            text.unwrap().parse().unwrap()
        };
        let of = |part: &str| {
            figure
                .lines()
                .filter(|line| line.contains(part))
                .map(y_of)
                .collect::<Vec<_>>()
        };
        let lowest_bar = of("<rect").into_iter().fold(0.0, f64::max);
        let legend = of("points: about")[0];
        assert!(
            lowest_bar < legend - 12.0,
            "the legend at {legend} covers the bars at {lowest_bar}"
        );
        for class in ["fill f0", "fill f1"] {
            assert_eq!(figure.matches(&format!("class=\"{class}\"")).count(), BARS);
        }
    }
}
