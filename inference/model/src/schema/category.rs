//! The one spelling of a category.

use std::borrow::Cow;

/// The one spelling of a category: without surrounding blanks, and a decimal number without zeros at its end.
///
/// `1`, `1.0` and ` 1.00` are `1`; `-0.0` is `0`; `2.50` is `2.5`. Zeros in front stay (`007` is a code, not 7), as
/// does everything that is not plain digits (`1e3`).
pub fn canonical_category(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if !all_digits(whole) || !all_digits(fraction) {
        return Cow::Borrowed(text);
    }
    let short = if digits.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    // "-0.0" has lost its point by now.
    if short == "-0" {
        Cow::Borrowed("0")
    } else {
        Cow::Borrowed(short)
    }
}

/// The canonical category of a finite number.
pub(super) fn number_category(number: f64) -> Cow<'static, str> {
    // Codes are small: no allocation for the commonest.
    const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    if number.fract() == 0.0
        && (0.0..10.0).contains(&number)
        && let Some(text) = SMALL.get(number as usize)
    {
        return Cow::Borrowed(text);
    }
    // `{}` writes neither an exponent nor a trailing ".0".
    Cow::Owned(number.to_string())
}

/// The category that a boolean stands for, where the categories are two-valued.
pub(super) fn bool_category(categories: &[String], value: bool) -> Option<&str> {
    let word = if value { "true" } else { "false" };
    let is_word = |text: &&String| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
    if categories.iter().any(|category| is_word(&category)) {
        // Training may have seen only one of the two: the other is an unknown category then, not a wrong type.
        return Some(
            categories
                .iter()
                .find(|known| known.eq_ignore_ascii_case(word))
                .map_or(word, |k| k),
        );
    }
    let digits = !categories.is_empty()
        && categories
            .iter()
            .all(|category| category == "0" || category == "1");
    digits.then_some(if value { "1" } else { "0" })
}
