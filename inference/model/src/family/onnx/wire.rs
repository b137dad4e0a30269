//! Reads the wire format of protobuf: a sequence of numbered fields.
//!
//! Messages are slices of the file. Nothing is allocated for unused fields, and a list takes at most eight times its bytes in the file. A
//! reader that created an object for every message would take a hundred times as much for empty messages.

use super::error::OnnxError;

/// Maximum number of entries of a list.
pub(super) const MAX_LIST: usize = 1 << 24;

/// The fields of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    /// Its name, for errors.
    part: &'static str,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

pub(super) struct Fields<'a> {
    message: Message<'a>,
    at: usize,
}

// === impl Message ===

impl<'a> Message<'a> {
    pub(super) fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self { bytes, part }
    }

    pub(super) fn fields(self) -> Fields<'a> {
        Fields { message: self, at: 0 }
    }

    /// The last value of a field, or `None` if it is absent.
    pub(super) fn last(self, number: u32) -> Result<Option<Wire<'a>>, OnnxError> {
        let mut found = None;
        for field in self.fields() {
            let (of, value) = field?;
            if of == number {
                found = Some(value);
            }
        }
        Ok(found)
    }

    /// The message in a field.
    pub(super) fn message(self, number: u32, part: &'static str) -> Result<Option<Message<'a>>, OnnxError> {
        let value = self.last(number)?;
        value
            .map(|value| Ok(Message::new(self.bytes_of(value)?, part)))
            .transpose()
    }

    pub(super) fn text(self, number: u32) -> Result<Option<&'a str>, OnnxError> {
        let value = self.last(number)?;
        value.map(|value| self.text_of(value)).transpose()
    }

    pub(super) fn integer(self, number: u32) -> Result<Option<i64>, OnnxError> {
        let value = self.last(number)?;
        value.map(|value| self.integer_of(value)).transpose()
    }

    pub(super) fn bytes_of(self, value: Wire<'a>) -> Result<&'a [u8], OnnxError> {
        match value {
            Wire::Bytes(bytes) => Ok(bytes),
            _ => Err(self.fail(0, "a field has another type than it should")),
        }
    }

    pub(super) fn text_of(self, value: Wire<'a>) -> Result<&'a str, OnnxError> {
        std::str::from_utf8(self.bytes_of(value)?).map_err(|_| self.fail(0, "a text is not UTF-8"))
    }

    pub(super) fn integer_of(self, value: Wire<'a>) -> Result<i64, OnnxError> {
        match value {
            Wire::Varint(number) => Ok(number.cast_signed()),
            _ => Err(self.fail(0, "a field has another type than it should")),
        }
    }

    /// The integers of a field, packed or not.
    pub(super) fn integers(self, number: u32) -> Result<Vec<i64>, OnnxError> {
        let mut list = Vec::new();
        for field in self.fields() {
            match field? {
                (of, Wire::Varint(value)) if of == number => list.push(value.cast_signed()),
                (of, Wire::Bytes(bytes)) if of == number => {
                    let mut at = 0;
                    while at < bytes.len() {
                        let (value, next) = read_varint(bytes, at).ok_or_else(|| self.fail(at, CUT))?;
                        list.push(value.cast_signed());
                        at = next;
                        self.check_length(list.len())?;
                    }
                }
                (of, _) if of == number => return Err(self.fail(0, "a list of integers has other values")),
                _ => {}
            }
            self.check_length(list.len())?;
        }
        Ok(list)
    }

    /// The single-precision numbers of a field, packed or not.
    pub(super) fn singles(self, number: u32) -> Result<Vec<f64>, OnnxError> {
        let mut list = Vec::new();
        for field in self.fields() {
            match field? {
                (of, Wire::Fixed32(bits)) if of == number => list.push(f64::from(f32::from_bits(bits))),
                (of, Wire::Bytes(bytes)) if of == number => list.extend(self.singles_of(bytes)?),
                (of, _) if of == number => return Err(self.fail(0, "a list of numbers has other values")),
                _ => {}
            }
            self.check_length(list.len())?;
        }
        Ok(list)
    }

    /// The double-precision numbers of a field, packed or not.
    pub(super) fn doubles(self, number: u32) -> Result<Vec<f64>, OnnxError> {
        let mut list = Vec::new();
        for field in self.fields() {
            match field? {
                (of, Wire::Fixed64(bits)) if of == number => list.push(f64::from_bits(bits)),
                (of, Wire::Bytes(bytes)) if of == number => list.extend(self.doubles_of(bytes)?),
                (of, _) if of == number => return Err(self.fail(0, "a list of numbers has other values")),
                _ => {}
            }
            self.check_length(list.len())?;
        }
        Ok(list)
    }

    /// Packed single-precision numbers.
    pub(super) fn singles_of(self, bytes: &[u8]) -> Result<Vec<f64>, OnnxError> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        self.check_rest(rest, numbers.len())?;
        Ok(numbers
            .iter()
            .map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
            .collect())
    }

    /// Packed double-precision numbers.
    pub(super) fn doubles_of(self, bytes: &[u8]) -> Result<Vec<f64>, OnnxError> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        self.check_rest(rest, numbers.len())?;
        Ok(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    /// Packed 64-bit integers.
    pub(super) fn integers_of(self, bytes: &[u8]) -> Result<Vec<i64>, OnnxError> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        self.check_rest(rest, numbers.len())?;
        Ok(numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn fail(self, at: usize, what: &'static str) -> OnnxError {
        let part = self.part;
        OnnxError::Wire { part, at, what }
    }

    fn check_rest(self, rest: &[u8], length: usize) -> Result<(), OnnxError> {
        if !rest.is_empty() {
            return Err(self.fail(0, "a list of numbers ends within a number"));
        }
        self.check_length(length)
    }

    fn check_length(self, length: usize) -> Result<(), OnnxError> {
        if length > MAX_LIST {
            return Err(self.fail(0, "a list has more than 16777216 entries"));
        }
        Ok(())
    }
}

const CUT: &str = "it is cut off";

/// A varint, and the position after it.
fn read_varint(bytes: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        // The tenth byte has one bit of the 64.
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), OnnxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.bytes.len() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.at = self.message.bytes.len();
        }
        Some(field)
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u32, Wire<'a>), OnnxError> {
        let start = self.at;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| self.message.fail(start, "it has no field of this number"))?;
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => {
                return Err(self
                    .message
                    .fail(start, "a field has a type that protobuf does not have"));
            }
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, OnnxError> {
        let (value, next) =
            read_varint(self.message.bytes, self.at).ok_or_else(|| self.message.fail(self.at, CUT))?;
        self.at = next;
        Ok(value)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], OnnxError> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.message.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.message.fail(self.at, CUT))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], OnnxError> {
        let at = self.at;
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.message.fail(at, CUT))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(bytes: &[u8]) -> Message<'_> {
        Message::new(bytes, "test")
    }

    #[test]
    fn lists_are_read_one_by_one_and_packed() {
        // Field 8 as 1 and -1, then 300 and 2 packed.
        let mut bytes = vec![0x40, 1, 0x40];
        bytes.extend([0xff; 9]);
        bytes.extend([1, 0x42, 3, 0xac, 0x02, 2]);
        assert_eq!(message(&bytes).integers(8).unwrap(), [1, -1, 300, 2]);
        let mut bytes = vec![0x3d];
        bytes.extend(1.5_f32.to_le_bytes());
        bytes.extend([0x3a, 4]);
        bytes.extend((-2.0_f32).to_le_bytes());
        assert_eq!(message(&bytes).singles(7).unwrap(), [1.5, -2.0]);
        assert_eq!(message(&bytes).singles(6).unwrap(), [0.0; 0]);
    }

    #[test]
    fn what_is_cut_or_of_another_type_is_refused() {
        let fail = |bytes: &[u8]| message(bytes).integers(8).unwrap_err().to_string();
        let cut = "does not parse as ONNX: byte 1 of test: it is cut off";
        assert_eq!(fail(&[0x40]), cut);
        assert_eq!(
            fail(&[0x42, 9, 1]),
            "does not parse as ONNX: byte 2 of test: it is cut off"
        );
        assert!(fail(&[0x43]).ends_with("a field has a type that protobuf does not have"));
        assert!(fail(&[0x00, 1]).ends_with("it has no field of this number"));
        assert!(fail(&[0x45, 0, 0, 0, 0]).ends_with("a list of integers has other values"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            for number in 0..16 {
                let _ = message(&bytes).integers(number);
                let _ = message(&bytes).singles(number);
                let _ = message(&bytes).doubles(number);
                let _ = message(&bytes).text(number);
            }
        }
    }
}
