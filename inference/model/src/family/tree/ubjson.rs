//! Reads the UBJSON that XGBoost writes: lengths are 64-bit, typed arrays start with their length, numbers are big endian.
//!
//! It is a [`Deserializer`], so the file is never held as a tree of values: unused values are skipped, and used values take
//! no more memory than their bytes in the file.

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor, value::BorrowedStrDeserializer,
};

/// Maximum depth of nested values. XGBoost has 8 levels.
const MAX_DEPTH: u32 = 64;

/// Why bytes are not the UBJSON of XGBoost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub struct UbjsonError {
    /// The position in bytes, from 0.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

/// Reads one value. Nothing may follow it.
pub(super) fn from_slice<T: de::DeserializeOwned>(bytes: &[u8]) -> Result<T, UbjsonError> {
    let mut reader = Reader {
        bytes,
        at: 0,
        depth: 0,
    };
    let value = T::deserialize(&mut reader).map_err(|error| reader.locate(error))?;
    if reader.at < bytes.len() {
        return Err(reader.fail("there are more bytes after the value"));
    }
    Ok(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

/// Types of the numbers of typed arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    I8,
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

/// The rest of an array.
enum Items<'r, 'a> {
    Typed(&'r mut Reader<'a>, Kind, usize),
    Counted(&'r mut Reader<'a>, usize),
    Open(&'r mut Reader<'a>),
}

struct Entries<'r, 'a>(&'r mut Reader<'a>);

struct Typed<'r, 'a>(&'r mut Reader<'a>, Kind);

// === impl UbjsonError ===

impl de::Error for UbjsonError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            at: usize::MAX,
            what: message.to_string(),
        }
    }
}

// === impl Kind ===

impl Kind {
    fn of_marker(marker: u8) -> Option<Self> {
        Some(match marker {
            b'i' => Self::I8,
            b'U' => Self::U8,
            b'I' => Self::I16,
            b'l' => Self::I32,
            b'L' => Self::I64,
            b'd' => Self::F32,
            b'D' => Self::F64,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn fail(&self, what: impl Into<String>) -> UbjsonError {
        UbjsonError {
            at: self.at,
            what: what.into(),
        }
    }

    /// Adds the position to errors of the deserialized types.
    fn locate(&self, error: UbjsonError) -> UbjsonError {
        let at = error.at.min(self.at);
        UbjsonError { at, ..error }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], UbjsonError> {
        let taken = self
            .at
            .checked_add(count)
            .and_then(|end| self.bytes.get(self.at..end));
        let taken =
            taken.ok_or_else(|| self.fail(format!("the file ends, {count} bytes are missing or fewer")))?;
        self.at += count;
        Ok(taken)
    }

    fn take_array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], UbjsonError> {
        let mut array = [0; COUNT];
        array.copy_from_slice(self.take(COUNT)?);
        Ok(array)
    }

    fn take_byte(&mut self) -> Result<u8, UbjsonError> {
        Ok(self.take_array::<1>()?[0])
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, marker: u8) -> Result<(), UbjsonError> {
        match self.peek() {
            Some(found) if found == marker => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.fail(format!("expected {:?}", char::from(marker)))),
        }
    }

    /// A number of values that take at least `size` bytes each.
    fn take_length(&mut self, size: usize) -> Result<usize, UbjsonError> {
        self.expect(b'L')?;
        let length = i64::from_be_bytes(self.take_array()?);
        let bytes = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_mul(size));
        if bytes.is_none_or(|bytes| bytes > self.bytes.len() - self.at) {
            return Err(self.fail(format!("length {length} is more than the file has")));
        }
        Ok(length as usize)
    }

    fn take_text(&mut self) -> Result<&'a str, UbjsonError> {
        let length = self.take_length(1)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.fail("the text before is not UTF-8"))
    }

    fn visit_number<V: Visitor<'a>>(&mut self, kind: Kind, visitor: V) -> Result<V::Value, UbjsonError> {
        match kind {
            Kind::I8 => visitor.visit_i64(i8::from_be_bytes(self.take_array()?).into()),
            Kind::U8 => visitor.visit_u64(self.take_byte()?.into()),
            Kind::I16 => visitor.visit_i64(i16::from_be_bytes(self.take_array()?).into()),
            Kind::I32 => visitor.visit_i64(i32::from_be_bytes(self.take_array()?).into()),
            Kind::I64 => visitor.visit_i64(i64::from_be_bytes(self.take_array()?)),
            Kind::F32 => visitor.visit_f32(f32::from_be_bytes(self.take_array()?)),
            Kind::F64 => visitor.visit_f64(f64::from_be_bytes(self.take_array()?)),
        }
    }

    fn visit_array<V: Visitor<'a>>(&mut self, visitor: V) -> Result<V::Value, UbjsonError> {
        match self.peek() {
            Some(b'$') => {
                self.at += 1;
                let marker = self.take_byte()?;
                let kind = Kind::of_marker(marker)
                    .ok_or_else(|| self.fail(format!("unsupported array of {:?}", char::from(marker))))?;
                self.expect(b'#')?;
                let count = self.take_length(kind.size())?;
                visitor.visit_seq(Items::Typed(self, kind, count))
            }
            Some(b'#') => {
                self.at += 1;
                let count = self.take_length(1)?;
                visitor.visit_seq(Items::Counted(self, count))
            }
            _ => visitor.visit_seq(Items::Open(self)),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        let marker = self.take_byte()?;
        match marker {
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(self.fail("values are nested too deep"));
                }
                let value = if marker == b'{' {
                    visitor.visit_map(Entries(self))
                } else {
                    self.visit_array(visitor)
                };
                self.depth -= 1;
                value
            }
            b'S' => visitor.visit_borrowed_str(self.take_text()?),
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'C' => visitor.visit_u64(self.take_byte()?.into()),
            _ => match Kind::of_marker(marker) {
                Some(kind) => self.visit_number(kind, visitor),
                None => Err(self.fail(format!("a value begins with {:?}", char::from(marker)))),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        if self.peek() == Some(b'Z') {
            self.at += 1;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, UbjsonError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> Deserializer<'de> for Typed<'_, 'de> {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        self.0.visit_number(self.1, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = UbjsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, UbjsonError> {
        match self {
            Self::Typed(_, _, 0) | Self::Counted(_, 0) => Ok(None),
            Self::Typed(reader, kind, left) => {
                *left -= 1;
                seed.deserialize(Typed(reader, *kind)).map(Some)
            }
            Self::Counted(reader, left) => {
                *left -= 1;
                seed.deserialize(&mut **reader).map(Some)
            }
            Self::Open(reader) if reader.peek() == Some(b']') => {
                reader.at += 1;
                Ok(None)
            }
            Self::Open(reader) => seed.deserialize(&mut **reader).map(Some),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        match self {
            Self::Typed(_, _, left) | Self::Counted(_, left) => Some(*left),
            Self::Open(_) => None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = UbjsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, UbjsonError> {
        if self.0.peek() == Some(b'}') {
            self.0.at += 1;
            return Ok(None);
        }
        let key = self.0.take_text()?;
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, UbjsonError> {
        seed.deserialize(&mut *self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn length(count: i64) -> Vec<u8> {
        [&b"L"[..], &count.to_be_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Result<Json, String> {
        from_slice(bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn values_of_each_kind_are_read() {
        let typed =
            |marker: &[u8], count, items: &[u8]| [b"[$", marker, b"#", &length(count), items].concat();
        assert_eq!(
            read(&typed(b"l", 2, &[0, 0, 0, 1, 255, 255, 255, 255])),
            Ok(json!([1, -1]))
        );
        assert_eq!(read(&typed(b"d", 1, &1.5_f32.to_be_bytes())), Ok(json!([1.5])));
        assert_eq!(read(&typed(b"U", 1, &[255])), Ok(json!([255])));
        let counted = [b"[#", &length(3)[..], b"Ti\xffZ"].concat();
        assert_eq!(read(&counted), Ok(json!([true, -1, null])));
        let object = [
            b"{",
            &length(1)[..],
            b"aS",
            &length(2),
            b"xy",
            &length(1),
            b"b[FI\x01\x00]}",
        ]
        .concat();
        assert_eq!(read(&object), Ok(json!({"a": "xy", "b": [false, 256]})));
    }

    #[test]
    fn a_length_beyond_the_file_is_refused_before_anything_is_allocated() {
        for count in [1 << 60, i64::MAX, i64::MIN, -1, 3] {
            for start in [&b"[$D#"[..], b"[#", b"S", b"{"] {
                let bytes = [start, &length(count), b"ab"].concat();
                let error = read(&bytes).unwrap_err();
                assert!(error.contains("more than the file has"), "{error}");
            }
        }
        assert!(
            read(&[b"[$T#", &length(1 << 60)[..]].concat())
                .unwrap_err()
                .contains("array of 'T'")
        );
    }

    #[test]
    fn nesting_and_what_follows_are_bounded() {
        assert!(
            read(&b"[".repeat(1 << 20))
                .unwrap_err()
                .contains("nested too deep")
        );
        assert!(read(b"TT").unwrap_err().contains("byte 1: there are more"));
        assert!(read(b"").unwrap_err().contains("byte 0"));
        assert!(read(b"N").unwrap_err().contains("begins with 'N'"));
    }
}
