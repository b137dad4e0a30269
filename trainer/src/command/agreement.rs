//! Whether a snapshot was taken as a spec that names it asks. Its files are not read again, so what it was taken without is refused.

use modelward_crds::{FeatureSpec, TrainingSource};
use modelward_model::{Feature, FeatureKind, canonical_category};
use modelward_wire::Decimal;

use crate::data::{expectations::find_unanswered, snapshot::Snapshot};

/// What the spec asks of its data and the snapshot does not have. A spec may ask for less than the snapshot has.
pub(super) fn find_disagreement(training: &TrainingSource, snapshot: &Snapshot) -> Option<String> {
    let features = &snapshot.data.schema.features;
    if let Some(feature) = features
        .iter()
        .find(|feature| !training.is_feature(&feature.name))
    {
        return Some(format!(
            "the snapshot has the feature {:?}, which the spec excludes",
            feature.name
        ));
    }
    let declared = training.features.iter().find_map(|declared| {
        let feature = features.iter().find(|feature| feature.name == declared.name)?;
        compare_feature(declared, feature).or_else(|| check_missing(declared, snapshot))
    });
    declared.or_else(|| find_unanswered(&training.expectations, snapshot.expectations.as_ref()))
}

/// What is declared of a feature otherwise than the snapshot has it.
fn compare_feature(declared: &FeatureSpec, feature: &Feature) -> Option<String> {
    let name = &declared.name;
    if declared.required != feature.required {
        let word = |required| if required { "required" } else { "optional" };
        return Some(format!(
            "the spec declares the feature {name:?} {}, in the snapshot it is {}",
            word(declared.required),
            word(feature.required)
        ));
    }
    let what = match &feature.kind {
        FeatureKind::Numeric { min, max } => {
            let range = declared.range.as_ref()?;
            // Servers compare bounds as 32-bit floats.
            let is_kept = |asked: Option<&Decimal>, kept: Option<f64>| {
                asked.is_none_or(|asked| kept.is_some_and(|kept| asked.to_f64() as f32 == kept as f32))
            };
            let same = is_kept(range.min.as_ref(), *min) && is_kept(range.max.as_ref(), *max);
            (!same).then_some("another range")
        }
        FeatureKind::Categorical { categories } => {
            let asked = declared.categories.as_ref()?.iter();
            let asked = asked.map(|word| canonical_category(word));
            let same = asked.eq(categories.iter().map(|word| canonical_category(word)));
            (!same).then_some("other categories")
        }
    };
    what.map(|what| format!("the spec declares {what} of the feature {name:?} than the snapshot has"))
}

/// Whether more rows of the snapshot lack a feature than the spec allows.
fn check_missing(declared: &FeatureSpec, snapshot: &Snapshot) -> Option<String> {
    let most = declared.max_missing_ratio.as_ref()?;
    let name = &declared.name;
    let column = snapshot.info.columns.iter().find(|column| column.name == *name)?;
    let (missing, rows) = (column.missing, snapshot.info.rows);
    (missing as f64 > most.to_f64() * rows as f64).then(|| {
        format!("{missing} of {rows} rows of the snapshot lack the feature {name:?}, the spec allows a share of {most}")
    })
}
