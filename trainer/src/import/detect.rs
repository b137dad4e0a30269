//! Which format a file has, by its content and never by its name.

use super::{
    contract::{ImportError, ModelFormat},
    lightgbm, onnx,
    refused::find_refused,
    xgboost,
};

/// The formats that are imported.
pub const FORMATS: [&dyn ModelFormat; 4] = [
    &lightgbm::Text,
    &xgboost::Json,
    &xgboost::Ubjson,
    &onnx::SklearnOnnx,
];

/// The format of a file; otherwise a sentence that says what the file is and what to export instead.
pub fn detect_format(bytes: &[u8]) -> Result<&'static dyn ModelFormat, ImportError> {
    // First, because a file that is refused may look like one that is read.
    if let Some(refused) = find_refused(bytes) {
        return Err(ImportError::Refused(refused.describe()));
    }
    let found = FORMATS.iter().find(|format| format.recognises(bytes));
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name()).collect();
        ImportError::Refused(format!(
            "the model file is in no format that is imported ({}, or the directory of a bundle); save it with \
             booster.save_model(\"model.txt\") of LightGBM, booster.save_model(\"model.ubj\") of XGBoost or skl2onnx.to_onnx",
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn each_format_is_recognised_by_its_content() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/model/tests");
        for (file, name) in [
            ("trees/lightgbm.txt", "LightGBM text"),
            ("trees/xgboost.json", "XGBoost JSON"),
            ("trees/xgboost-ubjson.ubj", "XGBoost UBJSON"),
            ("onnx/logistic.onnx", "ONNX"),
            ("onnx/named.onnx", "ONNX"),
        ] {
            let bytes = fs::read(folder.join(file)).unwrap();
            assert_eq!(detect_format(&bytes).unwrap().name(), name, "{file}");
        }
        for text in ["", "age,sex\n1,2\n", "{}", "[1]"] {
            let error = detect_format(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with("the model file is in no format that is imported"),
                "{error}"
            );
        }
    }
}
