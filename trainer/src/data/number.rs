//! Numbers as cells of a table write them.

/// The finite number in a cell: digits with sign, point and exponent, and nothing else (no `inf`, no `NaN`).
pub fn number(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(plain) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_and_finite() {
        assert_eq!(number("-1.5e2"), Some(-150.0));
        assert_eq!(number("+7"), Some(7.0));
        for text in [
            "", "NaN", "inf", "infinity", "1e999", "0x10", "1_000", "1,5", "e", "٣",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
