//! `MLmodel`: the description that MLflow reads.

use std::fmt::Write as _;

use modelward_model::{BUNDLE_FORMAT, BundleInfo, FeatureKind, FeatureSchema, bundle::file};

/// `MLflow`'s description without its time, run id and uuid, which would change the digest every time.
pub(crate) fn mlmodel<'a>(
    schema: &FeatureSchema,
    info: &BundleInfo,
    of_model: impl Iterator<Item = &'a str>,
) -> Result<String, serde_json::Error> {
    let inputs: Vec<serde_json::Value> = schema
        .features
        .iter()
        .map(|feature| {
            let kind = match feature.kind {
                FeatureKind::Numeric { .. } => "float",
                FeatureKind::Categorical { .. } => "string",
            };
            serde_json::json!({"name": feature.name, "type": kind, "required": feature.required})
        })
        .collect();
    let outputs = serde_json::json!([{"name": "probability", "type": "double", "required": true}]);
    // A JSON text is a YAML text: names from the data need no further escaping.
    let text = |value: &serde_json::Value| serde_json::to_string(&value.to_string());
    let quoted = |value: &str| serde_json::to_string(value);
    let mut files = String::new();
    for name in std::iter::once(file::SCHEMA).chain(of_model) {
        let key = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let _ = writeln!(files, "    {key}: {}", quoted(name)?);
    }
    let snapshot = match info.snapshot {
        Some(digest) => format!("  snapshot: {}\n", quoted(&digest.to_string())?),
        None => String::new(),
    };
    Ok(format!(
        "flavors:\n  modelward:\n    bundle_format: {BUNDLE_FORMAT}\n    family: {}\n{files}    \
         threshold: {}\nmetadata:\n  model: {}\n{snapshot}signature:\n  inputs: {}\n  outputs: {}\n",
        quoted(&info.family)?,
        quoted(info.threshold.as_str())?,
        quoted(&info.model)?,
        text(&inputs.into())?,
        text(&outputs)?,
    ))
}
