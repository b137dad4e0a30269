//! Validation of responses of `/predict`.

use serde::Deserialize;
use serde_json::Value;

/// A good response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Name of the version that answered.
    pub version: String,
}

#[derive(Deserialize)]
struct Body {
    version: String,
    predictions: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Prediction {
    class: u8,
    probability: f64,
    threshold: f64,
}

// === impl Answer ===

impl Answer {
    /// Reads the response to one row (a prediction) or to an array of rows (a version and its predictions). The error says what is
    /// wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
        if !value.is_object() {
            return Err("it is not a JSON object".to_owned());
        }
        let body: Body = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        if body.version.is_empty() {
            return Err("its version is empty".to_owned());
        }
        let predictions = body.predictions.unwrap_or_else(|| vec![value]);
        if predictions.is_empty() {
            return Err("it has no predictions".to_owned());
        }
        for prediction in predictions {
            check(prediction)?;
        }
        Ok(Self {
            version: body.version,
        })
    }
}

fn check(prediction: Value) -> Result<(), String> {
    let Prediction {
        class,
        probability,
        threshold,
    } = serde_json::from_value(prediction).map_err(|error| error.to_string())?;
    if !(0.0..=1.0).contains(&probability) {
        return Err(format!("its probability is {probability}"));
    }
    if class != u8::from(probability >= threshold) {
        return Err(format!(
            "its class is {class} at probability {probability} and threshold {threshold}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_prediction_and_an_array_of_them_are_good() {
        let one =
            br#"{"class": 1, "probability": 0.75, "threshold": 0.5, "model": "heart", "version": "heart-1"}"#;
        assert_eq!(Answer::parse(one).unwrap().version, "heart-1");
        let many =
            br#"{"version": "heart-2", "predictions": [{"class": 0, "probability": 0.1, "threshold": 0.5}]}"#;
        assert_eq!(Answer::parse(many).unwrap().version, "heart-2");
    }

    #[test]
    fn an_answer_that_lacks_something_says_what() {
        for (body, sentence) in [
            ("", "not JSON"),
            (r#"["heart-1"]"#, "not a JSON object"),
            (
                r#"{"class": 1, "probability": 0.7, "threshold": 0.5}"#,
                "missing field `version`",
            ),
            (
                r#"{"version": "", "class": 1, "probability": 0.7, "threshold": 0.5}"#,
                "version is empty",
            ),
            (
                r#"{"version": "a", "probability": 0.7, "threshold": 0.5}"#,
                "missing field `class`",
            ),
            (
                r#"{"version": "a", "class": 1, "threshold": 0.5}"#,
                "missing field `probability`",
            ),
            (
                r#"{"version": "a", "class": 1, "probability": 7, "threshold": 0.5}"#,
                "probability is 7",
            ),
            (
                r#"{"version": "a", "class": 0, "probability": 0.7, "threshold": 0.5}"#,
                "class is 0",
            ),
            (r#"{"version": "a", "predictions": []}"#, "no predictions"),
            (r#"{"version": "a", "predictions": [{}]}"#, "missing field"),
        ] {
            let error = Answer::parse(body.as_bytes()).expect_err(body);
            assert!(error.contains(sentence), "{body}: {error}");
        }
    }
}
