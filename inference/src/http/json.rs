//! Reads JSON bodies, including common deviations from JSON, without holding more of them than is needed.
//!
//! A body has at most some megabytes, but a tree of its values could be fifty times as large. So rows are passed on
//! one by one, and what no schema could use (nested values, thousands of names) is skipped.

use std::{borrow::Cow, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problem::Problem;
use crate::bounds::Bounds;

/// The JSON text of a body: `NaN`, which Python's `json` and tritonclient write for a missing value, is `null`.
#[derive(Debug)]
pub struct Text<'a> {
    bytes: Cow<'a, [u8]>,
    /// Offsets in `bytes` after each `null` that was a `NaN`, to report columns as the sender counts them.
    shifts: Vec<usize>,
}

/// One element of a body that should be a row.
#[derive(Debug)]
pub enum RowBody {
    /// An object. Nested values have lost their content.
    Fields {
        /// The first value of each name.
        fields: Map<String, Value>,
        /// The first repeated name.
        repeated: Option<String>,
        /// Whether there were more names than `max_fields`. The further ones are not in `fields`.
        too_many: bool,
    },
    /// Something else: `a number`, `an array`, ….
    Other(&'static str),
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object.
    One,
    /// An array with this many elements. Those after `max_rows` were not passed on.
    Many(usize),
    /// Neither.
    Other(&'static str),
}

// === impl Text ===

impl<'a> Text<'a> {
    /// Reads a body as text. `Infinity` is refused: no row with it can be scored.
    pub fn new(body: &'a [u8]) -> Result<Self, Problem> {
        if !body.iter().any(|byte| matches!(byte, b'N' | b'I')) {
            return Ok(Self {
                bytes: Cow::Borrowed(body),
                shifts: Vec::new(),
            });
        }
        let mut bytes: Cow<'_, [u8]> = Cow::Borrowed(body);
        let mut shifts = Vec::new();
        let (mut at, mut in_string) = (0, false);
        while let Some(&byte) = body.get(at) {
            let rest = &body[at..];
            let mut step = 1;
            match byte {
                b'"' => in_string = !in_string,
                b'\\' if in_string => step = 2,
                b'N' if !in_string && rest.starts_with(b"NaN") => {
                    if shifts.is_empty() {
                        // The largest possible size, because growing would copy it repeatedly.
                        let mut copy = Vec::with_capacity(body.len() + body.len() / 3 + 1);
                        copy.extend_from_slice(&body[..at]);
                        bytes = Cow::Owned(copy);
                    }
                    let bytes = bytes.to_mut();
                    bytes.extend_from_slice(b"null");
                    shifts.push(bytes.len());
                    at += 3;
                    continue;
                }
                b'I' if !in_string && rest.starts_with(b"Infinity") => {
                    let (line, column) = position(body, at);
                    return Err(Problem::malformed(format!(
                        "Infinity at line {line} column {column} cannot be scored; write null for a missing value"
                    )));
                }
                _ => {}
            }
            let end = body.len().min(at + step);
            if let Cow::Owned(bytes) = &mut bytes {
                bytes.extend_from_slice(&body[at..end]);
            }
            at = end;
        }
        Ok(Self { bytes, shifts })
    }

    /// Parses the whole text with this seed.
    pub fn parse<'s, S: DeserializeSeed<'s>>(&'s self, seed: S) -> Result<S::Value, Problem> {
        let mut deserializer = serde_json::Deserializer::from_slice(&self.bytes);
        seed.deserialize(&mut deserializer)
            .and_then(|value| deserializer.end().map(|()| value))
            .map_err(|error| self.problem(&error))
    }

    fn problem(&self, error: &serde_json::Error) -> Problem {
        if self.bytes.iter().all(u8::is_ascii_whitespace) {
            return Problem::malformed("the body is empty; send JSON".to_owned());
        }
        let message = error.to_string();
        let (line, column) = (error.line(), error.column());
        let about = if error.is_data() {
            ""
        } else {
            "the body cannot be read as JSON: "
        };
        let reason = message
            .strip_suffix(&format!(" at line {line} column {column}"))
            .unwrap_or(&message);
        if line == 0 {
            return Problem::malformed(format!("{about}{reason}"));
        }
        let line_start = self
            .bytes
            .split_inclusive(|byte| *byte == b'\n')
            .take(line - 1)
            .map(<[u8]>::len)
            .sum::<usize>();
        let shift = self
            .shifts
            .iter()
            .filter(|end| (line_start..line_start + column).contains(end))
            .count();
        Problem::malformed(format!(
            "{about}{reason} at line {line} column {}",
            column.saturating_sub(shift)
        ))
    }
}

fn position(body: &[u8], at: usize) -> (usize, usize) {
    let before = &body[..at];
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    (before.split(|byte| *byte == b'\n').count(), at - line_start + 1)
}

// === impl Bounds ===

impl Bounds {
    /// Passes each row of the body to `sink` with its index, up to `max_rows` rows.
    pub fn read_rows<'s>(
        self,
        text: &'s Text<'_>,
        sink: &'s mut dyn FnMut(usize, RowBody),
    ) -> Result<Form, Problem> {
        text.parse(BodySeed { bounds: self, sink })
    }
}

struct BodySeed<'s> {
    bounds: Bounds,
    sink: &'s mut dyn FnMut(usize, RowBody),
}

/// Implements the visitor methods for every kind of value that is not a container.
macro_rules! scalars {
    ($other:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($other("a boolean"))
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($other("a number"))
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($other("a number"))
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($other("a number"))
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($other("a text"))
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($other("null"))
        }
    };
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Form;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Form, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of named features, or an array of them")
    }

    scalars!(Form::Other);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Form, A::Error> {
        let row = RowSeed {
            max_fields: self.bounds.max_fields,
        }
        .visit_map(map)?;
        (self.sink)(0, row);
        Ok(Form::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Form, A::Error> {
        let mut count = 0;
        while count < self.bounds.max_rows {
            match seq.next_element_seed(RowSeed {
                max_fields: self.bounds.max_fields,
            })? {
                Some(row) => (self.sink)(count, row),
                None => return Ok(Form::Many(count)),
            }
            count += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Form::Many(count))
    }
}

struct RowSeed {
    max_fields: usize,
}

impl<'de> DeserializeSeed<'de> for RowSeed {
    type Value = RowBody;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RowBody, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed {
    type Value = RowBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of named features")
    }

    scalars!(RowBody::Other);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RowBody, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RowBody::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RowBody, A::Error> {
        let mut fields = Map::new();
        let mut repeated = None;
        while fields.len() < self.max_fields {
            let Some(name) = map.next_key::<String>()? else {
                return Ok(RowBody::Fields {
                    fields,
                    repeated,
                    too_many: false,
                });
            };
            let value = map.next_value_seed(FlatValue)?;
            if fields.contains_key(&name) {
                repeated.get_or_insert(name);
            } else {
                fields.insert(name, value);
            }
        }
        let mut too_many = false;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            too_many = true;
        }
        Ok(RowBody::Fields {
            fields,
            repeated,
            too_many,
        })
    }
}

/// A value without the content of its arrays and objects.
struct FlatValue;

impl<'de> DeserializeSeed<'de> for FlatValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FlatValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // serde_json refuses numbers that do not fit into a double, so this one is finite.
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object(Map::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        max_rows: 3,
        max_fields: 4,
        max_values: 1000,
    };

    fn rows(body: &str) -> Result<(Form, Vec<String>), Problem> {
        let text = Text::new(body.as_bytes())?;
        let mut rows = Vec::new();
        let form = BOUNDS.read_rows(&text, &mut |index, row| {
            rows.push(match row {
                RowBody::Fields {
                    fields,
                    repeated,
                    too_many,
                } => {
                    format!("{index} {} {repeated:?} {too_many}", Value::Object(fields))
                }
                RowBody::Other(kind) => format!("{index} {kind}"),
            });
        })?;
        Ok((form, rows))
    }

    fn error(body: &str) -> String {
        rows(body).unwrap_err().message
    }

    #[test]
    fn an_object_is_one_row_and_an_array_many() {
        assert_eq!(
            rows(r#"{"a": 1}"#).unwrap(),
            (Form::One, vec![r#"0 {"a":1} None false"#.into()])
        );
        let (form, found) = rows(r#"[{"a": null}, 7, []]"#).unwrap();
        assert_eq!(form, Form::Many(3));
        assert_eq!(found, [r#"0 {"a":null} None false"#, "1 a number", "2 an array"]);
        assert_eq!(rows("\"x\"").unwrap().0, Form::Other("a text"));
    }

    #[test]
    fn rows_names_and_nested_content_beyond_the_bounds_are_skipped_and_counted() {
        let (form, found) = rows("[{},{},{},{},{\"a\":[1]}]").unwrap();
        assert_eq!((form, found.len()), (Form::Many(5), 3));
        let (_, found) = rows(r#"{"a":[1,2],"b":{"c":1},"c":3,"d":4,"e":5}"#).unwrap();
        assert_eq!(found, [r#"0 {"a":[],"b":{},"c":3,"d":4} None true"#]);
    }

    #[test]
    fn a_name_that_comes_twice_is_reported() {
        assert_eq!(
            rows(r#"{"a":1,"a":2}"#).unwrap().1,
            [r#"0 {"a":1} Some("a") false"#]
        );
    }

    #[test]
    fn nan_is_null_outside_of_texts_only() {
        let (_, found) = rows(r#"{"NaN": NaN, "b": "\"NaN", "c":"Infinity"}"#).unwrap();
        assert_eq!(found, [r#"0 {"NaN":null,"b":"\"NaN","c":"Infinity"} None false"#]);
    }

    #[test]
    fn infinity_is_refused_with_its_place() {
        assert_eq!(
            error("{\"a\":\n -Infinity}"),
            "Infinity at line 2 column 3 cannot be scored; write null for a missing value"
        );
    }

    #[test]
    fn a_syntax_error_has_the_line_and_column_that_the_sender_counts() {
        assert_eq!(
            error("{\"a\": 1,}"),
            "the body cannot be read as JSON: trailing comma at line 1 column 9"
        );
        assert_eq!(
            error("{\"a\": NaN, \"b\": NaN,}"),
            "the body cannot be read as JSON: trailing comma at line 1 column 21"
        );
        assert_eq!(
            error("{\"a\": NaN,\n\"b\": NaN,}"),
            "the body cannot be read as JSON: trailing comma at line 2 column 10"
        );
        assert_eq!(error(" \n"), "the body is empty; send JSON");
        assert!(error("{} {}").starts_with("the body cannot be read as JSON: trailing characters at line 1"));
        // Skipped content is read without recursion, at any depth.
        assert!(
            error(&"[".repeat(100_000)).starts_with("the body cannot be read as JSON: EOF while parsing")
        );
    }

    #[test]
    fn a_number_that_no_double_holds_is_refused() {
        assert!(error(r#"{"a": 1e999}"#).starts_with("the body cannot be read as JSON: number out of range"));
    }
}
