//! Elements of tensors by datatype, in JSON and in binary.

use std::{borrow::Cow, fmt};

use modelward_model::{Cell, FeatureKind};

use super::super::problem::quoted;

/// One element of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Element<'a> {
    Missing,
    Number(f64),
    Single(f32),
    Integer(i64),
    Unsigned(u64),
    Bool(bool),
    Text(Cow<'a, str>),
}

/// A supported datatype of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datatype {
    Bool,
    /// Its number of bytes, and whether it is signed.
    Integer(usize, bool),
    Fp32,
    Fp64,
    Bytes,
}

// === impl Element ===

impl Element<'_> {
    /// The element as a value of a feature.
    pub(super) fn cell(&self, kind: &FeatureKind) -> Cell<'_> {
        match (self, kind) {
            (Self::Missing, _) => Cell::Missing,
            (Self::Number(number), _) => Cell::Number(*number),
            (Self::Single(number), _) => Cell::Single(*number),
            (Self::Integer(number), _) => Cell::Integer(*number),
            (Self::Unsigned(number), _) => Cell::Unsigned(*number),
            // BOOL is a number in this protocol. In the flat JSON of /predict it is a wrong type.
            (Self::Bool(value), FeatureKind::Numeric { .. }) => Cell::Number(f64::from(u8::from(*value))),
            (Self::Bool(value), FeatureKind::Categorical { .. }) => Cell::Bool(*value),
            (Self::Text(text), _) => Cell::Text(text),
        }
    }
}

// === impl Datatype ===

impl Datatype {
    /// The datatype with this name. The error says what is wrong with it.
    pub(super) fn read(name: &str) -> Result<Self, String> {
        Ok(match name {
            "BOOL" => Self::Bool,
            "INT8" => Self::Integer(1, true),
            "INT16" => Self::Integer(2, true),
            "INT32" => Self::Integer(4, true),
            "INT64" => Self::Integer(8, true),
            "UINT8" => Self::Integer(1, false),
            "UINT16" => Self::Integer(2, false),
            "UINT32" => Self::Integer(4, false),
            "UINT64" => Self::Integer(8, false),
            "FP32" => Self::Fp32,
            "FP64" => Self::Fp64,
            "BYTES" => Self::Bytes,
            "FP16" | "BF16" => return Err(format!("datatype {name} is not supported; send FP32")),
            other => {
                return Err(format!(
                    "unknown datatype {}; expected BOOL, INT8 to INT64, UINT8 to UINT64, FP32, FP64 or BYTES",
                    quoted(other)
                ));
            }
        })
    }

    /// Checks that each element has this type, and converts it. A missing element has every type.
    pub(super) fn check(self, elements: &mut [Element<'_>]) -> Result<(), String> {
        for (index, element) in elements.iter_mut().enumerate() {
            if let Err(found) = self.check_one(element) {
                return Err(format!("element {index} is {found}, expected {self}"));
            }
        }
        Ok(())
    }

    /// The error says what was found.
    fn check_one(self, element: &mut Element<'_>) -> Result<(), String> {
        match (self, &*element) {
            (_, Element::Missing)
            | (Self::Bool, Element::Bool(_))
            | (Self::Fp32, Element::Single(_))
            | (Self::Fp32 | Self::Fp64, Element::Integer(_) | Element::Unsigned(_))
            | (Self::Fp64, Element::Number(_))
            // Numbers may be the names of categories.
            | (
                Self::Bytes,
                Element::Text(_) | Element::Number(_) | Element::Integer(_) | Element::Unsigned(_),
            ) => Ok(()),
            (Self::Fp32, Element::Number(number)) => {
                let single = *number as f32;
                // A number that does not fit into a float is refused later, with its original digits.
                if single.is_finite() {
                    *element = Element::Single(single);
                }
                Ok(())
            }
            (Self::Bool, Element::Integer(value @ (0 | 1))) => {
                *element = Element::Bool(*value == 1);
                Ok(())
            }
            (Self::Bool, Element::Number(number)) if *number == 0.0 || *number == 1.0 => {
                *element = Element::Bool(*number == 1.0);
                Ok(())
            }
            (Self::Integer(bytes, signed), Element::Integer(number)) => {
                integer_fits(i128::from(*number), bytes, signed).ok_or_else(|| number.to_string())
            }
            (Self::Integer(bytes, signed), Element::Unsigned(number)) => {
                integer_fits(i128::from(*number), bytes, signed).ok_or_else(|| number.to_string())
            }
            (Self::Integer(bytes, signed), Element::Number(number)) => {
                let bits = i32::try_from(8 * bytes - usize::from(signed)).unwrap_or(63);
                let end = 2_f64.powi(bits);
                let start = if signed { -end } else { 0.0 };
                // With 64 bits the end itself is accepted, because the largest integer is rounded up to it.
                let below = *number < end || (bytes == 8 && *number == end);
                (number.fract() == 0.0 && *number >= start && below)
                    .then_some(())
                    .ok_or_else(|| number.to_string())
            }
            (_, Element::Number(number)) => Err(number.to_string()),
            (_, Element::Single(number)) => Err(number.to_string()),
            (_, Element::Integer(number)) => Err(number.to_string()),
            (_, Element::Unsigned(number)) => Err(number.to_string()),
            (_, Element::Bool(value)) => Err(value.to_string()),
            (_, Element::Text(text)) => Err(format!("the text {}", quoted(text))),
        }
    }

    /// Reads `count` elements, little-endian and without padding.
    pub(super) fn read_binary(self, bytes: &[u8], count: usize) -> Result<Vec<Element<'_>>, String> {
        let width = match self {
            Self::Bytes => return read_texts(bytes, count),
            Self::Bool => 1,
            Self::Integer(width, _) => width,
            Self::Fp32 => 4,
            Self::Fp64 => 8,
        };
        if bytes.len() != count * width {
            return Err(format!(
                "{count} elements of {self} are {} bytes, found {}",
                count * width,
                bytes.len()
            ));
        }
        let element = |chunk: &[u8]| {
            let bits = chunk
                .iter()
                .rev()
                .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            match self {
                Self::Bool => match bits {
                    0 => Element::Bool(false),
                    1 => Element::Bool(true),
                    other => Element::Number(other as f64),
                },
                Self::Integer(width, true) => {
                    let shift = 64 - 8 * width;
                    Element::Integer((bits << shift).cast_signed() >> shift)
                }
                Self::Integer(_, false) => Element::Unsigned(bits),
                Self::Fp32 => Element::Single(f32::from_bits(bits as u32)),
                Self::Fp64 | Self::Bytes => Element::Number(f64::from_bits(bits)),
            }
        };
        Ok(bytes.chunks_exact(width).map(element).collect())
    }
}

fn integer_fits(number: i128, bytes: usize, signed: bool) -> Option<()> {
    let end = 1_i128 << (8 * bytes - usize::from(signed));
    let start = if signed { -end } else { 0 };
    (start..end).contains(&number).then_some(())
}

fn read_texts(mut bytes: &[u8], count: usize) -> Result<Vec<Element<'_>>, String> {
    let mut texts = Vec::with_capacity(count.min(bytes.len() / 4));
    for index in 0..count {
        let cut = || format!("element {index} of BYTES is cut off");
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
        let (text, rest) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| format!("element {index} of BYTES is not UTF-8"))?;
        texts.push(Element::Text(Cow::Borrowed(text)));
        bytes = rest;
    }
    if bytes.is_empty() {
        Ok(texts)
    } else {
        Err(format!("there are {} bytes after the last element", bytes.len()))
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("BOOL"),
            Self::Integer(bytes, true) => write!(f, "INT{}", 8 * bytes),
            Self::Integer(bytes, false) => write!(f, "UINT{}", 8 * bytes),
            Self::Fp32 => f.write_str("FP32"),
            Self::Fp64 => f.write_str("FP64"),
            Self::Bytes => f.write_str("BYTES"),
        }
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, FeatureSchema, Value};

    use super::*;

    /// The cells of elements of a datatype, for a feature with these categories.
    fn read(datatype: &str, categories: &[&str], mut elements: Vec<Element<'_>>) -> Vec<Value> {
        Datatype::read(datatype).unwrap().check(&mut elements).unwrap();
        values(categories, &elements)
    }

    fn values(categories: &[&str], elements: &[Element<'_>]) -> Vec<Value> {
        let schema = FeatureSchema::new(vec![Feature::categorical("code", categories)]).unwrap();
        let kind = &schema.features[0].kind;
        let cells = elements.iter().map(|element| element.cell(kind));
        cells
            .map(|cell| schema.read_cells(&[cell]).unwrap().0.values()[0])
            .collect()
    }

    #[test]
    fn integers_of_64_bits_are_exact_as_json_and_as_bytes() {
        let codes = ["9007199254740993", "9007199254740995", "18446744073709551615"];
        let expected = [Value::Category(0), Value::Category(1)];
        let elements = vec![
            Element::Integer(9_007_199_254_740_993),
            Element::Integer(9_007_199_254_740_995),
        ];
        assert_eq!(read("INT64", &codes, elements), expected);
        let bytes: Vec<u8> = [9_007_199_254_740_993_i64, 9_007_199_254_740_995]
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let elements = Datatype::read("INT64").unwrap().read_binary(&bytes, 2).unwrap();
        assert_eq!(values(&codes, &elements), expected);
        let bytes = u64::MAX.to_le_bytes();
        let elements = Datatype::read("UINT64").unwrap().read_binary(&bytes, 1).unwrap();
        assert_eq!(values(&codes, &elements), [Value::Category(2)]);
    }

    #[test]
    fn a_float_of_32_bits_has_the_text_of_32_bits() {
        let doses = ["0.1", "2"];
        let widened = f64::from(0.1_f32);
        let elements = vec![
            Element::Number(0.1),
            Element::Number(widened),
            Element::Integer(2),
        ];
        let expected = [Value::Category(0), Value::Category(0), Value::Category(1)];
        assert_eq!(read("FP32", &doses, elements), expected);
        let bytes = 0.1_f32.to_le_bytes();
        let elements = Datatype::read("FP32").unwrap().read_binary(&bytes, 1);
        assert_eq!(values(&doses, &elements.unwrap()), [Value::Category(0)]);
        assert_eq!(
            read("FP64", &doses, vec![Element::Number(widened)]),
            [Value::Unknown]
        );
    }

    #[test]
    fn truth_values_reach_the_category_that_they_are() {
        for (categories, element) in [
            (["FALSE", "TRUE"], Element::Bool(true)),
            (["f", "t"], Element::Bool(true)),
            (["0", "1"], Element::Bool(true)),
            (["False", "True"], Element::Integer(1)),
            (["false", "true"], Element::Number(1.0)),
        ] {
            assert_eq!(
                read("BOOL", &categories, vec![element]),
                [Value::Category(1)],
                "{categories:?}"
            );
        }
    }

    #[test]
    fn an_integer_has_to_fit_its_datatype() {
        let check = |datatype: &str, element| {
            let datatype = Datatype::read(datatype).unwrap();
            datatype.check(&mut [element]).err()
        };
        assert_eq!(check("INT8", Element::Integer(-128)), None);
        assert_eq!(check("UINT64", Element::Unsigned(u64::MAX)), None);
        assert_eq!(check("INT64", Element::Number(40.0)), None);
        for (datatype, element, found) in [
            ("INT8", Element::Integer(128), "128"),
            ("UINT8", Element::Integer(-1), "-1"),
            ("INT64", Element::Unsigned(u64::MAX), "18446744073709551615"),
            ("INT32", Element::Number(40.5), "40.5"),
            ("BOOL", Element::Integer(2), "2"),
        ] {
            let error = check(datatype, element).unwrap();
            assert_eq!(error, format!("element 0 is {found}, expected {datatype}"));
        }
    }
}
