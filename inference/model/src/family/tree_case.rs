//! Test cases of trees: rows with the scores of the library, in a file next to the model.

use std::fmt::Write as _;

use serde_json::Value;

/// The rows of a case as a CSV file: the features, categories as their codes, then the columns `expected` (a probability) and
/// `expected_raw`. `None` if this is not a valid case.
pub fn to_csv(case: &Value) -> Option<String> {
    let features = case["schema"]["features"].as_array()?.iter();
    let names: Vec<&str> = features
        .map(|feature| feature["name"].as_str())
        .collect::<Option<_>>()?;
    let mut csv = format!("{},expected,expected_raw\n", names.join(","));
    for (at, row) in case["rows"].as_array()?.iter().enumerate() {
        for cell in row.as_array()? {
            write!(csv, "{},", cell_as_text(cell)?).ok()?;
        }
        let score = |of: &str| number_as_text(case[of][at].as_str()?);
        writeln!(csv, "{},{}", score("probability")?, score("raw")?).ok()?;
    }
    Some(csv)
}

fn cell_as_text(cell: &Value) -> Option<String> {
    match cell {
        Value::Null => Some(String::new()),
        // A category that the schema does not have.
        Value::String(text) if text == "?" => Some("99".to_owned()),
        Value::String(bits) => number_as_text(bits),
        code => Some(code.to_string()),
    }
}

/// A number in the form of its library: 16 digits in double precision, or 8 in single precision.
fn number_as_text(bits: &str) -> Option<String> {
    let number = u64::from_str_radix(bits, 16).ok()?;
    match bits.len() {
        16 => Some(f64::from_bits(number).to_string()),
        _ => Some(f32::from_bits(u32::try_from(number).ok()?).to_string()),
    }
}
