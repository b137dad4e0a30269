//! The test of how often rows are refused because of a wrong type. Training data has no such rows.

use modelward_wire::DriftAspect;

use super::{
    contract::{DriftTest, Samples, Size},
    rates::{Rate, compare_rates, log_p_of_rise},
};
use crate::{bins::FeatureBins, counts::FeatureCount, sides::Sides};

/// The test of wrong types.
#[derive(Clone, Copy, Debug)]
pub struct TypeErrors;

// === impl TypeErrors ===

impl DriftTest for TypeErrors {
    fn name(&self) -> &'static str {
        "type-errors"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::TypeErrors
    }

    fn weight(&self, _bins: &FeatureBins) -> f64 {
        0.5
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(samples.reference, samples.window, |side| side.type_errors)
    }

    fn log_p(&self, samples: &Samples<'_>, _log_level: f64) -> Option<f64> {
        let [before, now] = [samples.reference, samples.window].map(rate);
        Some(log_p_of_rise(before, now))
    }

    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size> {
        let [before, now] = [samples.reference, samples.window].map(rate);
        compare_rates(before, now, confidence)
    }
}

fn rate(side: &FeatureCount) -> Rate {
    Rate {
        hits: side.type_errors,
        of: side.seen().unwrap_or(u64::MAX).saturating_add(side.type_errors),
    }
}
