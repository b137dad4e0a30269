//! Families of models, as they are trained. Each is one file here, and one in `modelward-model`.
//!
//! Learning how values are prepared belongs to the family: [`encode`] is there for linear families.

mod contract;
pub mod encode;
pub mod logistic;

use modelward_crds::Family;

pub use contract::{FitError, FittedModel, ModelReport, Parameter, Parameters, TrainableFamily};

/// The family that a spec names.
pub fn of(family: Family) -> &'static dyn TrainableFamily {
    match family {
        Family::LogisticRegression => &logistic::LogisticRegression,
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::family::BUILT_IN;

    use super::*;

    #[test]
    fn every_family_of_the_api_is_trained_and_served_under_its_name() {
        for family in Family::ALL {
            assert_eq!(of(family).served().name(), family.as_str());
        }
        assert_eq!(BUILT_IN.names(), Family::NAMES);
    }
}
