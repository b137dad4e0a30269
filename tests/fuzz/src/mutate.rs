//! Damage to bytes, from a seed: the same seed gives the same damage.

/// Numbers that are the ends of something.
const ENDS: [&str; 12] = [
    "0",
    "-1",
    "255",
    "65536",
    "2147483647",
    "4294967296",
    "-9223372036854775808",
    "18446744073709551615",
    "1e308",
    "1e-320",
    "NaN",
    "-inf",
];

/// Longest piece that is moved, copied or removed.
const PIECE: usize = 48;

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

// === impl Numbers ===

impl Numbers {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `end`, and 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let number = self.0 ^ (self.0 >> 29);
        (number >> 24) as usize % end.max(1)
    }
}

/// Damages these bytes in one to four places. `words` are those that mean something to the reader.
pub fn damage(bytes: &mut Vec<u8>, words: &[&str], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = (at + 1 + numbers.below(PIECE)).min(bytes.len());
        match numbers.below(10) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'{'][numbers.below(8)];
                }
            }
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => {
                let piece = bytes[at..end].repeat(1 + numbers.below(64));
                bytes.splice(at..end, piece);
            }
            6 => bytes.truncate(at),
            7 | 8 => replace_number(bytes, at, numbers),
            _ => {
                let word = words.get(numbers.below(words.len())).copied().unwrap_or_default();
                bytes.splice(at..at, word.bytes());
            }
        }
    }
}

/// Puts an end of something in the place of the first number from there on.
fn replace_number(bytes: &mut Vec<u8>, from: usize, numbers: &mut Numbers) {
    let rest = bytes[from..].iter();
    let Some(start) = rest.clone().position(u8::is_ascii_digit).map(|at| from + at) else {
        return;
    };
    let length = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    bytes.splice(start..start + length, ENDS[numbers.below(ENDS.len())].bytes());
}
