//! Specs in YAML and JSON.

use modelward_service::chain;
use modelward_trainer::spec::{SpecError, parse};

use super::Target;

const HEART: &str = include_str!("../../../../manifests/samples/heart-1.yaml");

const WHOLE: &str = r#"{"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "a-1"}, "spec": {"model": "a",
"source": {"training": {"dataset": {"uri": "https://example.org/a.csv", "csv": {"delimiter": ";", "decimal": ",", "thousands": ".",
"missing": ["NA"], "rename": [{"position": 1, "to": "row"}]}}, "target": {"column": "y", "positiveWhen": {"equals": "yes"},
"negativeValues": ["no"]}, "features": [{"name": "age", "kind": "Numeric", "range": {"min": "0", "max": "1e2"}, "monotone": "Increasing"}],
"exclude": ["row"], "families": ["XGBoost", "LightGBM"], "hyperparameters": {"xgboost": {"maxDepth": 3, "learningRate": "0.1"}},
"weights": {"classes": "Balanced"}, "validation": {"folds": 5, "repeats": 2, "groupBy": "g", "heldOut": {"fraction": "0.2"}},
"search": {"trials": 30, "seed": 1, "timeLimitSeconds": 60}, "threshold": {"cost": {"falsePositive": "1", "falseNegative": "5"}},
"calibration": "Platt", "gates": [{"metric": "F1", "atLeast": "0.7", "standardErrors": "1"}],
"expectations": [{"type": "ExpectColumnValuesToMatchRegex", "column": "ward", "regex": "^[A-Z][0-9]{2}$", "mostly": "0.9"},
{"type": "ExpectColumnValuesToBeBetween", "column": "age", "minValue": "18", "severity": "Warning"}]}}, "serving": {"access": "Open"}}}"#;

#[derive(Debug)]
pub(super) struct SpecFile;

impl Target for SpecFile {
    fn name(&self) -> &'static str {
        "spec"
    }

    fn run(&self, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        match parse(text) {
            Ok(spec) => assert!(!spec.training.families.is_empty()),
            Err(SpecError::Invalid(all)) => assert!(!all.is_empty() && all.iter().all(|one| !one.is_empty())),
            Err(error) => assert!(chain(&error).len() > 10, "{error}"),
        }
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        let documents = HEART
            .split("\n---\n")
            .map(|document| document.as_bytes().to_vec());
        documents.chain([WHOLE.as_bytes().to_vec()]).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "&a ",
            "*a",
            "<<: *a",
            "!!binary ",
            "? ",
            "|\n",
            ">\n",
            "---\n",
            "{",
            "}",
            "[",
            "]",
            "null",
            "1e99999",
            "0x10",
            "0o7",
            "\"0.5\"",
            "families: ",
            "search: ",
            "expectations: ",
            "regex: \"(a{1000}){1000}\"",
            "%YAML 1.2\n",
            "\t",
            "y: no",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        (8 << 20) + 2000 * input
    }
}
