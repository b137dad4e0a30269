//! A square with two axes from 0 to 1, and what is drawn into it.

use super::svg::{Anchor, Svg};

/// Points of a curve, at most.
const MOST_POINTS: usize = 200;

const LEFT: f64 = 52.0;
const TOP: f64 = 12.0;
const SIDE: f64 = 320.0;

/// The height of a line of the legend.
const LINE: f64 = 20.0;

/// The width of every plot.
pub(super) const WIDTH: f64 = 400.0;

/// A plot of shares against shares.
#[derive(Debug)]
pub(super) struct Plot {
    svg: Svg,
    legend: f64,
}

// === impl Plot ===

impl Plot {
    /// Axes with these labels, room below them for this many lines of a legend and this many pixels of other things.
    pub(super) fn new(
        title: &str,
        description: &str,
        labels: (&str, &str),
        legend: usize,
        below: f64,
    ) -> Self {
        let height = TOP + SIDE + 48.0 + LINE * legend as f64 + below;
        let mut svg = Svg::new(WIDTH, height, title, description);
        for step in 0..=5_u8 {
            let share = f64::from(step) / 5.0;
            let (x, y) = place((share, share));
            svg.line((LEFT, y), (LEFT + SIDE, y), "grid");
            svg.line((x, TOP), (x, TOP + SIDE), "grid");
            let text = format!("{share:.1}");
            svg.text((LEFT - 7.0, y + 4.0), Anchor::End, &text);
            svg.text((x, TOP + SIDE + 17.0), Anchor::Middle, &text);
        }
        svg.line(place((0.0, 0.0)), place((1.0, 0.0)), "axis");
        svg.line(place((0.0, 0.0)), place((0.0, 1.0)), "axis");
        svg.text((LEFT + SIDE / 2.0, TOP + SIDE + 36.0), Anchor::Middle, labels.0);
        svg.vertical_text((14.0, TOP + SIDE / 2.0), labels.1);
        Self {
            svg,
            legend: TOP + SIDE + 60.0,
        }
    }

    /// A line through points of shares.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], class: &str) {
        self.svg.polyline(points.iter().map(|point| place(*point)), class);
    }

    /// A point with a bar from one height to another.
    pub(super) fn point(&mut self, at: (f64, f64), bar: (f64, f64), class: &str) {
        let (low, high) = (place((at.0, bar.0)), place((at.0, bar.1)));
        self.svg.line(low, high, &format!("bar {class}"));
        self.svg.circle(place(at), 4.0, &format!("dot {class}"));
    }

    /// A ring around a point.
    pub(super) fn ring(&mut self, at: (f64, f64), class: &str) {
        self.svg.circle(place(at), 6.0, &format!("ring {class}"));
    }

    /// One more line of the legend.
    pub(super) fn explain(&mut self, class: &str, text: &str) {
        let y = self.legend;
        self.svg.line((LEFT, y), (LEFT + 30.0, y), class);
        self.svg.label((LEFT + 38.0, y + 4.0), Anchor::Start, 50, text);
        self.legend += LINE;
    }

    /// Bars of a histogram below what is there, each of two parts: rows of class 1 at the bottom, of class 0 above them.
    pub(super) fn histogram(&mut self, bins: &[(u64, u64)], height: f64) {
        let most = bins.iter().map(|(up, down)| up + down).max().unwrap_or(0).max(1) as f64;
        let base = self.legend + height - 20.0;
        let width = SIDE / bins.len().max(1) as f64;
        let scale = (height - 16.0) / most;
        for (at, (up, down)) in bins.iter().enumerate() {
            let x = LEFT + width * at as f64;
            let (up, down) = (*up as f64 * scale, *down as f64 * scale);
            self.svg
                .rect((x + 0.5, base - up), (width - 1.0, up), "fill f0", 0.9);
            self.svg
                .rect((x + 0.5, base - up - down), (width - 1.0, down), "fill f1", 0.55);
        }
        self.svg.line((LEFT, base), (LEFT + SIDE, base), "axis");
        self.svg.vertical_text((14.0, base - height / 2.0 + 8.0), "rows");
        self.svg.text(
            (LEFT - 7.0, base - height + 22.0),
            Anchor::End,
            &format!("{most:.0}"),
        );
        self.legend += height;
    }

    pub(super) fn finish(self, key: &str) -> String {
        self.svg.finish(key)
    }
}

/// The place of shares.
fn place((x, y): (f64, f64)) -> (f64, f64) {
    (
        LEFT + SIDE * x.clamp(0.0, 1.0),
        TOP + SIDE * (1.0 - y.clamp(0.0, 1.0)),
    )
}

/// Some of the points of a curve, the first and the last among them: each is a little farther along than the one before.
pub(super) fn thin(points: &[(f64, f64)], length: impl Fn((f64, f64), (f64, f64)) -> f64) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let whole: f64 = points.windows(2).map(|ends| length(ends[0], ends[1])).sum();
    let step = whole / (MOST_POINTS - 2) as f64;
    let (mut kept, mut so_far, mut next) = (vec![points[0]], 0.0, step);
    for ends in points.windows(2) {
        so_far += length(ends[0], ends[1]);
        if so_far >= next {
            kept.push(ends[1]);
            next = so_far + step;
        }
    }
    if kept.last() != points.last() {
        kept.extend(points.last());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_of_many_points_keeps_few_with_both_ends() {
        let points: Vec<(f64, f64)> = (0..=5000)
            .map(|at| f64::from(at) / 5000.0)
            .map(|x| (x, x * x))
            .collect();
        let along = |from: (f64, f64), to: (f64, f64)| (to.0 - from.0) + (to.1 - from.1);
        let kept = thin(&points, along);
        assert!((150..=MOST_POINTS).contains(&kept.len()), "{}", kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
        assert_eq!(thin(&points[..100], along).len(), 100);
    }
}
