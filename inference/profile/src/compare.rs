//! Makes a comparison from a p-value and a size: whether something has changed, and by how much.

use modelward_wire::DriftVerdict;

use crate::{
    judgement::{Comparison, Effect},
    number::Exact,
    rule::Rule,
    sides::Sides,
    test::Size,
};

/// Effects and evidence are rounded to 6 decimal places.
const PLACES: f64 = 1e6;
/// The largest value of evidence, practically certainty.
const MOST_EVIDENCE: f64 = 1e6;
/// A size is computed if −log of the p-value is at least this, for a p-value of about one in twenty.
const WORTH_A_SIZE: f64 = 3.0;

/// The result of one test over some of the newest windows. `log_p` is `None` if the test cannot decide.
pub(crate) fn comparison(
    windows: u64,
    counts: Sides,
    tolerance: Exact<f64>,
    log_p: Option<f64>,
    log_level: f64,
    size: impl Fn(f64) -> Option<Size>,
    rule: &Rule,
) -> Comparison {
    let log_threshold = Exact::of(rounded(-log_level));
    let log_evidence = log_p.map(|log_p| Exact::of(rounded((-log_p).clamp(0.0, MOST_EVIDENCE))));
    let is_worth_it = log_evidence.is_some_and(|evidence| evidence.get() >= WORTH_A_SIZE);
    let effect = is_worth_it
        .then(|| size(rule.confidence.get()))
        .flatten()
        .map(|size| Effect {
            estimate: Exact::of(rounded(size.estimate)),
            lower: Exact::of(rounded(size.lower)),
            upper: Exact::of(rounded(size.upper)),
        });
    let mut comparison = Comparison {
        verdict: DriftVerdict::NoDrift,
        windows,
        counts,
        tolerance,
        log_evidence,
        log_threshold,
        effect,
    };
    if log_evidence.is_none() {
        comparison.verdict = DriftVerdict::InsufficientData;
    } else if comparison.has_changed() && effect.is_some_and(|effect| effect.lower >= tolerance) {
        comparison.verdict = DriftVerdict::Drift;
    }
    comparison
}

/// The nearest number with 6 decimal places. Halves are rounded away from zero.
pub(crate) fn rounded(value: f64) -> f64 {
    // Avoids a negative zero, which is formatted differently.
    (value * PLACES).round() / PLACES + 0.0
}
