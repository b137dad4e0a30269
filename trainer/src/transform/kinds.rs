//! The file of each kind of transform.

use modelward_crds::{TransformSpec, TransformType};

use super::{
    bins::Bins, clip::Clip, contract::TransformKind, frequency_encode::FrequencyEncode, impute::Impute,
    log::Log, one_hot::OneHot, ordinal::Ordinal, pair::Pair, standardize::Standardize,
    target_encode::TargetEncode,
};

/// The kind of a transform with the arguments of a checked spec.
pub fn of(spec: &TransformSpec) -> Box<dyn TransformKind> {
    match spec.r#type {
        TransformType::Impute => Box::new(Impute::new(spec)),
        TransformType::Standardize => Box::new(Standardize),
        TransformType::OneHot => Box::new(OneHot),
        TransformType::Ordinal => Box::new(Ordinal::new(spec)),
        TransformType::TargetEncode => Box::new(TargetEncode::new(spec)),
        TransformType::FrequencyEncode => Box::new(FrequencyEncode),
        TransformType::Log => Box::new(Log::new(spec)),
        TransformType::Clip => Box::new(Clip::new(spec)),
        TransformType::Bins => Box::new(Bins::new(spec)),
        TransformType::Ratio => Box::new(Pair::Ratio),
        TransformType::Product => Box::new(Pair::Product),
    }
}
